"""The house of `tests.house` behind its HTTP frame and commands, without settings or ESPs."""

from typing import Any

from flask.testing import FlaskClient

from feedback import Feedback
from list_manager import ListManager
from mail.renderer import Urls
from outbound.dry_run import DryRunner
from outbound.forecast import Forecaster
from outbound.mailboxes import Mailboxes
from outbound.preview import Previewer
from tests import house as homes
from utils.signing import Signer
from web import auth, campaigns, drafts, errors, esps, frame, openapi, previews, send_email, sends
from web.context import Facts, House
from web.keyring import KeyRing

FULL, READ = "full-secret", "read-secret"
NAMES = homes.NAMES


def house_of(home: homes.House, *, mode: str = "sandbox", heartbeat: float | None = 1.0) -> House:
    """What views and commands are given."""
    signers = {kind: Signer(("k",), kind) for kind in ("tracking", "consent")}
    lists = ListManager(home.db, erasure_key="k" * 32, clock=home.clock)
    return House(
        settings=Facts(mode, "https://a.example", None, 1_000_000, (), "0", NAMES),
        keyring=KeyRing([("ops", "full", FULL), ("watcher", "read", READ)]),
        db=home.db, esps=home.esps, manager=home.manager, sender=home.sender,
        launcher=home.launcher, drafts=home.drafts,
        previewer=Previewer(home.db, home.launcher._examiner),
        tester=home.tester, dry_runner=DryRunner(
            home.db, home.launcher._examiner, home.manager,
            Forecaster(home.manager, Mailboxes(home.db, None, home.clock)), home.clock,
        ), mailer=home.mailer, lane=home.lane,
        control=home.control, lists=lists,
        urls=Urls("https://a.example", signers["tracking"], signers["consent"]), signers=signers,
        wake=home.woken.append, heartbeat_age=lambda: heartbeat, clock=home.clock,
        feedback=Feedback(home.db, lists, home.clock),
    )  # fmt: skip


def app_of(parts: House) -> openapi.Api:
    """The frame, the gate, and the blueprints of campaigns and ESPs."""
    app = openapi.Api(__name__, version="0")
    app.extensions["house"] = parts
    frame.install(app, parts.settings)
    auth.install(app)
    frame.install_body_checks(app)
    errors.install(app)
    for part in (campaigns, drafts, previews, send_email, sends, esps):
        app.register_api(part.blueprint)
    return app


class Caller:
    """Speaks JSON with a key."""

    def __init__(self, client: FlaskClient, secret: str = FULL) -> None:
        self._client = client
        self._headers = {"Authorization": f"Bearer {secret}"}

    def get(self, path: str, **headers: str) -> Any:
        return self._client.get(path, headers=self._headers | headers)

    def post(self, path: str, body: object = None, **headers: str) -> Any:
        given = {"json": body} if body is not None else {}
        return self._client.post(path, headers=self._headers | headers, **given)

    def delete(self, path: str) -> Any:
        return self._client.delete(path, headers=self._headers)

    def patch(self, path: str, body: object) -> Any:
        return self._client.patch(path, headers=self._headers, json=body)

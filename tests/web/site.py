"""The application over a campaign whose mail is out, for tests of what comes back."""

from pathlib import Path
from typing import Any

from flask.testing import FlaskClient

from app import create_app
from outbound.composer import Composer
from services.esp import EspEvent, WebhookRequest
from tests.application import settings_at
from tests.mailed import LATER, Mailed
from web import consent, tracking, webhooks
from web.context import House

BROWSER = "Mozilla/5.0 (Windows NT 10.0) Chrome/126.0"


class ToldEsp:
    """An ESP whose webhook says what a test wants."""

    def __init__(self) -> None:
        self.calls: list[WebhookRequest] = []
        self.told: list[EspEvent] | Exception = []

    def read_webhook(self, request: WebhookRequest) -> list[EspEvent]:
        self.calls.append(request)
        if isinstance(self.told, Exception):
            raise self.told
        return self.told


class Site:
    """One application, one campaign."""

    def __init__(self, url: str, folder: Path, people: int = 4, **options: Any) -> None:
        self.mailed = Mailed(url, people, **options)
        self.mailed.accept()
        self.app = create_app(settings_at(folder, DATABASE_URL=url))
        for blueprint in (webhooks.blueprint, tracking.blueprint, consent.blueprint):
            if blueprint.name not in self.app.blueprints:
                self.app.register_api(blueprint)
        self.house: House = self.app.extensions["house"]
        self.house.clock = lambda: LATER
        self.house.lists, self.house.feedback = self.mailed.lists, self.mailed.feedback
        self.house.extras["composer"] = Composer(self.house.urls, postal_address="1 Main Street")
        self.esp = ToldEsp()
        self.house.esps = {"sendgrid": self.esp, "ses": self.esp}
        self.client: FlaskClient = self.app.test_client()

    def tracking(self, number: int = 0) -> str:
        return self.house.signers["tracking"].token(self.mailed.ref(number))

    def consent(self, number: int = 0) -> str:
        return self.house.signers["consent"].token(self.mailed.ref(number))

    def written(self) -> None:
        """Wait for what is written later."""
        for name in ("hits", "refused_webhooks"):
            if name in self.house.extras:
                self.house.extras[name].flush()

    def close(self) -> None:
        for name in ("hits", "refused_webhooks"):
            if name in self.house.extras:
                self.house.extras[name].close()
        self.house.sender.close()
        self.house.db.dispose()
        self.mailed.db.dispose()

"""What the blueprints are given: the parts of this process, built once by app.py."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import current_app

from database.engine import Database
from email_sender import EmailSender
from list_manager import ListManager
from mail.renderer import Urls
from outbound.control import CampaignControl
from outbound.drafts import Drafts
from outbound.dry_run import DryRunner
from outbound.lane import TransactionalLane
from outbound.launch import Launcher
from outbound.preview import Previewer
from outbound.transactional import Mailer
from outbound.trial import Tester
from services.esp import Esp
from services.esp_manager import EspManager
from utils.signing import Signer
from web.keyring import KeyRing


@dataclass(frozen=True, slots=True)
class Facts:
    """What the web needs of the settings."""

    mode: str
    public_url: str
    #: Where the simulator listens; None in live mode.
    simulator_url: str | None
    max_request_bytes: int
    trusted_proxies: tuple[str, ...]
    version: str
    #: ESPs of this product in their order of priority, configured or not.
    esp_names: tuple[str, ...] = ()
    #: Tells ERASURE_KEY apart from others without telling it.
    erasure_fingerprint: str = ""
    #: ESPs in use whose events cannot be believed for want of a key, and what to do about it.
    unheard: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_sandbox(self) -> bool:
        """Whether a simulator stands in for the ESPs."""
        return self.mode == "sandbox"


@dataclass
class House:
    """Every part, by name. `feedback` is None until that road is built."""

    settings: Facts
    keyring: KeyRing
    db: Database
    esps: Mapping[str, Esp]
    manager: EspManager
    sender: EmailSender
    launcher: Launcher
    drafts: Drafts
    previewer: Previewer
    tester: Tester
    dry_runner: DryRunner
    mailer: Mailer
    lane: TransactionalLane
    control: CampaignControl
    lists: ListManager
    urls: Urls
    signers: Mapping[str, Signer]
    #: Tells the work engine that a campaign has something to do.
    wake: Callable[[int], None]
    #: Seconds since any worker swept; None = never.
    heartbeat_age: Callable[[], float | None]
    clock: Callable[[], float]
    feedback: Any = None
    #: What a blueprint keeps for the life of the process; what can be closed is, at the end.
    extras: dict[str, Any] = field(default_factory=dict)

    def close(self) -> None:
        """Write what waits to be written, let go of the database."""
        for part in list(self.extras.values()):
            if hasattr(part, "close"):
                part.close()
        self.db.dispose()


def house() -> House:
    """The parts of the running application."""
    parts: House | Callable[[], House] = current_app.extensions["house"]
    return parts if isinstance(parts, House) else parts()

"""The three real adapters, with the vendors' SDKs, pointed at a simulator."""

import json
import urllib.request
from collections import Counter
from dataclasses import dataclass
from typing import Any

from config.esp_config import ESP_FACTS
from services.amazon_ses import AmazonSes
from services.esp import Capabilities, Esp
from services.postmark import Postmark
from services.sendgrid import SendGrid
from services.ses_client import AwsKeys
from services.sns import Topics
from simulator.server import Running


def real_esps(
    keys: dict[str, Any], url: str, *, timeout_seconds: float, batch_size: int | None = None
) -> dict[str, Esp]:
    """Adapters with the keys that the simulator publishes."""
    can = {name: Capabilities(**facts.fields()) for name, facts in ESP_FACTS.items()}
    how: dict[str, Any] = {"timeout_seconds": timeout_seconds, "batch_size": batch_size}
    return {
        "sendgrid": SendGrid(
            keys["sendgrid"]["api_key"], can["sendgrid"], base_url=url,
            webhook_public_keys=[keys["sendgrid"]["webhook_public_key"]], **how,
        ),
        "ses": AmazonSes(
            can["ses"],
            keys=AwsKeys(keys["ses"]["access_key_id"], keys["ses"]["secret_access_key"]),
            region=keys["ses"]["region"], endpoint_url=url,
            topics=Topics((keys["ses"]["topic_arn"],), keys["ses"]["certificate_pem"]), **how,
        ),
        "postmark": Postmark(
            keys["postmark"]["server_token"], can["postmark"], base_url=url, **how
        ),
    }  # fmt: skip


@dataclass
class Rehearsal:
    """A running simulator, and what it says it took."""

    running: Running

    @property
    def keys(self) -> dict[str, Any]:
        return dict(self.ask("/_keys"))

    def ask(self, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.running.url + path, data=data)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def fault(self, esp: str, kind: str, **options: object) -> None:
        self.ask("/_faults", {"esp": esp, "kind": kind, **options})

    def taken(self) -> list[dict[str, Any]]:
        """Every message that an ESP took."""
        return list(self.ask("/_ledger?limit=10000")["items"])

    def copies(self) -> Counter[str]:
        """How many copies of each send the ESPs took together."""
        return Counter(message["send_id"] for message in self.taken())

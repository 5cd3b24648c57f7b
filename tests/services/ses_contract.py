"""What SES does the same over its API and over SMTP: the sender's form, and the events."""

from email.header import decode_header, make_header
from email.utils import parseaddr

import orjson

from services.esp import WebhookRequest
from services.ses_client import AwsKeys
from services.sns import Topics
from simulator import Running, sns
from simulator.wire import Json
from tests.services.esp_contract import EspContract


class SesContract(EspContract):
    name = "ses"
    forged, unreadable = 403, 503

    def topics(self, simulator: Running) -> Topics:
        keys = simulator.state.keys
        return Topics((keys.topic_arn,), keys.ses_certificate_pem, simulator.url)

    def keys(self, simulator: Running) -> AwsKeys:
        keys = simulator.state.keys
        return AwsKeys(keys.ses_access_key_id, keys.ses_secret_access_key)

    def check_sender(self, shown: str, name: str) -> None:
        seen, email = parseaddr(shown)
        assert (str(make_header(decode_header(seen))), email) == (name, "news@example.com")

    def signed(self, simulator: Running, told: Json) -> WebhookRequest:
        return WebhookRequest(
            *sns.notification(
                simulator.state, orjson.dumps(told)[:16], orjson.dumps(told).decode(), 0
            )
        )

    def forgeries(self, good: WebhookRequest) -> list[WebhookRequest]:
        call = orjson.loads(good.body)
        changes: tuple[Json, ...] = (
            {"Message": "{}"}, {"Signature": "!"}, {"Signature": "AAAA"}, {"Signature": None},
            {"SignatureVersion": "3"}, {"SignatureVersion": None}, {"Type": "Other"},
            {"TopicArn": "arn:aws:sns:us-east-1:999999999999:ses-events"}, {"TopicArn": None},
            {"MessageId": "other"}, {"MessageId": None}, {"Subject": None}, {"Timestamp": 3},
        )  # fmt: skip
        return [WebhookRequest(good.headers, orjson.dumps(call | change)) for change in changes]

    def a_delivery(self) -> Json:
        return {
            "eventType": "Delivery",
            "mail": {
                "messageId": "0100018f-abc", "destination": ["ann@x.example"],
                "tags": {"send_id": ["s1"]}, "timestamp": "2026-01-01T00:00:00.000Z",
            },
            "delivery": {"timestamp": "2026-01-01T00:00:02Z", "smtpResponse": "250 ok"},
        }  # fmt: skip

"""Files of a single mail, from POST /send-email to the bytes that an ESP is given: the same."""

import base64
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from email import message_from_bytes, policy
from typing import Any

import orjson
import pytest

from config.esp_config import ESP_FACTS, SES_SMTP_FACTS
from database import migrate
from database.engine import Database
from services.amazon_ses import AmazonSes
from services.esp import Capabilities, Esp
from services.postmark import Postmark
from services.sendgrid import SendGrid
from services.ses_client import AwsKeys
from services.ses_smtp import SesSmtp, endpoint
from tests import house
from tests.served import Caller, app_of, house_of
from tests.services.scripted_server import Peer, ScriptedServer
from tests.services.smtp_script import ScriptedSmtp

KEYS = AwsKeys("AKIAEXAMPLE", "secret")
#: (name, type, bytes)
File = tuple[str, str, bytes]
FILES: tuple[File, ...] = (
    ('Rechnung für "Zoë" – 日本語 🎉; a=b%20.pdf', "application/pdf", bytes(range(256)) * 40),
    ("ü" * 251 + ".csv", "text/csv", "a;ä\r\n.\r\n\n\rFrom b\r\n".encode("latin-1")),
    ("utf8.txt", "text/plain", "\ufeffZoë\n".encode()),
    (".htaccess", "application/x.odd+thing", b"\0"),
    ("photo.png", "image/png", random.Random(7).randbytes(1_500_000)),
)  # fmt: skip
Arrived = Callable[[], list[File]]


def decoded(value: str) -> bytes:
    return base64.b64decode(value, validate=True)


def of_sendgrid(sent: Any) -> list[File]:
    assert {file["disposition"] for file in sent["attachments"]} == {"attachment"}
    return [(f["filename"], f["type"], decoded(f["content"])) for f in sent["attachments"]]


def of_postmark(sent: Any) -> list[File]:
    [mail] = sent
    return [(f["Name"], f["ContentType"], decoded(f["Content"])) for f in mail["Attachments"]]


def of_ses(sent: Any) -> list[File]:
    files = sent["Content"]["Simple"]["Attachments"]
    return [(f["FileName"], f["ContentType"], decoded(f["RawContent"])) for f in files]


def of_mime(sent: bytes) -> list[File]:
    mail: Any = message_from_bytes(sent, policy=policy.default)
    return [
        (part.get_filename(), part.get_content_type(), part.get_payload(decode=True))
        for part in mail.iter_attachments()
    ]


def accept(peer: Peer) -> None:
    """What each of the three says to a message that it takes."""
    peer.note()
    if peer.path == "/v3/mail/send":
        peer.answer(202, X_Message_Id="m1")
    elif peer.path == "/email/batch":
        peer.answer(200, orjson.dumps([{"ErrorCode": 0, "MessageID": "m1", "Message": "OK"}]))
    else:
        peer.answer(200, b'{"MessageId":"m1"}')


def can(name: str) -> Capabilities:
    return Capabilities(**ESP_FACTS[name].fields())


@contextmanager
def over_http(name: str) -> Iterator[tuple[Esp, Arrived]]:
    with ScriptedServer(accept) as server:
        make: dict[str, Callable[[], Esp]] = {
            "sendgrid": lambda: SendGrid("SG.key", can(name), base_url=server.url),
            "postmark": lambda: Postmark("token", can(name), base_url=server.url),
            "ses": lambda: AmazonSes(can(name), keys=KEYS, endpoint_url=server.url),
        }
        read = {"sendgrid": of_sendgrid, "postmark": of_postmark, "ses": of_ses}[name]
        yield make[name](), lambda: read(orjson.loads(server.seen[-1].body))


@contextmanager
def over_smtp(name: str) -> Iterator[tuple[Esp, Arrived]]:
    facts = Capabilities(**SES_SMTP_FACTS.fields())
    with ScriptedSmtp() as server:
        where = endpoint(KEYS, "us-east-1", "127.0.0.1", server.port)
        esp = SesSmtp(facts, where, AmazonSes(can(name), keys=KEYS), timeout_seconds=10.0)
        yield esp, lambda: of_mime(server.messages[-1])


@pytest.mark.parametrize(
    "name,way",
    [("sendgrid", over_http), ("ses", over_http), ("postmark", over_http), ("ses", over_smtp)],
    ids=["sendgrid", "ses", "postmark", "ses over smtp"],
)
def test_names_types_and_bytes_arrive_as_they_were_posted(
    database_url: str, name: str, way: Callable[[str], Any]
) -> None:
    database = Database(database_url)
    migrate.upgrade(database)
    with way(name) as (esp, arrived):
        home = house.enter(database, esps={name: esp})
        parts = house_of(home)
        facts = replace(parts.settings, max_request_bytes=10_000_000)
        api = Caller(app_of(replace(parts, settings=facts)).test_client())
        attachments = [
            {"filename": given, "content_type": kind, "content": base64.b64encode(data).decode()}
            for given, kind, data in FILES
        ]
        mail = {"to": "ann@example.net", "subject": "Files", "html": "<p>Hi</p>"}
        answer = api.post("/send-email", mail | {"attachments": attachments})
        assert answer.status_code == 202, answer.json
        send_id = answer.json["send_id"]
        home.drain(1)
        shown = api.get(f"/sends/{send_id}").json
        assert (shown["status"], shown["esp"]) == ("accepted", name), shown["reason"]
        assert arrived() == list(FILES)
    database.dispose()

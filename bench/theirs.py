"""What one writes without the product: each vendor's SDK, used with care or one request each.

Every sender reads people from SQLite, fills in the same letter with the same one-click headers (RFC
8058, which large mailbox providers ask of bulk mail), and marks who was mailed. Favours: no ledger
made beforehand, no claim, no suppression, no check of single answers, no durable commit
(synchronous=NORMAL), one token for everything, templates compiled once, orjson where it is ours to
choose, and the client's connection kept where the SDK keeps it.
"""

import functools
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import jinja2
import orjson
import sendgrid
from botocore.config import Config
from itsdangerous import URLSafeSerializer
from markupsafe import escape
from postmarker.core import PostmarkClient
from sendgrid.helpers.mail import (
    CustomArg,
    From,
    Header,
    HtmlContent,
    Mail,
    Personalization,
    PlainTextContent,
    Substitution,
    To,
)

from bench import letter

ONE_CLICK = ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")
_token = URLSafeSerializer("a key").dumps


#: People read in one query.
PAGE = 500


class Person(NamedTuple):
    id: int
    email: str
    name: str
    attributes: dict[str, str]

    def values(self) -> dict[str, str]:
        """What the letter asks for."""
        known = self.attributes
        return {
            "name": self.name, "plan": known["plan"], "city": known["city"],
            "points": known["points"], "token": _token(self.id),
        }  # fmt: skip


def _unsubscribe(token: str) -> str:
    return f"<{letter.PUBLIC_URL}/unsubscribe/{token}>"


Send = Callable[[Sequence[Person]], None]


class Way(NamedTuple):
    """A way to send: so many people in one call of `send`."""

    batch: int
    send: Send


class Mailer:
    """Goes through the list and remembers who was mailed."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("CREATE TABLE mailed (id INTEGER PRIMARY KEY)")

    def mail(self, way: Way, count: int) -> int:
        """Mail the first `count` people; returns how many are marked."""
        after, left = 0, count
        while left > 0:
            page = self._page(after, min(max(way.batch, PAGE), left))
            if not page:
                break
            for start in range(0, len(page), way.batch):
                people = page[start : start + way.batch]
                way.send(people)
                with self._db:
                    ids = [(person.id,) for person in people]
                    self._db.executemany("INSERT INTO mailed VALUES (?)", ids)
            after, left = page[-1].id, left - len(page)
        return int(self._db.execute("SELECT count(*) FROM mailed").fetchone()[0])

    def forget(self) -> None:
        """Before the next round."""
        with self._db:
            self._db.execute("DELETE FROM mailed")

    def close(self) -> None:
        self._db.close()

    def _page(self, after: int, limit: int) -> list[Person]:
        rows = self._db.execute(
            "SELECT id, email, name, attributes FROM subscribers"
            " WHERE id > ? AND status = 'active' ORDER BY id LIMIT ?",
            (after, limit),
        )
        return [Person(i, email, name, orjson.loads(json)) for i, email, name, json in rows]


@functools.cache
def _templates() -> tuple[jinja2.Template, jinja2.Template, jinja2.Template]:
    """Subject, HTML and text, compiled once."""
    parts = letter.in_syntax_of(lambda name: f"{{{{ {name} }}}}")
    plain, html = jinja2.Environment(), jinja2.Environment(autoescape=True)  # noqa: S701 (text)
    return (
        plain.from_string(parts.subject), html.from_string(parts.html),
        plain.from_string(parts.text),
    )  # fmt: skip


def _rendered(person: Person) -> tuple[letter.Parts, str]:
    """The letter, and the value of its List-Unsubscribe."""
    values = person.values()
    parts = letter.Parts(*(template.render(values) for template in _templates()))
    return parts, _unsubscribe(values["token"])


def sendgrid_batch(url: str) -> Way:
    """The Mail helper with a personalization for each person. A value is escaped for HTML once and
    also used in the text, which shows `&amp;`: another favour."""
    client = sendgrid.SendGridAPIClient("SG.key", host=url)
    parts = letter.in_syntax_of(lambda name: f"-{name}-")

    def send(people: Sequence[Person]) -> None:
        mail = Mail(
            From(letter.FROM), subject=parts.subject,
            plain_text_content=PlainTextContent(parts.text),
            html_content=HtmlContent(parts.html),
        )  # fmt: skip
        mail.add_header(Header(*ONE_CLICK))
        for person in people:
            values = person.values()
            one = Personalization()
            one.add_to(To(person.email))
            one.add_header(Header("List-Unsubscribe", _unsubscribe(values["token"])))
            for name, value in values.items():
                one.add_substitution(Substitution(f"-{name}-", str(escape(value))))
            one.add_custom_arg(CustomArg("id", str(person.id)))
            mail.add_personalization(one)
        assert client.send(mail).status_code == 202

    return Way(1000, send)


def sendgrid_each(url: str) -> Way:
    client = sendgrid.SendGridAPIClient("SG.key", host=url)

    def send(people: Sequence[Person]) -> None:
        (subject, html, text), unsubscribe = _rendered(people[0])
        mail = Mail(
            From(letter.FROM), To(people[0].email), subject, PlainTextContent(text),
            HtmlContent(html),
        )  # fmt: skip
        mail.add_custom_arg(CustomArg("id", str(people[0].id)))
        mail.add_header(Header("List-Unsubscribe", unsubscribe))
        mail.add_header(Header(*ONE_CLICK))
        assert client.send(mail).status_code == 202

    return Way(1, send)


def _ses(url: str) -> Any:
    session = boto3.session.Session("AKIDEXAMPLE", "secret", region_name="us-east-1")
    config = Config(retries={"total_max_attempts": 1})
    return session.client("sesv2", endpoint_url=url, config=config)


def ses_batch(url: str) -> Way:
    """SendBulkEmail with the letter as an inline template."""
    client = _ses(url)
    parts = letter.in_syntax_of(lambda name: f"{{{{{name}}}}}")
    template = {
        "TemplateContent": {"Subject": parts.subject, "Html": parts.html, "Text": parts.text},
        "TemplateData": "{}",
        "Headers": [_pair(*ONE_CLICK)],
    }

    def send(people: Sequence[Person]) -> None:
        entries = [_ses_entry(person) for person in people]
        answer = client.send_bulk_email(
            FromEmailAddress=letter.FROM, DefaultContent={"Template": template},
            BulkEmailEntries=entries,
        )  # fmt: skip
        assert len(answer["BulkEmailEntryResults"]) == len(people)

    return Way(50, send)


def _pair(name: str, value: str) -> dict[str, str]:
    return {"Name": name, "Value": value}


def _ses_entry(person: Person) -> dict[str, Any]:
    values = {name: str(escape(value)) for name, value in person.values().items()}
    template = {"ReplacementTemplateData": orjson.dumps(values).decode()}
    return {
        "Destination": {"ToAddresses": [person.email]},
        "ReplacementTags": [_pair("id", str(person.id))],
        "ReplacementHeaders": [_pair("List-Unsubscribe", _unsubscribe(values["token"]))],
        "ReplacementEmailContent": {"ReplacementTemplate": template},
    }


def ses_each(url: str) -> Way:
    client = _ses(url)

    def send(people: Sequence[Person]) -> None:
        (subject, html, text), unsubscribe = _rendered(people[0])
        simple = {
            "Subject": {"Data": subject},
            "Body": {"Html": {"Data": html}, "Text": {"Data": text}},
            "Headers": [_pair("List-Unsubscribe", unsubscribe), _pair(*ONE_CLICK)],
        }
        client.send_email(
            FromEmailAddress=letter.FROM, Destination={"ToAddresses": [people[0].email]},
            EmailTags=[_pair("id", str(people[0].id))], Content={"Simple": simple},
        )  # fmt: skip

    return Way(1, send)


def postmark_batch(url: str) -> Way:
    """send_batch of 500 rendered messages."""
    client = PostmarkClient("token", root_api_url=url)

    def send(people: Sequence[Person]) -> None:
        answer = client.emails.send_batch(*[_postmark_message(person) for person in people])
        assert len(answer) == len(people)

    return Way(500, send)


def postmark_each(url: str) -> Way:
    client = PostmarkClient("token", root_api_url=url)

    def send(people: Sequence[Person]) -> None:
        client.emails.send(**_postmark_message(people[0]))

    return Way(1, send)


def _postmark_message(person: Person) -> dict[str, Any]:
    (subject, html, text), unsubscribe = _rendered(person)
    return {
        "From": letter.FROM, "To": person.email, "Subject": subject, "HtmlBody": html,
        "TextBody": text, "Metadata": {"id": str(person.id)}, "MessageStream": "broadcast",
        "Headers": dict([("List-Unsubscribe", unsubscribe), ONE_CLICK]),
    }  # fmt: skip


#: Careful use of each SDK's own batch call, and one request for each person.
BATCH = {"sendgrid": sendgrid_batch, "ses": ses_batch, "postmark": postmark_batch}
EACH = {"sendgrid": sendgrid_each, "ses": ses_each, "postmark": postmark_each}

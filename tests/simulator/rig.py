"""A running simulator with real clients at hand."""

import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any
from urllib.parse import quote, urlsplit

import boto3
import sendgrid
from botocore.config import Config
from postmarker.core import PostmarkClient

Json = Any
PATIENCE_SECONDS = 10
BOTO = boto3.Session(region_name="us-east-1")


class Rig:
    """One simulator, its keys, and an SDK client per ESP."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys = self.get("/_keys")

    def close(self) -> None:
        if "ses" in self.__dict__:
            self.ses.close()

    def call(self, method: str, path: str, body: Json = None, **headers: str) -> tuple[int, Json]:
        status, data, _ = self.raw(
            method, path, None if body is None else json.dumps(body).encode(), **headers
        )
        return status, json.loads(data) if data else None

    def raw(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        line = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=PATIENCE_SECONDS)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            line.request(method, path, body, named)
            answer = line.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())
        finally:
            line.close()

    def get(self, path: str, **query: object) -> Json:
        asked = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in query.items())
        status, shown = self.call("GET", f"{path}?{asked}" if asked else path)
        assert status == 200, shown
        return shown

    def fault(self, kind: str, **options: object) -> int:
        status, shown = self.call("POST", "/_faults", {"kind": kind, **options})
        assert status == 201, shown
        return int(shown["id"])

    def webhooks(self, **settings: object) -> Json:
        status, shown = self.call("PATCH", "/_webhooks", settings)
        assert status == 200, shown
        return shown

    def limits(self, esp: str, **settings: object) -> None:
        status, shown = self.call("PATCH", "/_limits", {esp: settings})
        assert status == 200, shown

    def messages(self, **query: object) -> list[Json]:
        return list(self.get("/_messages", **query)["items"])

    def accepted(self, esp: str) -> int:
        return int(self.get("/_stats")["esps"][esp]["accepted"])

    # -- SendGrid ---------------------------------------------------------------------------

    @cached_property
    def sendgrid(self) -> Any:
        client = sendgrid.SendGridAPIClient(self.keys["sendgrid"]["api_key"], host=self.url)
        client.client.timeout = 5
        return client

    def sg_send(self, mail: Json) -> Any:
        return self.sendgrid.client.mail.send.post(request_body=mail)

    def sg_post(self, mail: Json, key: str | None = None) -> tuple[int, Json]:
        """The same over plain HTTP, with the error body at hand."""
        token = self.keys["sendgrid"]["api_key"] if key is None else key
        return self.call(
            "POST", "/v3/mail/send", mail,
            Authorization=f"Bearer {token}", Content_Type="application/json",
        )  # fmt: skip

    # -- SES --------------------------------------------------------------------------------

    @cached_property
    def ses(self) -> Any:
        return self.ses_client()

    def ses_client(self, **other: Any) -> Any:
        """A client with other settings; the caller closes it."""
        keys = self.keys["ses"]
        settings = {
            "region_name": keys["region"],
            "aws_access_key_id": keys["access_key_id"],
            "aws_secret_access_key": keys["secret_access_key"],
            "endpoint_url": self.url,
            "config": Config(
                retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=5, proxies={}
            ),
        }
        return BOTO.client("sesv2", **(settings | other))

    # -- Postmark ---------------------------------------------------------------------------

    @contextmanager
    def postmark(self, token: str | None = None) -> Iterator[PostmarkClient]:
        client = PostmarkClient(
            server_token=token or self.keys["postmark"]["server_token"],
            timeout=(2, 5), root_api_url=self.url,
        )  # fmt: skip
        try:
            yield client
        finally:
            client.session.close()

    def pm_post(self, path: str, body: Json, **headers: str) -> tuple[int, Json]:
        return self.call(
            "POST", path, body,
            **{"Content_Type": "application/json", "Accept": "application/json",
               "X_Postmark_Server_Token": self.keys["postmark"]["server_token"]} | headers,
        )  # fmt: skip

    # -- one mail to each -------------------------------------------------------------------

    def send_each(self, local: str) -> None:
        """One message to `local@…` through every ESP by its SDK, with a send id that says where."""
        self.sg_send(sg_mail([f"{local}@sg.example"], campaign="c1"))
        self.ses.send_bulk_email(**ses_bulk([f"{local}@ses.example"]))
        with self.postmark() as client:
            client.call("POST", "/email/batch", data=[pm_mail(f"{local}@pm.example")])


def sg_mail(people: list[str], campaign: str = "c1", **more: Json) -> Json:
    return {
        "from": {"email": "news@a.example", "name": "News"},
        "subject": "Hello -first-",
        "content": [
            {"type": "text/plain", "value": "Hi -first-"},
            {
                "type": "text/html",
                "value": '<p>Hi -first-, <a href="https://a.example/p?a=1&amp;b=2">see</a></p>',
            },
        ],
        "custom_args": {"campaign_id": campaign},
        "personalizations": [
            {
                "to": [{"email": person}],
                "substitutions": {"-first-": person.partition("@")[0]},
                "custom_args": {"send_id": f"sg-{person}"},
                "headers": {"List-Unsubscribe": f"<https://a.example/u/{n}>"},
            }
            for n, person in enumerate(people)
        ],
    } | more


def ses_bulk(people: list[str], **more: Json) -> Json:
    return {
        "FromEmailAddress": "News <news@a.example>",
        "DefaultEmailTags": [{"Name": "campaign_id", "Value": "c1"}],
        "DefaultContent": {
            "Template": {
                "TemplateContent": {
                    "Subject": "Hello {{first}}",
                    "Html": '<p>Hi {{first}}, <a href="https://a.example/p?a=1&amp;b=2">see</a></p>',
                    "Text": "Hi {{first}}",
                },
                "TemplateData": "{}",
                "Headers": [
                    {"Name": "List-Unsubscribe-Post", "Value": "List-Unsubscribe=One-Click"}
                ],
            }
        },
        "BulkEmailEntries": [
            {
                "Destination": {"ToAddresses": [person]},
                "ReplacementTags": [{"Name": "send_id", "Value": f"ses-{n}"}],
                "ReplacementEmailContent": {
                    "ReplacementTemplate": {
                        "ReplacementTemplateData": json.dumps({"first": person.partition("@")[0]})
                    }
                },
                "ReplacementHeaders": [
                    {"Name": "List-Unsubscribe", "Value": f"<https://a.example/u/{n}>"}
                ],
            }
            for n, person in enumerate(people)
        ],
    } | more


def pm_mail(person: str, **more: Json) -> Json:
    return {
        "From": "News <news@a.example>",
        "To": person,
        "Subject": "Hello",
        "TextBody": "Hi",
        "HtmlBody": '<p>Hi, <a href="https://a.example/p?a=1&amp;b=2">see</a></p>',
        "MessageStream": "broadcast",
        "Metadata": {"send_id": f"pm-{person}"[:80], "campaign_id": "c1"},
        "Headers": [{"Name": "List-Unsubscribe", "Value": "<https://a.example/u/1>"}],
    } | more


def eventually(true: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "did not come true in time"
        time.sleep(0.02)

# ruff: noqa: E501 (a source of one piece reads best in one piece)
"""The same person gets the same message through SendGrid, Amazon SES by API and by SMTP, and
Postmark: the campaign is compiled and rendered as the product does it, leaves by the real adapters,
and what the simulator says that each recipient reads is compared byte for byte."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.esp_config import SES_SMTP_FACTS
from database.models import CampaignKind
from mail.compiled import Compiled
from mail.content import Campaign, Sender, Source, compile_campaign
from mail.message import Message, fill
from mail.people import Recipient
from services.amazon_ses import AmazonSes
from services.esp import Accepted, Batch, Capabilities, Esp
from services.ses_client import AwsKeys
from services.ses_smtp import SesSmtp, endpoint
from simulator import server
from tests.journeys.rehearsal import Rehearsal, real_esps
from tests.mail.authoring import URLS

HOSTILE = [
    "{{7*7}}", "{{ 7 | times: 7 }}", "{% if x %}", "-name-", "-abcdefgh0-", "[unsubscribe]",
    "<%asm_group_unsubscribe_url%>", "{{{ pm:unsubscribe }}}", "{{{{raw}}}}", "{{#if s0}}x{{/if}}",
    "{{s0}}", "{{b0}}", "{", "{{", "}}", "\\", "\\\\{", '"', "'", "O'Neill & \"Sons\"", "&amp;", "%s %b",
    "<script>alert(1)</script>", "</p></body>", "👩‍👩‍👧 𝒳 𠜎", "नमस्ते", "ليلى", "\u2028", "\u00a0", "\u200b",
    "a\r\nBcc: x@example.org", "a\nb", "a\rb", "\t", ".", "..", "\r\n.\r\n", "From ", "=?utf-8?q?x?=",
    "=3D", "a" * 3_000, "é" * 1_200, "^", "\x7f", "  two  ", "soft=\nbreak",
]  # fmt: skip
#: Also around every slot: the source itself is full of what an ESP might read.
SOURCE = Source(
    "{{ v }} {{ name }}{% if w %}: {{ w }}{% endif %}",
    html="<body><p>-name- [unsubscribe] &lt;%asm_preferences_url%&gt; {% raw %}{{{ pm:unsubscribe }}}"
    " {{s0}} {{#if x}}{% endraw %} {{ '{' }}{{ v }}{{ '}' }} {{'{{'}}{{ w }}}} \\{{ v }}</p>"
    "{% for i in items %}<b title=\"{{ i }}\">{{ i | upcase }}</b>{% endfor %}"
    "<a href='https://a.example/?q={{ v }}&amp;x=1'>{{ w | default: '<none>' }}</a>\n.\n</body>",
    text="{{ v }}|{{ w }}\n.\n{% for i in items %}- {{ i }}\n{% endfor %}{% raw %}{{s1}}{% endraw %}",
    allow_missing=True,
    preheader="{{ v }} & {% if w %}{{ w }}{% endif %} -name- {% raw %}{{s0}}{% endraw %}",
    headers=(("X-Entity-Ref-ID", "-name- {{s0}} 42"), ("References", "<a@example.com> <b@example.com>")),
)  # fmt: skip
values = st.one_of(
    st.sampled_from(HOSTILE),
    st.lists(st.sampled_from(HOSTILE), min_size=2, max_size=4).map("".join),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40),
)
people = st.fixed_dictionaries(
    {"v": values, "w": values, "items": st.lists(values, max_size=3), "name": values}
)
numbers = itertools.count(1)


def campaign(number: int) -> Compiled:
    return compile_campaign(
        SOURCE,
        campaign=Campaign(number, "abcdefgh", "Spring -name- {{x}}", None, CampaignKind.CAMPAIGN),
        sender=Sender("news@example.com", "Zoë {{x}}", "reply@example.com", "1 Main Street"),
        urls=URLS,
    )


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    folder: Path = tmp_path_factory.mktemp("simulator")
    with server.start(folder / "simulator.db") as running:
        yield Rehearsal(running)


@pytest.fixture(scope="module")
def transports(rehearsal: Rehearsal) -> dict[str, Esp]:
    """The four ways out."""
    three = real_esps(rehearsal.keys, rehearsal.running.url, timeout_seconds=20)
    keys, can = rehearsal.keys["ses"], Capabilities(**SES_SMTP_FACTS.fields())
    aws = AwsKeys(keys["access_key_id"], keys["secret_access_key"])
    its = endpoint(aws, keys["region"], keys["smtp_host"], keys["smtp_port"])
    smtp = SesSmtp(can, its, AmazonSes(can, keys=aws), timeout_seconds=20)
    return {**three, "ses-smtp": smtp}


#: What a transport writes about itself, or what an ESP takes out again.
_THEIRS = frozenset({
    "mime-version", "content-type", "content-transfer-encoding", "date", "from", "to", "subject",
    "message-id",
})  # fmt: skip


def as_read(mail: dict[str, Any]) -> dict[str, Any]:
    """A message as its recipient's client shows it: line ends are the transport's own."""
    headers = {
        name.lower(): value for name, value in mail["headers"].items()
        if name.lower() not in _THEIRS and not name.lower().startswith("x-pm-")
    }  # fmt: skip
    return {
        "subject": mail["subject"], "html": _lines(mail["html"]), "text": _lines(mail["text"]),
        "headers": headers,
    }  # fmt: skip


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")


def through_all(
    rehearsal: Rehearsal, transports: dict[str, Esp], compiled: Compiled, made: list[Message]
) -> dict[str, dict[str, Any]]:
    """What each of them gets by each transport, by send id; every ESP is emptied before."""
    seen: dict[str, dict[str, Any]] = {message.send_id: {} for message in made}
    for name, esp in transports.items():
        rehearsal.ask("/_reset", {})
        report = esp.send(Batch(compiled.content, made))
        assert [type(outcome) for outcome in report.outcomes] == [Accepted] * len(made)
        for mail in rehearsal.ask("/_messages?limit=1000")["items"]:
            seen[mail["send_id"]][name] = as_read(mail)
    return seen


@settings(
    max_examples=40, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(st.lists(people, min_size=1, max_size=12))
def test_everybody_gets_the_same_bytes_whichever_way(
    rehearsal: Rehearsal, transports: dict[str, Esp], crowd: list[dict[str, Any]]
) -> None:
    compiled = campaign(next(numbers))
    made = [
        compiled.render(Recipient(n, f"p{n}@example.org", one["name"], f"P{n}@example.org", one))
        for n, one in enumerate(crowd, 1)
    ]
    seen = through_all(rehearsal, transports, compiled, made)
    for message in made:
        wanted = {
            "subject": fill(compiled.content.subject, message.slots),
            "html": _lines(fill(compiled.content.html or (), message.slots)),
            "text": _lines(fill(compiled.content.text or (), message.slots)),
        }
        ways = seen[message.send_id]
        assert set(ways) == set(transports)
        for name, got in ways.items():
            assert {part: got[part] for part in wanted} == wanted, name
        first, *others = (ways[name]["headers"] for name in transports)
        assert others == [first] * len(others)
        assert first["list-unsubscribe"] == message.headers[0]
        assert {name.lower(): value for name, value in SOURCE.headers}.items() <= first.items()

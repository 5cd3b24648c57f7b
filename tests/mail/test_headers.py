"""Headers of mail to many, and what nobody can write into them."""

import re

import pytest

from mail.headers import feedback_id, list_id, unsubscribe_frame
from tests.mail.authoring import CONSENT, NONCE, PUBLIC, compiled, somebody
from utils.signing import SendRef

TOKEN = CONSENT.token(SendRef(NONCE, 1))


def test_one_click_unsubscribe_is_personal_and_the_rest_is_shared() -> None:
    campaign = compiled("x", topic="Product News", mailto="out@example.com")
    assert dict(campaign.content.headers) == {
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "List-Id": "<product-news.example.com>",
        "Feedback-ID": dict([feedback_id(7, "Product News", "example.com")])["Feedback-ID"],
    }
    assert campaign.content.personal_headers == ("List-Unsubscribe",)
    assert campaign.render(somebody()).headers == (
        f"<{PUBLIC}/unsubscribe/{TOKEN}>, <mailto:out@example.com?subject=unsubscribe%20{TOKEN}>",
    )


def test_without_a_mailbox_the_web_is_the_only_way_out() -> None:
    assert compiled("x").render(somebody()).headers == (f"<{PUBLIC}/unsubscribe/{TOKEN}>",)


def test_no_header_claims_an_automatic_answer_or_a_precedence() -> None:
    names = {name.lower() for name, _ in compiled("x").content.headers}
    assert not names & {"auto-submitted", "precedence", "x-auto-response-suppress"}


@pytest.mark.parametrize(
    "topic, domain, expected",
    [
        (None, "example.com", "<newsletter.example.com>"),
        ("News & Offers!", "Example.COM", "<news-offers.example.com>"),
        ("--", "example.com", r"<topic-[0-9a-f]{8}\.example\.com>"),
        ("Новости", "пример.рф", r"<topic-[0-9a-f]{8}\.xn--e1afmkfd\.xn--p1ai>"),
        ("a\r\nBcc: x", "a.example\r\nBcc: x", "<a-bcc-x.a.examplebccx>"),
        ("x" * 200, "example.com", "<" + "x" * 60 + ".example.com>"),
    ],
)
def test_the_list_has_a_stable_name_in_ascii(topic: str | None, domain: str, expected: str) -> None:
    name = list_id(topic, domain)
    assert name == expected or re.fullmatch(expected, name)
    assert name == list_id(topic, domain)


def test_feedback_id_has_four_fields_and_ends_with_the_sender() -> None:
    for topic in (None, "a:b", "x\r\ny"):
        name, value = feedback_id(7, topic, "example.com")
        *fields, sender = value.split(":")
        assert name == "Feedback-ID"
        assert len(fields) == 3
        assert re.fullmatch(r"[0-9a-z]{5,15}", sender)
        assert value.isprintable()
    senders = {
        feedback_id(1, None, "a.example")[1].rpartition(":")[2],
        feedback_id(2, "t", "a.example")[1].rpartition(":")[2],
    }
    assert len(senders) == 1


@pytest.mark.parametrize(
    "mailto",
    [
        "a@example.com>,<https://evil.example/",
        "a@example.com\r\nBcc: x@example.com",
        "a@example.com?cc=x@example.com",
        "TOKEN@example.com",
    ],
)
def test_the_mail_way_out_cannot_carry_anything_else(mailto: str) -> None:
    header = TOKEN.join(unsubscribe_frame(PUBLIC, mailto))
    assert header.isprintable()
    assert header.count("<") == header.count(">") == 2
    assert header.count(TOKEN) == 2
    assert header.count("?") == 1


def test_the_senders_name_stays_on_one_line() -> None:
    campaign = compiled("x", sender_name="News\r\nBcc: x@example.com")
    assert campaign.content.from_name == "News Bcc: x@example.com"

"""Messages as bytes: what a mail program reads in them, and what no value can do to them."""

import re
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from typing import Any

import pytest

from mail.message import Attachment, fill
from services.mime import GOOD_LINE, LONGEST_LINE, Letters, header, mailbox, subject
from tests.services.esp_contract import HOSTILE, content, message


def read(data: bytes) -> Any:
    return message_from_bytes(data, policy=policy.default)


def written(slots: tuple[str, ...] | None = None, **changes: Any) -> bytes:
    letters = Letters(content(**changes), [("From", "News <news@example.com>")])
    return letters.write(message(0, slots=slots))


def lines_of(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def only_smtp(data: bytes) -> None:
    """Lines that SMTP can carry, and nothing but ASCII."""
    assert data.endswith(b"\r\n")
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", data)
    assert max(map(len, data.split(b"\r\n"))) <= LONGEST_LINE
    assert data.isascii()


def test_text_comes_before_html_and_both_are_read_as_they_were() -> None:
    mail = read(written())
    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/alternative", "text/plain", "text/html",
    ]  # fmt: skip
    assert mail.get_body(("html",)).get_content() == "<p>Hi Ann0, you are number 0</p>"
    assert mail["Subject"] == "Hello Ann0"
    assert mail["List-Unsubscribe"] == "<https://news.example.com/u/0>"
    assert mail["Reply-To"] == "reply@example.com"


@pytest.mark.parametrize("kind", ["text", "html"])
def test_one_part_alone_needs_no_parts(kind: str) -> None:
    missing: dict[str, Any] = {"text": {"html": None}, "html": {"text": None}}[kind]
    mail = read(written(**missing))
    assert mail.get_content_type() == {"text": "text/plain", "html": "text/html"}[kind]
    assert "Ann0" in mail.get_content()


def test_neither_text_nor_html_is_no_message() -> None:
    with pytest.raises(ValueError, match="neither text nor html"):
        Letters(content(text=None, html=None), [])


@pytest.mark.parametrize(
    "value", [*HOSTILE, "--=_abcd2345a--", "=_abcd2345a", "=" * 80, "\r", ".\n.\n"]
)
def test_whatever_a_value_is_it_arrives_and_breaks_nothing(value: str) -> None:
    odd = content(html=("<p>\n", 0, "\n</p>"), text=(0, "\n.\n", 0), slot_count=1)
    data = Letters(odd, []).write(message(0, slots=(value,)))
    only_smtp(data)
    mail = read(data)
    for kind, pieces in (("plain", odd.text), ("html", odd.html)):
        shown = lines_of(mail.get_body((kind,)).get_content())
        assert shown == lines_of(fill(pieces or (), (value,)))
    assert len(list(mail.walk())) == 3


@pytest.mark.parametrize(
    "text, encoding",
    [("English, mostly: Zoë\n" * 50, "quoted-printable"), ("日本語" * 50, "base64")],
)
def test_the_shorter_encoding_is_taken(text: str, encoding: str) -> None:
    mail = read(written((text, ""), subject=("Hi",), html=None))
    assert mail["Content-Transfer-Encoding"] == encoding
    assert text.strip() in lines_of(mail.get_content())


@pytest.mark.parametrize(
    "text", ["", "Hi", "a  b " * 60 + "c", " lead", "trail ", "=?utf-8?q?no?=", "x" * 300, "Zoë",
             "日本語の長い件名" * 20, "tab\there", "two\r\nBcc: eve@x.example", "\x00", "\u2028"],
)  # fmt: skip
def test_a_subject_stays_one_header(text: str) -> None:
    field = header("Subject", subject(text))
    only_smtp(field)
    assert all(len(line) <= GOOD_LINE for line in field.split(b"\r\n"))
    mail = message_from_bytes(field + b"\r\n")
    assert list(mail.keys()) == ["Subject"]
    unfolded = re.sub(r"\r?\n(?=[ \t])", "", mail["Subject"])
    shown = str(make_header(decode_header(unfolded)))
    assert shown == re.sub(r"[\x00-\x1f\x7f\u2028]+", " ", text)


def test_a_subject_without_end_is_none() -> None:
    with pytest.raises(ValueError, match="10001 characters"):
        subject("x" * 10_001)


@pytest.mark.parametrize("name", ["", "News", 'Doe, "J" <x>', "Zoë", "長い名前の配信部門" * 9])
def test_a_senders_name_is_read_as_it_was(name: str) -> None:
    field = header("From", mailbox(name, "a@x.example"))
    only_smtp(field)
    assert all(len(line) <= GOOD_LINE for line in field.split(b"\r\n"))
    shown = str(make_header(decode_header(message_from_bytes(field + b"\r\n")["From"])))
    assert shown.endswith("a@x.example>" if name else "a@x.example")
    assert name.replace('"', '\\"') in shown


@pytest.mark.parametrize("value", ["a\r\nBcc: b", "a\nb", "a\rb", "a\x00b", "ä", "a" * 999])
def test_what_no_header_can_hold_is_said(value: str) -> None:
    with pytest.raises(ValueError, match="the header List-Id"):
        header("List-Id", value)


def test_text_that_is_not_unicode_is_said() -> None:
    for slots in (("\ud800", "x"), ("x", "\ud800")):
        with pytest.raises(ValueError, match="surrogates"):
            written(slots)


FILES = (
    Attachment("plain.csv", "text/csv; charset=latin-1", "a;ä\r\n.\r\n".encode("latin-1")),
    Attachment("Rechnung für " + "ü" * 150 + ".pdf", "application/pdf", bytes(range(256)) * 9),
    Attachment("mail.eml", "message/rfc822", b"From: x\n\nbody"),
    Attachment("odd", "no type at all\r\nX-Evil: 1", b""),
    Attachment("two\r\nX-Evil: 1", "image/png", b"\x89PNG"),
)


def test_files_come_back_byte_for_byte_under_their_names() -> None:
    data = written(attachments=FILES)
    only_smtp(data)
    mail = read(data)
    assert "X-Evil" not in str([part.keys() for part in mail.walk()])
    assert mail.get_content_type() == "multipart/mixed"
    assert mail.get_body(("html",)).get_content() == "<p>Hi Ann0, you are number 0</p>"
    parts = list(mail.iter_attachments())
    assert [part.get_payload(decode=True) for part in parts] == [file.content for file in FILES]
    assert [part.get_filename() for part in parts] == [
        "plain.csv", FILES[1].filename, "mail.eml", "odd", "two X-Evil: 1",
    ]  # fmt: skip
    assert [part.get_content_type() for part in parts] == [
        "text/csv", "application/pdf", "application/octet-stream", "application/octet-stream",
        "image/png",
    ]  # fmt: skip
    assert parts[0].get_content_charset() == "latin-1"

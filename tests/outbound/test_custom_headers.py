"""Which headers an author may set, and what becomes of them."""

import pytest

from outbound.custom_headers import ALLOWED, problems, written


@pytest.mark.parametrize("name", [*ALLOWED, *ALLOWED.values()])
def test_a_short_list_is_allowed_in_any_case(name: str) -> None:
    assert problems({name: "<a@example.com> <b@example.com>"}) == []
    assert written({name: "x"}) == {ALLOWED[name.lower()]: "x"}


@pytest.mark.parametrize(
    "name",
    ["From", "to", "Bcc", "CC", "Subject", "Reply-To", "Sender", "Return-Path", "Date",
     "Message-ID", "List-Unsubscribe", "list-unsubscribe-post", "List-Id", "Feedback-ID",
     "Content-Type", "content-transfer-encoding", "MIME-Version", "Received", "DKIM-Signature",
     "X-SG-ID", "x-sg-eid", "X-SMTPAPI", "X-SES-MESSAGE-TAGS", "X-PM-Message-Stream", "X-Priority",
     "Precedence", "X-Anything", "", " References", "References:", "References\r\nBcc"],
)  # fmt: skip
def test_everything_else_is_refused_by_name(name: str) -> None:
    [problem] = problems({name: "x"})
    assert problem.field.startswith("headers")
    assert "may be set" in problem.message


@pytest.mark.parametrize(
    "value",
    ["", " ", " x", "x ", "a\r\nBcc: x@example.org", "a\nb", "a\rb", "a\0b", "a\tb", "é", "\x7f",
     "x" * 901],
)  # fmt: skip
def test_a_value_is_one_short_line_of_ascii(value: str) -> None:
    [problem] = problems({"References": value})
    assert problem.field == "headers.References"


def test_a_header_is_there_once() -> None:
    [problem] = problems({"References": "<a>", "references": "<b>"})
    assert "twice" in problem.message

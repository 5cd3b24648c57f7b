"""Addresses: the fast path says what the whole library says; one person has one canonical form."""

import email_validator
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.addresses import BadAddress, canonical, parse

ONE_PERSON = [
    "Jane.Doe+x@Bücher.Example.COM",
    "jane.doe+x@bücher.example.com",
    "JANE.DOE+X@BÜCHER.EXAMPLE.COM",
    "jane.doe+x@bu\u0308cher.example.com",
    "jane.doe+x@xn--bcher-kva.example.com",
    "jane.doe+x@XN--BCHER-KVA.EXAMPLE.COM",
    "  jane.doe+x@bücher.example.com\t",
    "jane.doe+x@bücher.example.com.",
    "jane.doe+x@bücher。example。com",
    "jane.doe+x@bücher.example.com。",
    '"jane.doe+x"@bücher.example.com',
    '"jane\\.doe\\+x"@bücher.example.com',
    "jane.doe+x@ｂücher.ｅxample.com",
    "\u00a0jane.doe+x@bücher.example.com\u2003",
]


def test_one_person_has_one_canonical_form() -> None:
    assert {canonical(text) for text in ONE_PERSON} == {"jane.doe+x@xn--bcher-kva.example.com"}


def test_kelvin_is_the_letter_k() -> None:
    assert canonical("\u212aate@example.com") == "kate@example.com"


@pytest.mark.parametrize(
    "left,right",
    [
        ("a.b@gmail.com", "ab@gmail.com"),
        ("a+x@gmail.com", "a@gmail.com"),
        ("a@gmail.com", "a@googlemail.com"),
        ('"a b"@example.com', '"ab"@example.com'),
    ],
)
def test_dots_and_plus_are_not_folded(left: str, right: str) -> None:
    assert canonical(left) != canonical(right)


def test_mail_goes_to_the_address_as_given() -> None:
    address = parse(' "Jane.O\'Neil"@Bücher.example. ')
    assert address.email == "Jane.O'Neil@xn--bcher-kva.example"
    assert address.domain == "xn--bcher-kva.example"
    assert parse('"Two Words"@example.com').email == '"Two Words"@example.com'


@pytest.mark.parametrize(
    "text,word",
    [
        ("", "@-sign"),
        ("nobody", "@-sign"),
        ("@example.com", "before the @-sign"),
        ("a@", "after the @-sign"),
        ("a@localhost", "period"),
        ("a@example", "period"),
        ("a..b@example.com", "two periods"),
        (".a@example.com", "period"),
        ("a@-example.com", "hyphen"),
        ("a@exam ple.com", "SPACE"),
        ("a@example.com, b@example.com", "','"),
        ("a@example.com\nBcc: b@example.com", "U+000A"),
        ("a\0@example.com", "U+0000"),
        ("a@example\0.com", "U+0000"),
        ("a\r@example.com", "U+000D"),
        ("Jane <a@example.com>", "angle brackets"),
        ("mailto:a@example.com", "':'"),
        ("a@[127.0.0.1]", "IP address"),
        ("jörg@example.com", "outside ASCII"),
        ("用户@例子.广告", "outside ASCII"),
        ("a@example.123", "top-level"),
        ("x" * 65 + "@example.com", "too long"),
        ("a@" + "b." * 125 + "com", "too long"),
        ("x" * 100_000 + "@example.com", "longer than 254"),
        ("a@" + "x" * 100_000, "longer than 254"),
        ("\ud800@example.com", ""),
        ("a@\ud800.com", ""),
    ],
)
def test_a_bad_address_is_refused_with_a_reason(text: str, word: str) -> None:
    with pytest.raises(BadAddress, match=r"\S") as refused:
        parse(text)
    assert word in str(refused.value)
    assert len(str(refused.value)) < 400


def by_the_library(text: str) -> tuple[str, str, str] | None:
    """What the whole library makes of it, by the contract's rule."""
    text = text.strip()
    if text.endswith((".", "。", "．", "｡")):
        text = text[:-1]
    try:
        found = email_validator.validate_email(
            text, check_deliverability=False, allow_quoted_local=True, strict=True
        )
    except email_validator.EmailNotValidError:
        return None
    if found.ascii_local_part is None:
        return None
    mail = f"{found.ascii_local_part}@{found.ascii_domain}"
    return (
        mail.lower(),
        f"{found.ascii_local_part.lower()}@{found.ascii_domain}",
        found.ascii_domain,
    )


def by_us(text: str) -> tuple[str, str, str] | None:
    try:
        found = parse(text)
    except BadAddress:
        return None
    return found.email.lower(), found.canonical, found.domain


dirt = st.text(st.sampled_from("aZ9.-_+'\"\\ @<>,;:()[]\0\r\n\té\u212aß。xn!{|}~"), max_size=12)
local = st.from_regex(r"[a-zA-Z0-9.+_'\"\\ -]{0,12}", fullmatch=True) | dirt
domain = st.one_of(
    st.sampled_from(
        [
            "example.com", "EXAMPLE.com.", "xn--bcher-kva.de", "bücher.de", "a.b.c.co", "x_y.com",
            "test.test", "example.invalid", "localhost", "1.2.3.4", "[1.2.3.4]", "ex--ample.com",
            "xn--a.com", "-a.com", "a-.com", "a..com", "com.", ".com", "faß.de", "☃.net", "a" * 64,
            ".".join(["a" * 63] * 3) + ".com", ".".join(["a" * 60] * 4) + ".de",
        ]
    ),
    st.from_regex(r"[a-zA-Z0-9.-]{0,20}\.[a-z]{2,4}\.?", fullmatch=True),
    dirt,
)  # fmt: skip
messy = st.one_of(
    st.builds(lambda left, right: f"{left}@{right}", local, domain),
    st.builds(lambda left, right: f' "{left}"@{right}\n', local, domain),
    st.builds(
        lambda size: "a" * size + "@" + "b" * 60 + "." + "c" * 60 + ".com", st.integers(0, 140)
    ),
    st.emails(),
    st.text(max_size=30),
)


@settings(max_examples=1500, deadline=None)
@given(messy)
def test_the_fast_path_agrees_with_the_library(text: str) -> None:
    assert by_us(text) == by_the_library(text)


@settings(max_examples=500, deadline=None)
@given(messy)
def test_the_canonical_form_is_its_own(text: str) -> None:
    found = by_us(text)
    if found is not None:
        assert canonical(found[1]) == found[1]
        assert found[1].isascii()


@pytest.mark.parametrize("size", [253, 254, 255])
def test_the_longest_address_is_the_same_on_both_paths(size: int) -> None:
    text = "a" * 60 + "@" + ".".join(["b" * 60] * 3)
    text += "." + "c" * (size - len(text) - 1)
    assert (by_us(text) is not None) == (by_the_library(text) is not None) == (size <= 254)

"""What an author is told without being stopped."""

import pytest

from tests.mail.authoring import compiled

IMAGE = "<img src='https://a.example/x.png' alt='x'>"


def warnings(html: str) -> list[str]:
    return [str(one) for one in compiled(html, allow_missing=True).warnings]


def test_a_letter_without_faults_has_no_warnings() -> None:
    assert warnings(f"<p>Hello {{{{ name }}}}</p>{IMAGE}") == []


@pytest.mark.parametrize(
    "html, words",
    [
        ("<p>" + "x" * 102_000, "102 kB and more for everybody"),
        ("<p>" + "é" * 51_000, "102 kB and more for everybody"),
        ("<p>x" + "{{ v }}<!--" + "x" * 101_000 + "-->", None),
        ("<p>{% if v %}" + "x" * 103_000 + "{% endif %}", "103 kB with all its branches, 0 kB"),
        ("<p>x\n<img src='http://a.example/x' alt='x'>", "line 2: an image not at an https"),
        ("<p>x<img src='/x' alt='x'><img src='x' alt=''>", "2 images not at an https"),
        ("<p>x<img src='{{ v }}' alt='x'><img src='cid:x' alt=x>", None),
        ("<p>x\n\n<img src='https://a.example/x'>", "line 3: an image without alt"),
        ("<p>x<img src='https://a.example/x' {% if v %}alt='{{ v }}'{% endif %}>", None),
        ("<p>x<img src='https://a.example/x' alt>", None),
        ("<!-- <img src='x'> --><p>x", None),
        ("<img src='https://a.example/x' alt=''>", "no text that can be read"),
    ],
)
def test_each_fault_is_told_once_with_its_line(html: str, words: str | None) -> None:
    found = warnings(html)
    assert len(found) == (1 if words else 0), found
    assert not words or words in found[0]


def test_every_link_counts_with_its_token() -> None:
    link = "<a href='https://a.example/'>x</a>"
    tracked = compiled(link * 1_300)
    untracked = compiled(link * 1_300, track_clicks=False)
    assert ["and more for everybody" in w.message for w in tracked.warnings] == [True]
    assert untracked.warnings == ()

"""The page behind "view in browser" and the preview carry nothing personal to click."""

import pytest

from mail.compiled import preview, render_view
from mail.people import Person, RenderError
from tests.mail.authoring import PUBLIC, compiled

ANNA = Person("anna@example.org", "Anna Berg", {"plan": "a/b", "n": 1})
SOURCE = (
    "<body><a href='{{ unsubscribe_url }}'>out</a><a href='{{ preferences_url }}'>p</a>"
    "<a href='{{ view_url }}'>v</a>{% if plan %}<a href='{{unsubscribe_url}}'>out</a>{% endif %}"
    "<a href='https://a.example/?a=1&amp;b=2'>a</a><a href='https://a.example/{{ plan }}'>b</a>"
    "<p>{{ name }} {{ plan }}</p></body>"
)


def test_the_page_has_no_personal_links_and_no_pixel() -> None:
    page = render_view(compiled(SOURCE), ANNA)
    assert PUBLIC not in page
    assert "<a href='#'>out</a>" in page
    assert "<a href='https://a.example/?a=1&amp;b=2'>" in page
    assert "<a href='https://a.example/a%2Fb'>b</a>" in page
    assert "<p>Anna Berg a/b</p>" in page


def test_a_preview_shows_all_parts_and_what_is_missing() -> None:
    shown = preview(compiled(SOURCE, subject="{{ city }} for\n{{ name }}"), ANNA)
    assert shown.subject == " for Anna Berg"
    assert shown.missing == ("city",)
    assert shown.html is not None
    assert shown.text is not None
    assert PUBLIC not in shown.html + shown.text
    assert "Anna Berg a/b" in shown.text


def test_values_in_the_page_are_escaped() -> None:
    page = render_view(compiled("{{ name }}"), Person("a@example.org", "<script>", None))
    assert "<script>" not in page


def test_a_page_that_cannot_be_made_says_why() -> None:
    with pytest.raises(RenderError, match="template: "):
        render_view(compiled("{{ n | divided_by: 0 }}"), ANNA)

"""The hidden line at the top of the HTML."""

import pytest

from mail.compiled import render_view
from mail.liquid import TemplateError
from mail.people import Person
from tests.mail.authoring import compiled, html_of, plain, somebody, text_of

PAGE = "<!doctype html><html><head><title>t</title></head><body class='x'><p>Hi</p></body></html>"


def made(html: str, preheader: str, values: dict[str, object] | None = None) -> str:
    campaign = compiled(html, preheader=preheader, allow_missing=True)
    return html_of(campaign, campaign.render(somebody(values or {})))


@pytest.mark.parametrize(
    "html, before",
    [
        (PAGE, "<body class='x'>"),
        ("<p>Hi</p>", ""),
        ("<!DOCTYPE html><p>Hi</p>", "<!DOCTYPE html>"),
        ("<html><p>Hi</p></html>", "<html>"),
        ("<html><head></head><p>Hi</p></html>", "</head>"),
        ("<!-- <body> --><p>Hi</p>", ""),
        ("{% if v %}<body>{% else %}<body dir=rtl>{% endif %}Hi", ""),
        ("<body {% if v %}dir=rtl{% endif %}>Hi", "<body >"),
        ("{% raw %}<body>{% endraw %}Hi", ""),
    ],
)
def test_it_stands_at_the_top_once_and_hidden(html: str, before: str) -> None:
    page = made(html, "What is new")
    start = page.index('<div style="display:none')
    assert page[:start].endswith(before)
    assert page[start:].split(">", 1)[1].startswith("What is new&#847;")
    assert page.count("What is new") == 1
    assert "mso-hide:all" in page


def test_it_is_escaped_and_its_liquid_is_filled_for_the_person() -> None:
    line = '<b> & {{ v }}{% if w %} "{{ w | upcase }}"{% endif %}{% raw %}{{ x }}<{% endraw %}'
    page = made(PAGE, line, {"v": "</div><script>", "w": "o'n"})
    assert "&lt;b&gt; &amp; &lt;/div&gt;&lt;script&gt; &quot;O&#39;N&quot;{{ x }}&lt;&#847;" in page


def test_what_it_uses_is_required_and_its_mistakes_have_their_line() -> None:
    campaign = plain(PAGE, preheader="{{ plan }} {{ city | default: 'x' }}")
    assert [(use.part, use.name) for use in campaign.variables if use.required] == [
        ("preheader", "plan")
    ]
    with pytest.raises(TemplateError, match=r"preheader, line 1: .*never closed"):
        plain(PAGE, preheader="{{ x")
    with pytest.raises(TemplateError, match=r"preheader, line 1: .*endif"):
        plain(PAGE, preheader="{% if x %}")
    with pytest.raises(TemplateError, match="preheader, line 1: longer than"):
        plain(PAGE, preheader="x" * 1_001)
    with pytest.raises(TemplateError, match="preheader, line 1: stands in the HTML"):
        plain(None, text="x", preheader="y")


def test_names_that_it_assigns_are_no_attributes_below() -> None:
    page = made("<p>[{{ v }}]</p>", "{% assign v = 'mine' %}{{ v }}", {"v": "theirs"})
    assert "<p>[mine]</p>" in page


def test_it_is_not_in_the_text_part_but_in_the_page_to_view() -> None:
    campaign = compiled(PAGE, preheader="What is new, {{ name }}")
    assert "What is new" not in text_of(campaign, campaign.render(somebody()))
    assert "What is new, Bo" in render_view(campaign, Person("a@example.org", "Bo"))


@pytest.mark.parametrize("nothing", [None, "", "  "])
def test_without_one_the_html_stays_as_it_is(nothing: str | None) -> None:
    assert plain(PAGE, preheader=nothing).content.html == (PAGE,)

# ruff: noqa: E501 (tables: one line for each source)
"""The derived text says what the HTML shows, in its order, with its Liquid where it stands."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mail.liquid import TemplateError, parse, scan
from mail.text import derive_text
from tests.mail.authoring import plain, somebody, text_of
from tests.mail.test_same_as_engine import sources

PERSON = {
    "plan": "pro",
    "none": [],
    "products": [{"n": "Tea", "p": 3, "u": "tea"}, {"n": "Jam & co", "p": 5, "u": "jam"}],
}


def text(html: str) -> str:
    campaign = plain(html, allow_missing=True)
    return text_of(campaign, campaign.render(somebody(PERSON)))


@pytest.mark.parametrize(
    "html, shown",
    [
        ("<h1>Title</h1><p>One  \n two</p><p>Three</p>", "Title\n\nOne two\n\nThree"),
        ("a<br>b<br><br>c", "a\nb\n\nc"),
        ("<div>a</div><div>b<b>c</b>d</div>", "a\nbcd"),
        ("a <b> b</b> c", "a b c"),
        ("<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>d", "- a\n- b\n  - c\n\nd"),
        ("<ol><li>a</li><li>b</li></ol>", "1. a\n2. b"),
        ("<table><tr><th>Name</th><th>Price</th></tr><tr><td>Tea</td><td>3</td></tr></table>", "Name | Price\nTea | 3"),
        ("<table><tr><td><table><tr><td><p>a</p></td></tr></table></td><td>&nbsp;</td></tr></table>b", "a\n\nb"),
        ("<a href='https://a.example/?a=1&amp;b'>Go</a>.", "Go <https://a.example/?a=1&b>."),
        ("<a href='https://a.example/'>https://a.example/</a>", "https://a.example/"),
        ("<a href='https://a.example/'><img src=x alt='Logo'></a>", "Logo <https://a.example/>"),
        ("<a href='https://a.example/'><img src=x></a>", "https://a.example/"),
        ("<a href='mailto:a@example.org?subject=x'>Mail</a> <a href='mailto:a@example.org'>a@example.org</a>", "Mail <a@example.org> a@example.org"),
        ("<a href='#x'>x</a> <a href='tel:1'>call</a> <a name=y>y</a>", "x call y"),
        ("<img alt='A &amp; B'>", "A & B"),
        ("<head><title>T</title><style>p{}</style><meta></head><body>x<script>1</script><!-- c --></body>", "x"),
        ("<!--[if mso]><p>Outlook</p><![endif]--><!--[if !mso]><!--><p>Others</p><!--<![endif]-->", "Others"),
        ("&zwnj;&nbsp;&#847; &zwnj;&nbsp;<p>x</p>", "x"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("a<hr>b", "a\n\n--------------------\n\nb"),
        ("<p>unclosed <b>bold <p>next", "unclosed bold\n\nnext"),
        ("5 < 6 & 7 > 3", "5 < 6 & 7 > 3"),
        ("<p>{{ plan }}, {{ plan | upcase }}</p>", "pro, PRO"),
        ("<p>{{ '<b>x</b>' | strip_html }}</p>", "x"),
        ("{% if plan %}<p>a</p>{% else %}<p>b</p>{% endif %}<p>c</p>", "a\n\nc"),
        ("<p>x</p>{% if nope %}<p>a</p>{% endif %}<p>c</p>", "x\n\nc"),
        ("<p>x</p>{% if plan %}<p>a</p>{% endif %}<p>c</p>", "x\n\na\n\nc"),
        ("x{% if plan %} a{% endif %} c", "x a c"),
        ("<p>{% if plan %}Hi{% endif %}, you</p>", "Hi, you"),
        ("<p>x</p><p>{% if plan %}Hi{% else %}Ho{% endif %}.</p>", "x\n\nHi."),
        ("<p>x</p><p>{% if nope %}Hi{% else %}Ho{% endif %}.</p>", "x\n\nHo."),
        ("<p>x</p><p>{% if plan %}{% if nope %}Hi{% else %}Ho{% endif %}{% endif %}.</p>", "x\n\nHo."),
        ("<td>a</td><td>{% if nope %}only {% endif %}b</td>", "a | b"),
        ("<td>a</td><td>{% if plan %}only {% endif %}b</td>", "a | only b"),
        ("Hello {% if plan %}A{% endif %}, you", "Hello A, you"),
        ("Hello {% if nope %}A{% endif %}, you", "Hello , you"),
        ("<p>x</p>{% case plan %}{% when 'pro' %}<p>a</p>{% else %}<p>b</p>{% endcase %}<p>c</p>", "x\n\na\n\nc"),
        ("x {%- if plan -%} a {%- endif -%} c", "xac"),
        ("<ul>{% for p in products %}<li>{{ p.n }}: {{ p.p }}</li>{% endfor %}</ul>z", "- Tea: 3\n- Jam & co: 5\n\nz"),
        ("<ul>{% for p in none %}<li>{{ p.n }}</li>{% endfor %}</ul>z", "z"),
        ("<table>{% for p in products %}<tr><td>{{ p.n }}</td><td><a href='https://a.example/{{ p.u }}'>see</a></td></tr>{% endfor %}</table>",
         "Tea | see <https://a.example/tea>\nJam & co | see <https://a.example/jam>"),
        ("{% for p in products %}{{ p.n }}<br>{% endfor %}z", "Tea\nJam & co\nz"),
        ("{% for p in products %}<tr class='{% cycle 'odd', 'even' %}'><td>{{ p.n }}</td></tr>{% endfor %}", "Tea\nJam & co"),
        ("{% if 1 < 2 %}a{% endif %}", "a"),
        ("<a href=\"{{ view_url | default: 'x' }}\">v</a>", None),
        ("<a {% if plan %}href='https://a.example/1'{% else %}href='https://a.example/2'{% endif %}>x</a>", "x <https://a.example/1>"),
        ("<style>{% if plan %}p{}{% endif %}</style>{% if plan %}a{% endif %}", "a"),
        ("<style>{% if plan %}</style>a{% endif %}", "a"),
        ("<!-- {% assign n = 'x' %} -->{{ n }}", "x"),
        ("{% comment %}<p>no</p>{% endcomment %}x", "x"),
        ("{% raw %}<p>{{ plan }}</p>{% endraw %}", "{{ plan }}"),
        ("{<b>{ plan }}</b> {<i></i>% if x %}", "{{ plan }} {% if x %}"),
        ("&#123;&#123; plan }} &lbrace;% x %}", "{{ plan }} {% x %}"),
        ("{{ '{' }}<b>{ plan }}</b>", "{{ plan }}"),
        ("{% capture c %}<p>a</p>{% endcapture %}b{{ c }}", "ba"),
        ("", ""),
    ],
)  # fmt: skip
def test_text_reads_like_the_html_looks(html: str, shown: str | None) -> None:
    if shown is not None:
        assert text(html).strip() == shown


bits = st.sampled_from(
    ["<p>", "</p>", "<br>", "<table>", "<tr>", "<td>", "</td>", "</table>", "<ul>", "<li>", "<ol>", "</ul>",
     "<a href='https://a.example/", "'>", "</a>", "<!--", "-->", "<style>", "</style>", "<head>", "</head>",
     "<img alt='", "<div ", ">", '"', "<a ", "href=", "<body>", "</body>"]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(bits | sources, max_size=12).map("".join))
def test_whatever_html_the_engine_takes_has_a_text_the_engine_takes(html: str) -> None:
    try:
        parse(html, "html")
    except TemplateError:
        return
    parse(derive_text(html, scan(html)), "text")


def test_what_prints_nothing_takes_no_slot() -> None:
    html = (
        "<div {% if plan %}class='a'{% endif %}>x</div><style>{% if plan %}p{}{% endif %}</style>"
    )
    assert plain(html).content.text == ("x\n",)


def test_deriving_is_a_pure_function() -> None:
    html = "<p>{{ plan }}</p><a href='https://a.example/'>x</a>"
    assert derive_text(html, scan(html)) == derive_text(html, scan(html))

# ruff: noqa: E501 (tables: one line for each source)
"""Links are replaced by position in a source that keeps every other byte, and filled at click."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail.links import fill_link
from mail.liquid import TemplateError
from mail.people import Person
from tests.mail.authoring import (
    NONCE,
    PUBLIC,
    TRACKING,
    compiled,
    html_of,
    plain,
    somebody,
    text_of,
)
from utils.signing import SendRef

TOKEN = TRACKING.token(SendRef(NONCE, 1))
CLICK = f"{PUBLIC}/c/{TOKEN}"
EVERYTHING = {"plan": "pro", "u": "x", "products": [{"slug": "s", "name": "n"}], "a": 1, "b": 2}


def rendered(source: str, attributes: dict[str, object] | None = None) -> str:
    """The HTML for somebody, without what we add at the end."""
    campaign = compiled(source + "<!--end-->", allow_missing=True)
    return html_of(campaign, campaign.render(somebody(attributes or EVERYTHING))).split("<!--end")[
        0
    ]


@pytest.mark.parametrize(
    "href, target",
    [
        ("https://a.example/", "https://a.example/"),
        ("http://a.example", "http://a.example"),
        ("HTTPS://A.example/x", "HTTPS://A.example/x"),
        ("https://a.example/?a=1&amp;b=2", "https://a.example/?a=1&b=2"),
        ("https://a.example/?a=1&b=2", "https://a.example/?a=1&b=2"),
        ("https://a.example/&quot;", 'https://a.example/"'),
        (" https://a.example/ ", "https://a.example/"),
        ("https://a.example/\n  path", "https://a.example/  path"),
        ("https://a.example/{{ plan }}", "https://a.example/{{ plan }}"),
        ("https://a.example/?p={{ plan | default: 'x' }}&amp;q", "https://a.example/?p={{ plan | default: 'x' }}&q"),
        ("https://a.example?p={{ plan }}", "https://a.example?p={{ plan }}"),
        ("https://a.example#{{ plan }}", "https://a.example#{{ plan }}"),
        ("https://a.example/{% if plan %}p{% else %}q{% endif %}", "https://a.example/{% if plan %}p{% else %}q{% endif %}"),
        ("https://a.example/?c={{ campaign.name }}", "https://a.example/?c=Spring"),
        ("https://a.example/?c={{ campaign.id }}-{{ campaign.name | upcase }}", "https://a.example/?c=7-SPRING"),
        ("https://a.example/{x}", "https://a.example/%7Bx%7D"),
        ("https://a.example/&#123;{ plan }}", "https://a.example/%7B%7B plan %7D%7D"),
        ("https://пример.example/ü", "https://пример.example/ü"),
        ("https://a.example/?a=1&region=eu&copy=2&times", "https://a.example/?a=1&region=eu&copy=2×"),
        ("https://a.example/?a=1&sect;ion&notit;&para=1", "https://a.example/?a=1§ion&notit;&para=1"),
        ("https://a.example/?a=1&amp;amp;b=2&amp;region=eu", "https://a.example/?a=1&amp;b=2&region=eu"),
        ("https://a.example/?a=1&#38;b&#x26;c&nosuch;", "https://a.example/?a=1&b&c&nosuch;"),
        ("https://a.example/&amp&lt", "https://a.example/&<"),
        ("https://пример.example/{{ plan }}", "https://пример.example/{{ plan }}"),
        ("https://user:pw@a.example:8080/{{ plan }}", "https://user:pw@a.example:8080/{{ plan }}"),
        ("https://[::1]/{{ plan }}", "https://[::1]/{{ plan }}"),
        ("https://a.example/%7B%7Bplan%7D%7D{{ plan }}", "https://a.example/%7B%7Bplan%7D%7D{{ plan }}"),
        ("https://a.example/&lbrace;&lcub;{{ plan }}", "https://a.example/%7B%7B{{ plan }}"),
        ("https://a.example&#47;{{ plan }}", "https://a.example/{{ plan }}"),
        ("https://a.example/?u=https://{{ plan }}/", "https://a.example/?u=https://{{ plan }}/"),
    ],
)  # fmt: skip
def test_a_web_link_becomes_a_click_on_its_target(href: str, target: str) -> None:
    campaign = compiled(f'<a class="x" href="{href}" id=y>go</a>')
    assert campaign.links == (target,)
    assert (
        rendered(f'<a class="x" href="{href}" id=y>go</a>')
        == f'<a class="x" href="{CLICK}/0" id=y>go</a>'
    )


@pytest.mark.parametrize(
    "source",
    [
        '<a href="mailto:a@example.org?subject={{ plan }}">',
        '<a href="tel:+4312345">',
        '<a href="#part">',
        '<a href="#{{ plan }}">',
        '<a href="">',
        "<a href>",
        '<a href="/relative/{{ plan }}">',
        '<a href="page.html">',
        '<a href="//a.example/{{ plan }}">',
        '<a href="https://">',
        '<a name="https://a.example/">',
        '<img src="https://a.example/x.png">',
        '<link rel="stylesheet" href="https://a.example/x.css">',
        '<!-- <a href="https://a.example/"> -->',
        '<!--[if mso]><a href="https://a.example/">x</a><![endif]-->',
        '<style>a[href="https://a.example/"] {}</style>',
        "<script>\"<a href='https://a.example/'>\"</script>",
        '{% comment %}<a href="https://a.example/">{% endcomment %}',
        "{% raw %}<a href='https://a.example/{{ x }}'>{% endraw %}",
        "<a title='href=\"https://a.example/\"'>",
        '&lt;a href="https://a.example/"&gt;',
    ],
)
def test_everything_else_is_left_alone(source: str) -> None:
    assert compiled(source).links == ()


@pytest.mark.parametrize(
    "source, result",
    [
        ("<a href='https://a.example/'>", f"<a href='{CLICK}/0'>"),
        ("<a href=https://a.example/>", f"<a href={CLICK}/0>"),
        ("<A HREF = \"https://a.example/\">", f'<A HREF = "{CLICK}/0">'),
        ("<area shape=rect href='https://a.example/'/>", f"<area shape=rect href='{CLICK}/0'/>"),
        ("<a href='https://a.example/'><a href='https://b.example/'>", f"<a href='{CLICK}/0'><a href='{CLICK}/1'>"),
        ("<a href='https://a.example/'><a href='https://a.example/'>", f"<a href='{CLICK}/0'><a href='{CLICK}/0'>"),
        (
            "<table>{% for p in products %}<tr><td><a href='https://a.example/'>{{ p.name }}</td></tr>{% endfor %}</table>",
            f"<table><tr><td><a href='{CLICK}/0'>n</td></tr></table>",
        ),
        (
            "<a {% if plan %}href='https://a.example/1'{% else %}href='https://a.example/2'{% endif %}>",
            f"<a href='{CLICK}/0'>",
        ),
        ("{% if a < b %}<a href='https://a.example/'>{% endif %}", f"<a href='{CLICK}/0'>"),
        ("<td{% if plan %} class='{{ plan }}'{% endif %}><a href='https://a.example/'>", f"<td class='pro'><a href='{CLICK}/0'>"),
        ("<a title='{{ u | default: \"'>\" }}' href='https://a.example/'>", f"<a title='x' href='{CLICK}/0'>"),
        ("<a href=\"{{ unsubscribe_url }}\" title='{{ view_url }}'>", None),
        ("<!--[if !mso]><!--><a href='https://a.example/'><!--<![endif]-->", f"<!--[if !mso]><!--><a href='{CLICK}/0'><!--<![endif]-->"),
        ("<p {{ plan }}><br/><a\nhref='https://a.example/'\n>", f"<p pro><br/><a\nhref='{CLICK}/0'\n>"),
    ],
)  # fmt: skip
def test_only_the_value_changes(source: str, result: str | None) -> None:
    found = rendered(source)
    assert found == result if result else "/c/" not in found


@pytest.mark.parametrize(
    "source",
    [
        "{% for p in products %}<a href='https://a.example/{{ p.slug }}'>x</a>{% endfor %}",
        "{% assign s = plan | upcase %}<a href='https://a.example/{{ s }}'>x</a>",
        "<a href='https://a.example/?u={{ unsubscribe_url }}'>x</a>",
        "<a href='https://a.example/{% cycle 'a', 'b' %}'>x</a>",
        "{% if plan %}<a href='https://a.example/{% else %}<a href='https://b.example/{% endif %}'>x</a>",
    ],
)
def test_a_link_that_cannot_be_filled_at_click_stays_and_is_reported(source: str) -> None:
    campaign = compiled(source, allow_missing=True)
    assert "/c/" not in rendered(source)
    assert "not tracked" in campaign.warnings[0].message or campaign.links == ()


@pytest.mark.parametrize(
    "href",
    [
        "{{ u }}",
        "{{ u | default: 'https://a.example/' }}",
        "{{ u }}://a.example/",
        "https://{{ u }}/",
        "https://{{ u }}.a.example/",
        "https://a.example{{ u }}",
        "https://a.example:{{ u }}/",
        "https://a.example\\{{ u }}",
        "https://a.example\\@b.example/{{ u }}",
        "https://user:{{ u }}@a.example/",
        "https://a.example%2f{{ u }}",
        "https:/a.example/{{ u }}",
        "https:{{ u }}",
        "//{{ u }}",
        "java{{ u }}",
        "{% if u %}https://a.example/{% else %}https://b.example/{% endif %}",
        "{{ campaign.name }}",
        "&#104;ttps://{{ u }}",
        " {{ u }}",
        "{{ u }}{{ unsubscribe_url }}",
    ],
)
@pytest.mark.parametrize("track", [True, False])
def test_a_variable_in_scheme_or_host_is_refused_with_its_line(href: str, track: bool) -> None:
    with pytest.raises(TemplateError, match=r"html, line 2: .*(scheme|host)"):
        compiled(f'<p>\n<a href="{href}">x</a>', track_clicks=track)


@pytest.mark.parametrize("name", ["unsubscribe_url", "preferences_url", "view_url"])
@pytest.mark.parametrize("form", ["{{ %s }}", "{{- %s -}}", "{{%s}}?lang=de"])
def test_our_own_links_are_whole_and_never_tracked(name: str, form: str) -> None:
    source = f'<a href="{form % name}">x</a>'
    assert compiled(source).links == ()
    page = {"view_url": "v"}.get(name, name.removesuffix("_url"))
    assert f'<a href="{PUBLIC}/{page}/' in rendered(source)


def test_tracking_can_be_switched_off_each_for_itself() -> None:
    source = '<body><a href="https://a.example/{{ plan }}">x</a></body>'
    for clicks in (True, False):
        for opens in (True, False):
            campaign = compiled(source, track_clicks=clicks, track_opens=opens)
            html = html_of(campaign, campaign.render(somebody({"plan": "pro"})))
            assert (f'href="{CLICK}/0"' in html) is clicks
            assert ('href="https://a.example/pro"' in html) is not clicks
            assert (f'<img src="{PUBLIC}/o/{TOKEN}"' in html) is opens
            assert campaign.links == (("https://a.example/{{ plan }}",) if clicks else ())


@pytest.mark.parametrize(
    "source",
    ["<body>x</body></html>", "<body>x", "x", "{% if plan %}<body>x</body>{% else %}y</body>{% endif %}", "<p>{{ '</body>' }}</p>"],
)  # fmt: skip
def test_the_pixel_stands_once_and_for_everybody(source: str) -> None:
    for attributes in ({"plan": "x"}, {}):
        campaign = compiled(source)
        html = html_of(campaign, campaign.render(somebody(attributes)))
        assert html.count(f'<img src="{PUBLIC}/o/{TOKEN}"') == 1


def test_the_pixel_stands_before_the_end_of_the_body() -> None:
    campaign = compiled("<html><body>x</body></html>")
    html = html_of(campaign, campaign.render(somebody()))
    assert html.endswith("></body></html>")


def test_too_many_links_are_refused() -> None:
    with pytest.raises(TemplateError, match="2000 different links"):
        compiled("".join(f"<a href='https://a.example/{n}'>x</a>" for n in range(2001)))


@pytest.mark.parametrize(
    "target, attributes, url",
    [
        ("https://a.example/x", {}, "https://a.example/x"),
        ("https://a.example/{{ plan }}", {"plan": "pro"}, "https://a.example/pro"),
        ("https://a.example/{{ plan }}", {"plan": "a b/c?d&e#f"}, "https://a.example/a%20b%2Fc%3Fd%26e%23f"),
        ("https://a.example/{{ plan | upcase }}", {"plan": "ä"}, "https://a.example/%C3%84"),
        ("https://a.example/{{ plan | url_encode }}", {"plan": "a b"}, "https://a.example/a+b"),
        ("https://a.example/{{ plan }}", {"plan": "\r\nSet-Cookie: x"}, "https://a.example/%0D%0ASet-Cookie%3A%20x"),
        ("https://a.example/{{ plan }}", {"plan": "{{ 7 | times: 7 }}"}, "https://a.example/%7B%7B%207%20%7C%20times%3A%207%20%7D%7D"),
        ("https://a.example/?e={{ email }}", {}, "https://a.example/?e=a%40example.org"),
        ("https://a.example/{{ gone }}", {}, "https://a.example/"),
        ("https://a.example/{{ gone | default: 'x' }}", {}, "https://a.example/x"),
        ("https://a.example/{% if plan %}p{% else %}q{% endif %}", {}, "https://a.example/q"),
        ("https://a.example/a b\r\nc", {}, "https://a.example/a%20b%0D%0Ac"),
    ],
)  # fmt: skip
def test_a_link_is_filled_for_the_person_who_clicks(
    target: str, attributes: dict[str, object], url: str
) -> None:
    assert fill_link(target, Person("a@example.org", "Anna", attributes)) == url


@given(st.text(max_size=30))
def test_no_value_leads_to_another_host(value: str) -> None:
    for target in (
        "https://a.example/{{ x }}",
        "https://a.example?{{ x }}",
        "https://a.example/{{ x }}//{{ x }}",
    ):
        url = fill_link(target, Person("a@example.org", "", {"x": value}))
        assert urlsplit(url)[:2] == ("https", "a.example")
        assert url.isprintable()
        assert " " not in url


@given(st.text(alphabet="<>a href='\"=/!-%{}x \n&;", max_size=80))
def test_malformed_html_never_crashes_and_loses_no_byte(source: str) -> None:
    try:
        campaign = compiled(source, track_clicks=False, track_opens=False, allow_missing=True)
    except TemplateError:
        return
    html = html_of(campaign, campaign.render(somebody()))
    if "{" not in source:
        ours = html.index('<div style="font') if '<div style="font' in html else len(html)
        assert html[:ours] == source[:ours]


def test_a_link_in_a_derived_text_reads_as_it_leads() -> None:
    campaign = plain("<a href='https://a.example/?a=1&region=eu&amp;b=2'>x</a>")
    assert "<https://a.example/?a=1&region=eu&b=2>" in text_of(
        campaign, campaign.render(somebody())
    )


def test_links_in_the_text_part_stay_as_they_are() -> None:
    campaign = compiled("<a href='https://a.example/'>x</a>", text="https://a.example/ {{ plan }}")
    assert "https://a.example/ pro" in text_of(campaign, campaign.render(somebody({"plan": "pro"})))

# ruff: noqa: E501 (an author's long lines)
"""A newsletter of real size: table layout, Outlook's comments, logic in every place."""

from mail.compiled import preview
from mail.message import slots_of
from mail.people import Person
from tests.mail.authoring import (
    CONSENT,
    NONCE,
    PUBLIC,
    TRACKING,
    compiled,
    html_of,
    somebody,
    text_of,
)
from utils.signing import SendRef

HEAD = """<!DOCTYPE html>
<html xmlns:v="urn:schemas-microsoft-com:vml"><head><meta charset="utf-8"><title>{{ campaign.name }}</title>
<style>@media (max-width:600px){.c{width:100%!important}} {% if dark %}body{background:#000}{% endif %}</style>
<!--[if mso]><style>td{font-family:Arial}</style><![endif]--></head>
<body style="margin:0"><div style="display:none">Preview &zwnj;&nbsp;&zwnj;&nbsp;</div>
<table width="100%"><tr><td>
{%- assign greeting = first_name | default: "there" | capitalize -%}
<h1>Hello {{ greeting }}</h1>
<p>{% if plan == "pro" %}Thank you for being <b>Pro</b>{% elsif plan %}You are on {{ plan }}{% else %}Welcome{% endif %}.</p>
<!--[if mso]><v:roundrect href="https://shop.example/vml"><center>Go</center></v:roundrect><![endif]-->
<!--[if !mso]><!--><a href="https://shop.example/start?c={{ campaign.id }}&amp;m={{ email | url_encode }}">Start</a><!--<![endif]-->
"""
STORY = """<table class="c" width="600" cellpadding="0" cellspacing="0" role="presentation"><tr>
<td style="padding:16px;font:16px/24px Georgia,serif;color:#222222" {% if dark %}bgcolor="#111111"{% endif %}>
<h2>Story number %(n)d</h2><p>%(words)s</p>
<p><a style="color:#06c" href="https://shop.example/story/%(n)d?ref={{ plan | default: 'none' }}">Read story %(n)d</a> or
<a href='https://shop.example/share/%(n)d'>share it</a></p></td></tr></table>
"""
TAIL = """<table>{% for p in products %}<tr class="{% cycle 'odd', 'even' %}"><td>{{ p.name }}</td>
<td>{% if p.price < 10 %}only {% endif %}{{ p.price }} €</td><td><a href="https://shop.example/cart">buy</a></td></tr>
{% endfor %}</table>
{% comment %}<a href="https://shop.example/never">{{ never }}</a>{% endcomment %}
{% raw %}<p>Write {{ name }} to greet</p>{% endraw %}
<p>a < b <b>unclosed
<p><a href="{{ preferences_url }}">Preferences</a> <a href="{{- unsubscribe_url -}}">Unsubscribe</a>
</td></tr></table></body></html>
"""
STORIES = 45
WORDS = "Every morning the market opens under the old arcades and the town wakes up slowly. " * 12
SOURCE = HEAD + "".join(
    STORY.replace("%(n)d", str(n)).replace("%(words)s", WORDS) for n in range(STORIES)
) + TAIL  # fmt: skip
ANNA = {
    "plan": "pro",
    "products": [{"name": "Tea & <b>", "price": 3}, {"name": "Jam", "price": 12}],
}


def test_a_newsletter_keeps_every_byte_but_its_links_and_additions() -> None:
    assert len(SOURCE) > 60_000
    campaign = compiled(SOURCE, subject="{{ first_name }}, news")
    message = campaign.render(somebody(ANNA))
    html = html_of(campaign, message)
    token = TRACKING.token(SendRef(NONCE, 1))
    assert len(campaign.links) == 2 * STORIES + 2
    assert html.count(f"{PUBLIC}/c/{token}/") == 2 * STORIES + 3
    assert f"{PUBLIC}/unsubscribe/{CONSENT.token(SendRef(NONCE, 1))}" in html
    assert '<v:roundrect href="https://shop.example/vml">' in html
    assert "<h1>Hello Anna</h1>" in html
    assert "Thank you for being <b>Pro</b>." in html
    assert "<td>Tea &amp; &lt;b&gt;</td>\n<td>only 3 €</td>" in html
    assert "<p>Write {{ name }} to greet</p>" in html
    assert html.count("<tr") == SOURCE.count("<tr") + 1
    for number, target in enumerate(campaign.links):
        html = html.replace(f'{PUBLIC}/c/{token}/{number}"', target + '"')
    assert WORDS in html


def test_its_text_part_is_readable() -> None:
    campaign = compiled(SOURCE, subject="x")
    text = text_of(campaign, campaign.render(somebody(ANNA)))
    assert "Hello Anna\n\nThank you for being Pro." in text
    assert "Story number 7\n\nEvery morning" in text
    assert "Read story 7 <https://shop.example/story/7?ref=pro>" in text
    assert "Tea & <b> | only 3 € | buy <https://shop.example/cart>\nJam | 12 € | buy" in text
    assert "Outlook" not in text
    assert "@media" not in text
    assert "{%" not in text


def test_three_people_get_three_messages() -> None:
    campaign = compiled(SOURCE, subject="x", allow_missing=True)
    people = [
        Person("a@example.org", "Anna", ANNA),
        Person("b@example.org", "", {"plan": "basic"}),
        Person("c@example.org", "Bo"),
    ]
    shown = [preview(campaign, person).html or "" for person in people]
    assert "Hello Anna" in shown[0]
    assert "Hello There" in shown[1]
    assert "You are on basic." in shown[1]
    assert "Welcome." in shown[2]


def test_its_slots_fit_every_esp() -> None:
    """SendGrid takes at most 100 substitutions of 10,000 bytes together; less is faster."""
    campaign = compiled(SOURCE, subject="{{ first_name }}, news")
    content = campaign.content
    used = slots_of(content.subject, content.html, content.text)
    message = campaign.render(somebody(ANNA))
    assert len(used) <= 100
    assert sum(len(message.slots[slot]) for slot in used) < 10_000

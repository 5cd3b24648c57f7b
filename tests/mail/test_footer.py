"""Every campaign message shows a way out and a postal address, once."""

import pytest

from mail.liquid import TemplateError
from tests.mail.authoring import (
    ADDRESS,
    CONSENT,
    NONCE,
    PUBLIC,
    compiled,
    html_of,
    somebody,
    text_of,
)
from utils.signing import SendRef

OUT = f"{PUBLIC}/unsubscribe/{CONSENT.token(SendRef(NONCE, 1))}"
LINK = '<a href="{{ unsubscribe_url }}">leave</a>'
IN_HTML = "<p>Example Ltd,<br>1 Main&nbsp;Street<br>1000 Town</p>"


@pytest.mark.parametrize(
    "html",
    [
        "<p>x</p>",
        LINK,
        IN_HTML,
        f"<html><body>{LINK}{IN_HTML}</body></html>",
        f"{{% if plan %}}{LINK}{{% endif %}}",
        f"<!-- {LINK} -->",
        "<p title='{{ unsubscribe_url }}'>x</p>",
        "{% comment %}{{ unsubscribe_url }}{% endcomment %}",
        "{% raw %}{{ unsubscribe_url }}{% endraw %}",
        "<table><tr><td>unclosed",
        "<html><body>{% if plan %}x</body>{% else %}y</body>{% endif %}</html>",
    ],
)
def test_nobody_gets_a_message_without_them(html: str) -> None:
    for attributes in ({"plan": "x"}, {}):
        campaign = compiled(html, allow_missing=True)
        message = campaign.render(somebody(attributes))
        assert f'href="{OUT}"' in html_of(campaign, message)
        assert OUT in text_of(campaign, message)
        for line in ADDRESS.splitlines():
            assert line in html_of(campaign, message).replace("&nbsp;", " ")
            assert line in text_of(campaign, message)


def test_what_the_author_wrote_is_not_written_twice() -> None:
    campaign = compiled(f"<body>{LINK}{IN_HTML}</body>", track_opens=False)
    html = html_of(campaign, campaign.render(somebody()))
    assert html == f"<body>{LINK}{IN_HTML}</body>".replace("{{ unsubscribe_url }}", OUT)


def test_a_text_part_of_the_authors_gets_what_it_lacks() -> None:
    campaign = compiled("<p>x</p>", text="Hello")
    text = text_of(campaign, campaign.render(somebody()))
    assert text == f"Hello\n\n--\n{ADDRESS}\nUnsubscribe: {OUT}\n"
    whole = f"Hello. {ADDRESS} {{{{ unsubscribe_url }}}}"
    campaign = compiled(text=whole)
    assert campaign.content.html is None
    assert text_of(campaign, campaign.render(somebody())) == whole.replace(
        "{{ unsubscribe_url }}", OUT
    )


def test_a_postal_address_is_text_whatever_it_holds() -> None:
    campaign = compiled("x", text="x", postal_address="<b> & {{ plan }} {% if %}")
    message = campaign.render(somebody({"plan": "pro"}))
    assert "&lt;b&gt; &amp; &#123;&#123; plan }} &#123;% if %}" in html_of(campaign, message)
    assert "<b> & {{ plan }} {% if %}" in text_of(campaign, message)


@pytest.mark.parametrize("html", ["x <!-- never closed", "x <style> p {}", "x <a href='"])
def test_html_that_would_swallow_the_footer_is_refused(html: str) -> None:
    with pytest.raises(TemplateError, match="never closed"):
        compiled(html)

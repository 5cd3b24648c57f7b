"""Pages that a person reaches by a link in a message, in their language. No script, no cookie."""

from functools import cache
from pathlib import Path
from typing import Any

import orjson
from flask import Response, render_template, request

from web.context import house

_WORDS = Path(__file__).with_name("words")
DEFAULT = "en"


@cache
def languages() -> dict[str, dict[str, str]]:
    """Every language there is a file for in web/words."""
    return {file.stem: orjson.loads(file.read_bytes()) for file in sorted(_WORDS.glob("*.json"))}


def language() -> str:
    """The best of ours that the reader's program asks for."""
    return request.accept_languages.best_match(languages(), DEFAULT) or DEFAULT


def words() -> dict[str, str]:
    """What our pages say, in that language."""
    return languages()[language()]


def public_page(template: str, status: int = 200, **values: Any) -> Response:
    """A page for one person: nobody keeps, indexes or is told of its address."""
    html = render_template(
        template, t=words(), lang=language(), mode=house().settings.mode, **values
    )
    headers = {
        "X-Robots-Tag": "noindex, nofollow", "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store", "Vary": "Accept-Language", "Content-Language": language(),
    }  # fmt: skip
    return Response(html, status, headers, content_type="text/html; charset=utf-8")


def not_found() -> Response:
    """The page behind a link that nobody made, or that leads nowhere any more."""
    return public_page("person_message.html", 404, heading="not_found", text="not_found_text")

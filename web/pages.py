"""Our own HTML pages: how one is rendered, and how a problem looks to a person."""

from typing import Any

from flask import Response, render_template

from web.context import house


def page(template: str, status: int = 200, **values: Any) -> Response:
    """A page of web/templates, which knows the mode it is shown in."""
    html = render_template(template, mode=house().settings.mode, **values)
    return Response(html, status, content_type="text/html; charset=utf-8")

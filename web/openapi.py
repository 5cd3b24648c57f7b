"""The application class: flask-openapi with OpenAPI 3.1, and errors described as they are."""

import re
from importlib.resources import files
from typing import Any

from flask import Blueprint, Response, current_app, render_template, send_from_directory
from flask_openapi import OpenAPI
from flask_openapi.models.info import Info

from web.auth import is_open
from web.errors import CONTENT_TYPE, validation_problem
from web.frame import takes_no_body
from web.shapes import FieldProblem, Problem

#: The tag of pages for recipients.
PUBLIC = "public pages"
_SCHEMA = {"$ref": "#/components/schemas/Problem"}
_ANY = {
    400: "The request cannot be read", 404: "There is no such thing",
    414: "The address is too long",
    500: "A fault of this service", 503: "The database cannot be used now",
}  # fmt: skip
_KEYED = {401: "No key, or one that is not known", 403: "The key's scope does not allow this"}
_WRITING = {
    409: "The thing's state does not allow this", 413: "The body is too large",
    415: "The body's content type is not taken here",
}  # fmt: skip
_FIELDS = {422: "One or more fields cannot be accepted"}
#: Swagger's styles are partly inline; nothing else on this page is.
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; font-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


class Api(OpenAPI):
    """The Flask application and its description."""

    def __init__(self, name: str, *, version: str, **options: Any) -> None:
        """No documentation pages of flask-openapi's own: theirs need inline scripts."""
        super().__init__(
            name,
            info=Info(title="Email Delivery System", version=version, description=_ABOUT),
            security_schemes={"key": {"type": "http", "scheme": "bearer"}},
            validation_error_callback=validation_problem,
            doc_ui=False,
            **options,
        )
        self.openapi_version = "3.1.0"

    def generate_spec_json(self) -> None:
        """Name the errors that each operation can answer with, all as problem+json."""
        super().generate_spec_json()  # type: ignore[no-untyped-call]
        schemas = self.spec_json["components"]["schemas"]
        schemas["Problem"] = _inlined(Problem.model_json_schema())
        schemas["FieldProblem"] = FieldProblem.model_json_schema()
        schemas.pop(self.validation_error_model.__name__, None)
        for path, item in self.spec_json["paths"].items():
            for method, operation in item.items():
                _describe(operation, method, open_to_all=is_open(_as_rule(path)))
        self._leave_out_bodies()

    def _leave_out_bodies(self) -> None:
        """Say that a body may be absent where it may; flask-openapi requires each."""
        for rule in self.url_map.iter_rules():
            view = self.view_functions[rule.endpoint]
            item = self.spec_json["paths"].get(re.sub(r"<(?:[^:>]*:)?([^>]*)>", r"{\1}", rule.rule))
            for method in rule.methods or ():
                operation = (item or {}).get(method.lower(), {})
                if "requestBody" in operation and takes_no_body(view):
                    operation["requestBody"]["required"] = False


_ABOUT = (
    "Campaigns and single mails through SendGrid, Amazon SES and Postmark. Every answer names the "
    "mode (`X-Mode`) and carries `X-Request-Id`. Errors are RFC 9457 problems."
)


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """The model's own definitions stand among the components."""
    schema.pop("$defs", None)
    schema["properties"]["errors"] = {
        "type": "array",
        "items": {"$ref": "#/components/schemas/FieldProblem"},
    }
    return schema


def _as_rule(path: str) -> str:
    return re.sub(r"{([^}]*)}", r"<\1>", path)


def _describe(operation: dict[str, Any], method: str, *, open_to_all: bool) -> None:
    responses = operation.setdefault("responses", {})
    for status, response in responses.items():
        # 422 is flask-openapi's own; an error that a view describes as a model is one.
        if status == "422" or (status >= "400" and not response.get("content")):
            response["content"] = {CONTENT_TYPE: {"schema": _SCHEMA}}
    if any(parameter["name"] == "format" for parameter in operation.get("parameters", ())):
        responses["200"]["content"]["text/csv"] = {}  # the model says only what JSON looks like
    operation.pop("security", None)
    expected = dict(_ANY)
    if PUBLIC in operation.get("tags", ()):
        # People who follow a dead link get a page, programs a problem.
        responses.setdefault("404", {"description": _ANY[404], "content": {
            "text/html": {}, CONTENT_TYPE: {"schema": _SCHEMA}}})  # fmt: skip
    if not open_to_all:
        operation["security"] = [{"key": []}]
        expected |= _KEYED
    if method != "get":
        expected |= _WRITING
    if not open_to_all or "requestBody" in operation or operation.get("parameters"):
        expected |= _FIELDS
    else:
        responses.pop("422", None)
    if not any(status.startswith("2") for status in responses):
        responses["200"] = {"description": "OK"}
    for status, words in expected.items():
        responses.setdefault(
            str(status),
            {"description": words, "content": {CONTENT_TYPE: {"schema": _SCHEMA}}},
        )


#: Swagger's files, which its package ships as data.
_SWAGGER = files("flask_openapi_swagger") / "templates" / "swagger"

docs = Blueprint("docs", __name__)


@docs.get("/openapi.json")
def openapi_json() -> dict[str, Any]:
    """The description of this API, from the code."""
    spec: dict[str, Any] = current_app.api_doc  # type: ignore[attr-defined]
    return spec


@docs.get("/docs")
def docs_page() -> Response:
    """The description as a page; everything it needs comes from here."""
    response = Response(render_template("docs.html"), content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = DOCS_POLICY
    return response


@docs.get("/docs/<path:asset>")
def docs_asset(asset: str) -> Response:
    """Swagger's own files, out of its package."""
    response = send_from_directory(str(_SWAGGER), asset)
    response.headers["Cache-Control"] = "public, max-age=86400"
    return response

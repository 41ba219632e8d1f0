"""The API's own description, /openapi.json: what FastAPI knows, and the hot routes beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.datastructures import DefaultPlaceholder
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from touchbook.api import models
from touchbook.api.problems import MEDIA_TYPE

TITLE = "Touchbook"
TAGS = [
    {"name": "channels", "description": "For services that publish touchpoints and speak to customers."},
    {"name": "agents", "description": "For people who help a customer and see the whole relationship."},
    {"name": "recommenders", "description": "For components that read scores, in bulk and with reasons."},
    {
        "name": "operators",
        "description": "For those who run Touchbook: keys, what was set aside, health, metrics.",
    },
]
DESCRIPTION = (
    "The book of every touchpoint between a company and its customers: publish what happened, read one timeline and "
    "live scores per customer.\n\nTimes are RFC 3339 UTC with milliseconds, days YYYY-MM-DD, money integers in minor "
    "units with an ISO 4217 currency. Errors are problem+json (RFC 9457) with `code` and `message`."
)
SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An access key."},
    "basic": {"type": "http", "scheme": "basic", "description": "An access key as user name, no password."},
}
_REF = "#/components/schemas/{model}"


class Described(APIRoute):
    """A route whose `response_model` is met in the description alone. Routes answer bytes, so FastAPI would build, at
    every start, validators that nobody asks."""

    answer: type[BaseModel] | None

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        response_model: Any = None,
        status_code: int | None = None,
        openapi_extra: dict[str, Any] | None = None,
        **others: Any,
    ) -> None:
        self.answer = None if isinstance(response_model, DefaultPlaceholder) else response_model
        if self.answer is not None:
            said = {"responses": {str(status_code or 200): _content_of(self.answer)}}
            openapi_extra = {**(openapi_extra or {}), **said}
        super().__init__(
            path,
            endpoint,
            response_model=None,
            status_code=status_code,
            openapi_extra=openapi_extra,
            **others,
        )


@dataclass(frozen=True, slots=True)
class Operation:
    """The description of one hot route, and the models it speaks of."""

    method: str
    path: str
    content: dict[str, Any]
    models: tuple[type[BaseModel], ...] = field(default=())


def body_of(model: type[BaseModel], media_type: str = "application/json") -> dict[str, type[BaseModel]]:
    """A request body, for `operation` or `extra`: its model by media type."""
    return {media_type: model}


def refusals_of(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that a documented route may answer, for FastAPI's `responses`."""
    content = {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model="Problem")}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def extra(body: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    """The request body of a documented route that reads raw bytes, for FastAPI's `openapi_extra`."""
    return {"requestBody": _request_body(body)}


def operation(
    method: str,
    path: str,
    *,
    tag: str,
    summary: str,
    description: str,
    answer: type[BaseModel],
    refusals: Iterable[int],
    request: Mapping[str, type[BaseModel]] | None = None,
    parameters: Sequence[Mapping[str, Any]] = (),
    keyless: bool = False,
) -> Operation:
    """The description of a hot route."""
    responses = {str(status): content for status, content in refusals_of(*refusals).items()}
    content: dict[str, Any] = {
        "tags": [tag],
        "summary": summary,
        "description": description,
        "operationId": f"{method}_{path}".replace("/", "_")
        .replace(":", "_")
        .replace("{", "")
        .replace("}", ""),
        "responses": {
            "200": {"description": "OK", **_content_of(answer)},
            **responses,
        },
    }
    if parameters:
        content["parameters"] = list(parameters)
    if request:
        content["requestBody"] = _request_body(request)
    if keyless:
        content["security"] = []
    return Operation(method, path, content, (answer, *(request or {}).values()))


def describe(app: FastAPI, operations: Sequence[Operation], keyless: Iterable[str]) -> dict[str, Any]:
    """The whole description. `keyless` are the "METHOD /path" that anyone may use."""
    whole = get_openapi(
        title=TITLE,
        version=app.version,
        description=DESCRIPTION,
        routes=app.routes,
        tags=TAGS,
        openapi_version="3.1.0",
    )
    for one in operations:
        whole["paths"].setdefault(one.path, {})[one.method] = one.content
    schemas = whole.setdefault("components", {}).setdefault("schemas", {})
    used = {model for one in operations for model in one.models} | set(models.BODIES) | {models.Problem}
    # FastAPI drops the nulls of examples, and what is left of them is no valid answer.
    used |= {route.answer for route in app.routes if isinstance(route, Described) and route.answer}
    _, found = models_json_schema(
        [(model, "serialization") for model in sorted(used, key=lambda model: model.__name__)],
        ref_template=_REF,
    )
    schemas |= found["$defs"]
    whole["components"]["schemas"] = {
        name: schemas[name]
        for name in sorted(schemas)
        if name not in ("HTTPValidationError", "ValidationError")
    }
    whole["components"]["securitySchemes"] = SECURITY
    whole["security"] = [{name: []} for name in SECURITY]
    for route in keyless:
        method, path = route.split(" ")
        if path in whole["paths"] and method.lower() in whole["paths"][path]:
            whole["paths"][path][method.lower()]["security"] = []
    for path in whole["paths"].values():
        for content in path.values():
            _problems_for_wrong_parameters(content)
            _nothing_for_those_who_have_it(content)
    return whole


def _nothing_for_those_who_have_it(content: dict[str, Any]) -> None:
    """What understands If-None-Match may answer that nothing has changed."""
    if any(one.get("name") == "if-none-match" for one in content.get("parameters", ())):
        content["responses"]["304"] = {"description": "Not Modified: it still is as the ETag says"}


def _problems_for_wrong_parameters(content: dict[str, Any]) -> None:
    """FastAPI announces its own 422 body where a route has parameters; ours is a problem."""
    wrong = content["responses"].get("422")
    if wrong is not None and "application/json" in wrong.get("content", {}):
        content["responses"]["422"] = refusals_of(422)[422]


def _content_of(answer: type[BaseModel]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": {"$ref": _REF.format(model=answer.__name__)}}}}


def _request_body(body: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    content = {name: {"schema": {"$ref": _REF.format(model=model.__name__)}} for name, model in body.items()}
    return {"required": True, "content": content}

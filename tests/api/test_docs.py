from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fastapi.routing import APIRoute
from pydantic import BaseModel

from tests.api.serving import Server
from touchbook.api import customers, erasure, models, operators, response, standing
from touchbook.api.openapi import Described

ROOT = Path(__file__).resolve().parents[2]
MODELS = [
    model for model in vars(models).values() if isinstance(model, type) and issubclass(model, BaseModel)
]
EXEMPLARY = [model for model in MODELS if (model.model_config.get("json_schema_extra") or {})]
USERS = {"channels", "agents", "recommenders", "operators"}


def vendor() -> ModuleType:
    spec = importlib.util.spec_from_file_location("vendor", ROOT / "tools" / "vendor.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def operations(server: Server) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in server.http.get("/openapi.json").json()["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


@pytest.mark.parametrize("model", EXEMPLARY, ids=lambda model: model.__name__)
def test_every_example_is_valid_for_its_model(model: type[BaseModel]) -> None:
    for example in model.model_config["json_schema_extra"]["examples"]:  # type: ignore[index, call-overload, typeddict-item]
        model.model_validate(example)
        assert model.model_validate_json(json.dumps(example)) is not None


def test_every_model_shows_an_example_and_shows_it_whole(server: Server) -> None:
    known = {model.__name__: model for model in MODELS}
    for name, schema in server.http.get("/openapi.json").json()["components"]["schemas"].items():
        example = (known[name].model_config.get("json_schema_extra") or {})["examples"]  # type: ignore[index]
        assert schema["examples"] == example, name


def test_every_route_is_for_somebody_and_says_what_it_takes_and_answers(server: Server) -> None:
    whole = server.http.get("/openapi.json").json()
    schemas = whole["components"]["schemas"]

    def resolve(schema: dict[str, Any]) -> dict[str, Any]:
        return dict(schemas[schema["$ref"].rsplit("/", 1)[1]])

    for name, operation in operations(server):
        assert set(operation["tags"]) <= USERS, name
        assert operation.get("summary"), name
        assert operation.get("description"), name
        bodies = list(operation.get("requestBody", {}).get("content", {}).values())
        success = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
        for answer in success:
            bodies += [body for kind, body in answer["content"].items() if kind == "application/json"]
        for body in bodies:
            assert resolve(body["schema"])["examples"], name
        for status, answer in operation["responses"].items():
            if status == "304":
                assert "content" not in answer, name
            elif not status.startswith("2"):
                assert list(answer["content"]) == ["application/problem+json"], (name, status)


def test_a_start_builds_no_validator_of_an_answer() -> None:
    found = [
        route
        for part in (customers, erasure, operators, response, standing)
        for route in part.router.routes
        if isinstance(route, APIRoute)
    ]
    assert any(isinstance(route, Described) and route.answer for route in found)
    for route in found:
        assert isinstance(route, Described), route.path
        assert route.response_field is None, route.path


def test_every_reference_in_the_description_resolves(server: Server) -> None:
    whole = server.http.get("/openapi.json").json()
    names = set(whole["components"]["schemas"])

    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for inner in value.values():
                yield from references(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from references(inner)

    assert {one.rsplit("/", 1)[1] for one in references(whole)} <= names
    identifiers = [operation["operationId"] for _, operation in operations(server)]
    assert len(set(identifiers)) == len(identifiers)


def test_the_description_names_who_needs_no_key(server: Server) -> None:
    keyless = {name for name, operation in operations(server) if operation.get("security") == []}
    assert keyless == {
        "GET /healthz",
        "GET /readyz",
        "GET /metrics",
        "GET /v1/projects/{write_key}/settings",
    }


class Loaded(HTMLParser):
    """What a browser would load for a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.addresses += [value for name, value in attributes if name in ("src", "href") and value]


def test_the_page_loads_only_files_of_this_server(server: Server) -> None:
    page = server.http.get("/docs")
    addresses = Loaded(page.text).addresses
    assert len(addresses) >= 4
    for address in addresses:
        assert "//" not in address
        assert server.http.get(f"/{address}").status_code == 200
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert "http" not in page.headers["content-security-policy"]
    script = server.http.get("/docs/docs.js").text
    assert "validatorUrl: null" in script
    assert "http" not in script


def test_no_other_file_is_served(server: Server) -> None:
    for name in ("LICENSE", "vendor.lock.json", "..%2Fdocs.html", "%2e%2e%2fdocs.html", "docs.html"):
        assert server.http.get(f"/docs/{name}").status_code == 404


def test_the_vendored_files_are_those_that_were_locked() -> None:
    tool = vendor()
    assert tool.problems(tool.DOCS) == []
    lock = tool.read_lock(tool.DOCS)
    assert lock["swagger-ui"]["licence"] == "Apache-2.0"
    assert "LICENSE" in lock["swagger-ui"]["files"]


def test_a_changed_a_missing_and_an_unlisted_file_are_found(tmp_path: Path) -> None:
    tool = vendor()
    lock = {
        "ui": {
            "package": "p",
            "version": "1",
            "licence": "MIT",
            "files": {"a": tool.sha256_of(b"a"), "b": "0"},
        }
    }
    (tmp_path / "ui").mkdir()
    (tmp_path / "vendor.lock.json").write_text(json.dumps(lock))
    (tmp_path / "ui" / "a").write_bytes(b"changed")
    (tmp_path / "ui" / "c").write_bytes(b"c")
    assert tool.problems(tmp_path) == [
        "ui/a is not the file that was locked",
        "ui/b is missing",
        "ui/c is not in the lock file",
    ]

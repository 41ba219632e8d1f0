"""The page of routes."""

from __future__ import annotations

import json
from typing import Any

from tools.reference.server import an_application
from tools.reference.text import anchor, code, page, paragraphs, table
from touchbook.api.access import SEGMENT_PATHS, TABLE, Row
from touchbook.api.openapi import TAGS

INTRODUCTION = """
Every route of the HTTP API. A running server shows the same at `/docs`, where each can be tried, and describes answers
to the last field at `/openapi.json`; `POST /v1/track` and its like also answer `OPTIONS`, for browsers. Keys are sent
as `Authorization: Bearer KEY`, or as the user name of Basic. An error is a problem (RFC 9457) with a `code`:
[errors](errors.md). Besides the refusals listed, a route that needs a key may answer 429, and any route 503, both with
`Retry-After`. Times are RFC 3339 UTC with milliseconds, days `YYYY-MM-DD`, money integers in minor units.

`{ref}` is any permanent id of a customer, or `type:value` for `user_id`, `anonymous_id`, `loyalty_card` and `device`,
percent-encoded; e-mail and phone stand in no address: `POST /v1/customers:lookup`.
"""
ROLES = "## Who may do what\n"


def routes_page() -> str:
    with an_application() as (_, described):
        paths: Any = described["paths"]
        schemas: Any = described["components"]["schemas"]  # type: ignore[index]
    found = [
        (f"{method.upper()} {path}", said) for path, ways in paths.items() for method, said in ways.items()
    ]
    parts = []
    for tag in TAGS:
        here = [(route, said) for route, said in found if said.get("tags", ["operators"])[0] == tag["name"]]
        parts += [f"## {tag['name'].capitalize()}\n\n{tag['description']}\n"]
        parts += [_section(route, said, schemas) for route, said in here]
    overview = ((_linked(route), _who(TABLE[route])) for route, _ in found)
    return page("Routes", INTRODUCTION, ROLES, table(("route", "roles"), overview), *parts)


def _linked(route: str) -> str:
    plain = "".join(letter for letter in route if letter.isalnum() or letter in " -_")
    return f"[`{route}`](#{anchor(plain)})"


def _who(row: Row) -> str:
    if row.anyone:
        return "anyone"
    only = {role: f" with `{name}={value}` only" for role, (name, value) in row.only.items()}
    return ", ".join(f"{role}{only.get(role, '')}" for role in sorted(row.roles))


def _section(route: str, said: dict[str, Any], schemas: dict[str, Any]) -> str:
    lines = [f"### {route}\n", f"{paragraphs(said.get('description') or said['summary'])}\n"]
    if short := [
        path for path, call in SEGMENT_PATHS.items() if route == f"POST /v1/{call}" and path != f"/v1/{call}"
    ]:
        lines += [f"Short form: {code('POST ' + short[0])}.\n"]
    lines += [f"For {_who(TABLE[route])}.\n"]
    if parameters := said.get("parameters"):
        rows = ((code(one["name"]), one["in"], one.get("description", "")) for one in parameters)
        lines += [table(("parameter", "in", "meaning"), rows)]
    bodies = (said.get("requestBody") or {}).get("content", {})
    lines += (
        [f"Body ({', '.join(map(code, bodies))}):\n\n{_example(next(iter(bodies.values())), schemas)}"]
        if bodies
        else []
    )
    shown = None
    for status, answer in said["responses"].items():
        if status.startswith("2") and (content := answer.get("content", {}).get("application/json")):
            again = content["schema"] == shown
            lines += [
                f"Answers {status} with the same fields. {answer['description']}\n"
                if again
                else f"Answers {status}:\n\n{_example(content, schemas)}"
            ]
            shown = content["schema"]
    refusals = ", ".join(status for status in said["responses"] if not status.startswith("2"))
    return "\n".join([*lines, *([f"Refusals: {refusals}.\n"] if refusals else [])])


def _example(content: dict[str, Any], schemas: dict[str, Any]) -> str:
    name = content["schema"].get("$ref", "").rpartition("/")[2]
    examples = schemas.get(name, content["schema"]).get("examples")
    if not examples:
        return f"The model `{name}` of `/openapi.json`.\n" if name else "JSON.\n"
    return f"```json\n{json.dumps(examples[0], indent=2, ensure_ascii=False)}\n```\n"

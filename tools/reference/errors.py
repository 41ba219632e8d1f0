"""The page of error codes, read off the places in the code that raise them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import touchbook.errors
from tools.reference.text import one_line, page
from touchbook.api.problems import FRAMEWORK_CODES, FRAMEWORK_MESSAGES
from touchbook.errors import TouchbookError

ROOT = Path(__file__).parent.parent.parent
FOLDERS = ("core", "schemas", "streams", "projections", "api", "cli")
INTRODUCTION = """
Every `code` that an answer, a command or a set-aside item can carry. A *rejected* item is set aside with its reason and
the rest of its batch goes on; a *refused* request is turned away as a whole, and nothing of it is kept. Answers are
problems (RFC 9457) with `status`, `code`, `message` and, where one is to blame, `field`; codes are stable, words are
not. `…` stands for what depends on the case. Answers of 429 and 503 carry `Retry-After` in whole seconds: send again
with the same ids.
"""
ITEM, REQUEST = "an item is rejected", "a request is refused"
KNOWN_WHEN_IT_HAPPENS = {
    "field_invalid": "A field is not as its type says; the message names the field and what was expected.",
    "identifier_invalid": "An identifier is of an unknown type, or not spelled as its type asks.",
    "identifier_missing": "Nobody is named: Segment's calls need userId or anonymousId, a CloudEvent an identifier in "
    "data.identifiers.",
    "internal_error": "Something failed on our side. Send again with the same ids; the answer has an `id` that is in "
    "the log too.",
    "json_invalid": "What was sent is no JSON that all programs read alike; the message says where and why.",
    "not_ready": "A check of GET /readyz failed; the message says which, and what to do.",
    "parameter_invalid": "A parameter, or a field of the body, is not as documented; the message names it.",
    "reference_invalid": "The value of a reference is not spelled as its type asks.",
    "time_invalid": 'Expected an RFC 3339 time with a zone, as "2026-01-02T03:04:05.678Z".',
    "time_without_zone": 'Expected a time with a zone, as "2026-01-02T03:04:05.678Z".',
}
"""What to say where the code alone does not tell the message."""


@dataclass(frozen=True)
class Raised:
    """One way an error comes about."""

    code: str
    status: int
    what: str
    message: str


def errors_page() -> str:
    found: dict[str, list[Raised]] = {}
    for one in raised():
        found.setdefault(one.code, []).append(one)
    return page("Errors", INTRODUCTION, *(_section(name, found[name]) for name in sorted(found)))


def raised() -> list[Raised]:
    """Every way, from the classes of errors and from the places that raise one with a code of its own."""
    of_framework = (
        Raised(name, status, REQUEST, FRAMEWORK_MESSAGES[status]) for status, name in FRAMEWORK_CODES.items()
    )
    return [
        *_classes(),
        *of_framework,
        *(one for path in sources() for one in in_source(path.read_text("utf-8"))),
    ]


def sources() -> list[Path]:
    return sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def in_source(text: str) -> Iterator[Raised]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            match node.func.id, node.args:
                case "Rejected", [ast.Constant(value=str(name)), message, *where]:
                    field = f"{told(where[0])}: " if where and told(where[0]) else ""
                    yield Raised(name, 422, ITEM, field + told(message))
                case (("Refused" | "problem"), [status, ast.Constant(value=str(name)), message, *_]):
                    yield Raised(name, ast.literal_eval(status), REQUEST, told(message))


def told(node: ast.expr) -> str:
    """The words of a message, as far as they are known before it happens."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in parts)
        case ast.BinOp(left=left, right=right):
            return told(left) + told(right)
    return "…"


def _classes() -> Iterator[Raised]:
    for one in vars(touchbook.errors).values():
        if isinstance(one, type) and issubclass(one, TouchbookError) and "code" in vars(one):
            yield Raised(one.code, one.status, "", one_line(one.__doc__))


def _section(name: str, ways: list[Raised]) -> str:
    statuses = ", ".join(
        f"{status} {HTTPStatus(status).phrase}" for status in sorted({way.status for way in ways})
    )
    kinds = " or ".join(dict.fromkeys(way.what for way in ways if way.what))
    messages = dict.fromkeys(_words(name, way.message) for way in ways)
    lines = "\n".join(f"- {message}" for message in messages)
    return f"## {name}\n\n{statuses}{f': {kinds}' if kinds else ''}.\n\n{lines}\n"


def _words(name: str, message: str) -> str:
    """The message, or where none of its words is known before it happens, what the code means."""
    unknown = not any(letter.isalpha() for letter in message.replace("query", ""))
    return KNOWN_WHEN_IT_HAPPENS[name] if unknown else message

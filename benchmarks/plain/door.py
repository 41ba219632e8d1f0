"""The doors' small steps as they were first written: the plain versions of what is shaped for speed. Same results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from starlette.types import Scope

from touchbook.api.answers import encoded
from touchbook.positions import token_of
from touchbook.streams.admission import Outcome
from touchbook.streams.metrics import Metrics


def header_of(scope: Scope, name: bytes) -> str | None:
    """Looks through all headers each time."""
    for sent, value in scope["headers"]:
        if sent == name:
            return str(value, "latin-1")
    return None


def published(outcomes: Sequence[Outcome]) -> bytes:
    kinds = [one.outcome for one in outcomes]
    content = {
        "success": True,
        "accepted": kinds.count("accepted"),
        "duplicates": kinds.count("duplicate"),
        "rejected": [
            {"index": index, "code": one.code, "message": one.message}
            for index, one in enumerate(outcomes)
            if one.outcome == "rejected"
        ],
        "positions": [None if one.position is None else token_of(one.position) for one in outcomes],
    }
    return encoded(content)


def count(metrics: Metrics, source: str, outcomes: Sequence[Outcome]) -> None:
    metrics.received(source, len(outcomes))
    for (outcome, code), items in Counter((one.outcome, one.code) for one in outcomes).items():
        match outcome:
            case "accepted":
                metrics.accepted(source, items)
            case "duplicate":
                metrics.duplicates(source, items)
            case "rejected":
                metrics.rejected(source, code, items)

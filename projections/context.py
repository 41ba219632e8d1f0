"""What a channel should know before it speaks: open matters, last topics, name and language, in the API's words."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any, NamedTuple

from touchbook.ledger import Day, day_of
from touchbook.registers import Setting, ThreadMessage, open_cases, open_requests, promises
from touchbook.schemas.times import rfc3339
from touchbook.timeline import Entry

TOPICS = 5
RECENT_ENTRIES = 50
TOPIC_FIELDS = ("topic", "subject", "title", "category", "name")
_NOTHING: dict[str, Any] = {}


def open_matters(
    settings: list[Setting], messages: list[ThreadMessage], now: int, with_texts: bool
) -> dict[str, Any]:
    """Open cases, the oldest first; unanswered requests, the longest waiting first; promises not kept, the earliest due
    first. Ages are UTC days begun since, so that they change at midnight only. Without texts neither titles nor
    promises' words are told."""
    today = day_of(now)
    return {
        "cases": [
            {
                "kind": case.kind,
                "id": case.id,
                "stage": case.stage,
                "title": case.title if with_texts else None,
                "opened_at": None if case.opened_at is None else rfc3339(case.opened_at),
                "age_days": _age_days(case.opened_at or case.changed_at, today),
                "changed_at": rfc3339(case.changed_at),
                "touchpoint": case.touchpoint,
            }
            for case in open_cases(settings)
        ],
        "requests": [
            {
                "thread": request.thread,
                "channel": request.channel,
                "since": rfc3339(request.since),
                "age_days": _age_days(request.since, today),
                "messages": request.messages,
                "touchpoint": request.touchpoint,
            }
            for request in open_requests(messages)
        ],
        "promises": [
            {
                "id": promise.id,
                "what": promise.what if with_texts else None,
                "due": None if promise.due is None else rfc3339(promise.due),
                "state": promise.state,
                "touchpoint": promise.touchpoint,
            }
            for promise in promises(settings, now)
            if promise.state != "kept"
        ],
    }


def _age_days(since: int, today: Day) -> int:
    """Sources may run a day ahead of us: what happened tomorrow is new."""
    return max(0, today - day_of(since))


class Head(NamedTuple):
    """What is told of an entry where only its topic matters."""

    occurred_at: int
    key: str
    type: str
    topic: str | None


def head_of(entry: Entry) -> Head:
    return Head(entry.occurred_at, entry.key, entry.type, topic_in(entry.body))


def topic_in(body: dict[str, Any]) -> str | None:
    """What an entry with this body is about, None where it does not say."""
    data, shown = body.get("data", _NOTHING), body.get("shown", _NOTHING)
    for name in TOPIC_FIELDS:
        said = shown[name] if name in shown else data.get(name)
        if said and isinstance(said, str):
            return said
    return None


def topics_of(heads: Iterable[Head]) -> list[dict[str, Any]]:
    """What the newest of these entries were about, each topic once."""
    topics: dict[str, dict[str, Any]] = {}
    for at, _, type, topic in islice(heads, RECENT_ENTRIES):
        if topic is not None:
            topics.setdefault(topic, {"topic": topic, "type": type, "at": rfc3339(at)})
        if len(topics) == TOPICS:
            break
    return list(topics.values())


def language_of(preferences: dict[str, Any], traits: dict[str, Any]) -> str | None:
    """What he asked for, else what is known of him; traits may hold anything, so only a text is taken for one."""
    said = (preferences.get("language"), traits.get("language"), traits.get("locale"))
    return next((one for one in said if isinstance(one, str) and one), None)


def name_of(traits: dict[str, Any]) -> str | None:
    """What to call him, from the traits that senders use for it."""
    if isinstance(traits.get("name"), str):
        return str(traits["name"])
    parts = (
        traits.get("firstName") or traits.get("first_name"),
        traits.get("lastName") or traits.get("last_name"),
    )
    return " ".join(part for part in parts if isinstance(part, str) and part) or None

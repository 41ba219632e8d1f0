"""A timeline's entries: what a touchpoint leaves on it, and how an entry reads in a language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from touchbook.schemas.catalogue import CATALOGUE, Plain
from touchbook.schemas.display import Language
from touchbook.schemas.times import rfc3339

ERASED, UNREADABLE = "erased", "unreadable"
SPECIAL: Mapping[str, Mapping[Language, tuple[str, str]]] = {
    ERASED: {
        "en": ("Erased at the customer's wish", ""),
        "ru": ("Удалено по желанию клиента", ""),
    },
    UNREADABLE: {
        "en": ("A touchpoint that cannot be read", "It is kept in the journal; operators have been told."),
        "ru": ("Событие не удалось прочитать", "Оно хранится в журнале, операторы уже знают."),
    },
}


class Entry(NamedTuple):
    """One line of a timeline, as projected. `body` is JSON-ready content; everything else can be searched by.

    body: `id`; `data` as sent; `shown` what the type's fields say beyond it (a mapped type's own names, converted
    amounts); `actor`; `marks`; `signals` as [name, total] pairs.
    """

    key: str
    subject: str
    occurred_at: int
    recorded_at: int
    position: int
    type: str
    family: str
    channel: str
    source: str
    direction: str
    thread: str | None
    for_customer: bool
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TimelineFilters:
    """Which entries to show; None lets all pass. `from_at` and `to_at` are milliseconds, the latter exclusive."""

    channel: str | None = None
    family: str | None = None
    type: str | None = None
    thread: str | None = None
    direction: str | None = None
    from_at: int | None = None
    to_at: int | None = None
    text: str | None = None
    audience: Literal["agent", "customer"] = "agent"


def headline_and_detail(entry: Entry, language: Language) -> tuple[str, str, str]:
    """(icon, headline, detail) in the language asked for."""
    if entry.type in SPECIAL:
        return ("eraser" if entry.type == ERASED else "circle-alert", *SPECIAL[entry.type][language])
    fields = {**entry.body.get("data", {}), **entry.body.get("shown", {})}
    display = CATALOGUE.get(entry.type, Plain).display
    return (display.icon, *display.read(fields, language))


def item_of(entry: Entry, language: Language, late_after: int, token: str) -> dict[str, Any]:
    """The entry as the API gives it. `late_after` is milliseconds, `token` its opaque position."""
    icon, headline, detail = headline_and_detail(entry, language)
    return {
        "key": entry.key,
        "id": entry.body.get("id"),
        "type": entry.type,
        "family": entry.family,
        "channel": entry.channel,
        "source": entry.source,
        "direction": entry.direction,
        "actor": entry.body.get("actor"),
        "thread": entry.thread,
        "occurred_at": rfc3339(entry.occurred_at),
        "recorded_at": rfc3339(entry.recorded_at),
        "position": token,
        "subject": entry.subject,
        "headline": headline,
        "detail": detail,
        "icon": icon,
        "late": entry.recorded_at - entry.occurred_at > late_after,
        "data": entry.body.get("data", {}),
        "marks": entry.body.get("marks", []),
    }


def has_text(entry: Entry, sought: str, language: Language) -> bool:
    """Whether the words shown for the entry, or any text in its data, hold `sought` (already casefolded)."""
    _, headline, detail = headline_and_detail(entry, language)
    return (
        sought in headline.casefold() or sought in detail.casefold() or _holds(entry.body.get("data"), sought)
    )


def _holds(value: Any, sought: str) -> bool:
    if isinstance(value, str):
        return sought in value.casefold()
    if isinstance(value, dict):
        return any(_holds(inner, sought) for inner in value.values())
    if isinstance(value, list):
        return any(_holds(inner, sought) for inner in value)
    return isinstance(value, int) and not isinstance(value, bool) and sought == str(value)

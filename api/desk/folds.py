"""What lies together on the timeline: conversations, the steps of a case or an order, runs of page views.

A run of entries, as one page or one live event brings it, becomes cards. Nothing is lost and nothing told twice: every
entry is in exactly one card, as one of its own or as a mark on it. A card lies at the place of its newest entry. What
another page holds of a conversation lies in a card there; no card needs what is beyond the page. Pure; no words here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from touchbook.schemas.catalogue import CATALOGUE
from touchbook.schemas.details import Details
from touchbook.schemas.threads import Threaded
from touchbook.timeline import NOISE, Entry

Kind = Literal["one", "talk", "steps", "views"]
FEELING = "emotion_observed"
LEAST_VIEWS = 2
STEPS_OF = frozenset({("case_id",), ("order_id",), ("session_id",)})
"""Types that belong to one such thing alone are steps of it; a promise or a complaint, say, stands for itself."""
STEPS = frozenset(
    name
    for name, model in CATALOGUE.items()
    if issubclass(model, Threaded) and tuple(model.thread_from) in STEPS_OF
)
TALK = frozenset(name for name, model in CATALOGUE.items() if model.family == "conversation")
SPEECH = frozenset(
    name for name, model in CATALOGUE.items() if name in TALK and model.message is not Details.message
)
"""Types that are words of somebody in a conversation."""


@dataclass(frozen=True, slots=True)
class Card:
    """`entries` newest first, at least one; `feelings` are emotions somebody noticed in them, oldest first."""

    kind: Kind
    entries: tuple[Entry, ...]
    feelings: tuple[Entry, ...] = ()

    @property
    def newest(self) -> Entry:
        return self.entries[0]

    @property
    def keys(self) -> list[str]:
        """Of all that it holds, the newest first."""
        return [one.key for one in (*self.entries, *reversed(self.feelings))]


def cards_of(entries: Sequence[Entry], day_at: Callable[[int], date]) -> list[Card]:
    """The cards of a run of entries, both newest first. `day_at` tells the day of a moment at the desk."""
    felt = _felt(entries)
    groups: dict[Hashable, list[Entry]] = {}
    feelings: dict[Hashable, list[Entry]] = {}
    places: dict[str, Hashable] = {}
    before: tuple[Hashable, Hashable] | None = None
    for entry in entries:
        if entry.key in felt:
            continue
        alike = _alike(entry, day_at)
        if alike is not None and before is not None and before[0] == alike:
            place = before[1]  # the run of views goes on
        else:
            place = _thread(entry, day_at) or ("one", entry.key)
        before = None if alike is None else (alike, place)
        groups.setdefault(place, []).append(entry)
        places[entry.key] = place
    for entry in reversed(entries):
        if entry.key in felt:
            feelings.setdefault(places[felt[entry.key]], []).append(entry)
    return [
        Card(_kind(place, held), tuple(held), tuple(feelings.get(place, ())))
        for place, held in groups.items()
    ]


def _kind(place: Hashable, held: Sequence[Entry]) -> Kind:
    match place:
        case ("talk" | "steps" as kind, *_):
            return kind
    return "views" if len(held) >= LEAST_VIEWS else "one"


def _thread(entry: Entry, day_at: Callable[[int], date]) -> Hashable | None:
    """What a conversation of one day, or all steps of one thing, have in common."""
    if not entry.thread:
        return None
    if entry.type in STEPS:
        return "steps", entry.family, entry.thread
    if entry.type in TALK:
        return "talk", entry.thread, day_at(entry.occurred_at)
    return None


def _alike(entry: Entry, day_at: Callable[[int], date]) -> Hashable | None:
    """What noise of one kind, one after another within a day, has in common."""
    if entry.type not in NOISE or entry.thread:
        return None
    return entry.type, entry.channel, day_at(entry.occurred_at)


def _felt(entries: Sequence[Entry]) -> dict[str, str]:
    """Key of an emotion → key of the touchpoint of this run that it was noticed in: the one it names, else the newest
    before it of its conversation."""
    others = [one for one in reversed(entries) if one.type != FEELING]
    by_name = {name: one.key for one in others for name in (one.key, one.body.get("id")) if name}
    talks: dict[str, str] = {}
    found: dict[str, str] = {}
    for entry in reversed(entries):
        if entry.type == FEELING:
            named = (by_name[name] for name in _names(entry.body.get("data", {})) if name in by_name)
            target = next(named, None) or talks.get(entry.thread or "")
            if target is not None:
                found[entry.key] = target
        elif entry.thread and entry.type in TALK:
            talks[entry.thread] = entry.key
    return found


def _names(data: dict[str, object]) -> list[str]:
    return [
        name for name in (data.get("touchpoint"), data.get("in_reply_to")) if isinstance(name, str) and name
    ]

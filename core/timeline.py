"""A timeline's entries: what a touchpoint leaves on it, and how an entry reads in a language."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any, Literal, NamedTuple

from touchbook.schemas.catalogue import CATALOGUE, Plain
from touchbook.schemas.display import Language
from touchbook.schemas.times import rfc3339
from touchbook.schemas.touchpoint import OURS

ActorKind = Literal["customer", "agent", "bot", "system"]
Audience = Literal["agent", "customer"]
Mood = Literal["negative", "positive", "neutral"]
MOODS: tuple[Mood, ...] = ("negative", "positive", "neutral")
"""What a touchpoint of several kinds counts as comes first."""
MOOD_OF_SIGNAL: Mapping[str, Mood] = {
    "complaint": "negative", "csat_bad": "negative", "ces_hard": "negative", "nps_detractor": "negative",
    "review_negative": "negative", "stance_attacks": "negative", "bot_down": "negative",
    "content_useless": "negative", "emotion_negative": "negative", "spam_report": "negative",
    "csat_mid": "neutral", "ces_mid": "neutral", "nps_passive": "neutral", "review_neutral": "neutral",
    "csat_good": "positive", "ces_easy": "positive", "nps_promoter": "positive", "review_positive": "positive",
    "stance_defends": "positive", "mention_positive": "positive", "bot_up": "positive",
    "content_useful": "positive", "emotion_positive": "positive",
}  # fmt: skip
NOISE: tuple[str, ...] = tuple(name for name, model in CATALOGUE.items() if model.display.tone == "noise")
"""Types that crowd a timeline and say little by themselves."""
COMPLAINT = "complaint_raised"
HELD_BACK = ("contact_deferred", "contact_suppressed")
"""Decisions against a message."""
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
    """Which entries to show; None, and an empty tuple, let all pass. `from_at` and `to_at` are milliseconds, the latter
    exclusive. `noise` False hides what its type calls noise. Stores know nothing of `text`, `actors` and `moods`, see
    `passes`."""

    channels: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    actors: tuple[ActorKind, ...] = ()
    moods: tuple[Mood, ...] = ()
    noise: bool = True
    thread: str | None = None
    direction: str | None = None
    from_at: int | None = None
    to_at: int | None = None
    text: str | None = None
    audience: Audience = "agent"

    @property
    def by_store(self) -> bool:
        """Whether a store alone can tell what passes: then it can be counted."""
        return not (self.actors or self.moods or self.text)


def named(value: str | None) -> tuple[str, ...]:
    """A filter by one name, or by none."""
    return () if value is None else (value,)


def passes(entry: Entry, filters: TimelineFilters, language: Language) -> bool:
    """Whether an entry that a store let through passes what stores know nothing of."""
    return (
        (not filters.actors or actor_of(entry) in filters.actors)
        and (not filters.moods or mood_of(entry) in filters.moods)
        and (
            not filters.text or has_text(seen_by(entry, filters.audience), filters.text.casefold(), language)
        )
    )


def actor_of(entry: Entry) -> ActorKind:
    """Who did it: as said, else the customer whatever came from him, and the system the rest."""
    said = entry.body.get("actor")
    if said is not None:
        kind: ActorKind = said["kind"]
        return kind
    return "customer" if entry.direction == "in" else "system"


def mood_of(entry: Entry) -> Mood | None:
    """How he felt by what the touchpoint says: an emotion somebody noticed, sure enough or not, else what it counts as
    praise or blame; None where it says nothing."""
    if entry.type == "emotion_observed":
        said = entry.body.get("data", {}).get("valence")
        return said if said in MOODS else None
    given = {MOOD_OF_SIGNAL[name] for name, _ in entry.body.get("signals", ()) if name in MOOD_OF_SIGNAL}
    return next((mood for mood in MOODS if mood in given), None)


def reason_in(body: Mapping[str, Any]) -> str | None:
    """Why the customer complained, by the body of his complaint's entry."""
    said = (body.get(part, {}).get("reason") for part in ("shown", "data"))
    return next((one for one in said if isinstance(one, str) and one), None)


def counted_causes(said: Iterable[tuple[str | None, int]]) -> list[tuple[str | None, int]]:
    """Each reason once, the most frequent first."""
    causes: Counter[str | None] = Counter()
    for reason, number in said:
        causes[reason] += number
    return sorted(causes.items(), key=lambda one: (-one[1], one[0] or ""))


def reasons_in(body: Mapping[str, Any]) -> set[str]:
    """What kinds of rules spoke against a message, by the body of the decision's entry."""
    said = body.get("data", {}).get("reasons")
    codes = (one.get("code") for one in said if isinstance(one, Mapping)) if isinstance(said, list) else ()
    return {code for code in codes if isinstance(code, str)}


def counted_reasons(said: Iterable[tuple[str, str, int]]) -> list[tuple[str, str, int]]:
    """(type of the decision, reason, how many), each once, the most frequent first."""
    counted: Counter[tuple[str, str]] = Counter()
    for type_, reason, number in said:
        counted[type_, reason] += number
    return sorted(((*name, n) for name, n in counted.items()), key=lambda one: (-one[2], one[0], one[1]))


def headline_and_detail(entry: Entry, language: Language, zone: tzinfo | None = None) -> tuple[str, str, str]:
    """(icon, headline, detail) in the language asked for; times of day in the zone, or as they were sent."""
    if entry.type in SPECIAL:
        return ("eraser" if entry.type == ERASED else "circle-alert", *SPECIAL[entry.type][language])
    fields = {**entry.body.get("data", {}), **entry.body.get("shown", {})}
    display = CATALOGUE.get(entry.type, Plain).display
    return (display.icon, *display.read(fields, language, zone))


def seen_by(entry: Entry, audience: Audience) -> Entry:
    """Without what the type withholds from the customer, where it is for him."""
    withheld = CATALOGUE.get(entry.type, Plain).withheld
    if audience == "agent" or not withheld:
        return entry
    return entry._replace(body=_without(entry.body, withheld))


def _without(value: Any, withheld: Collection[str]) -> Any:
    if isinstance(value, dict):
        return {name: _without(inner, withheld) for name, inner in value.items() if name not in withheld}
    return [_without(inner, withheld) for inner in value] if isinstance(value, list) else value


def item_of(entry: Entry, language: Language, late_after: int, token: str) -> dict[str, Any]:
    """The entry as the API gives it. `late_after` is milliseconds, `token` its opaque position. What the server says
    itself is never late: it is about the past."""
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
        "late": entry.source != OURS and entry.recorded_at - entry.occurred_at > late_after,
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

"""Verdicts and decisions as the timeline tells them: what became known after them, what they belong to, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from touchbook.api.desk.channel_words import channel_words
from touchbook.api.desk.field_words import field_words, value_words
from touchbook.api.desk.now import reason_words
from touchbook.api.desk.pages import Visit
from touchbook.api.desk.words import Words
from touchbook.ledger import day_of
from touchbook.projections.who import Customer
from touchbook.registers import OF_TIME, Setting
from touchbook.timeline import Entry, TimelineFilters
from touchbook.turns import Turn, turns_of

ON_REQUESTS = frozenset({"request_answered", "request_late", "request_ignored"})
OVERDUE = "promise_overdue"
DECISIONS = frozenset({"contact_reserved", "contact_deferred", "contact_suppressed"})
SETTLED = frozenset({"contact_confirmed", "contact_released"})
LENGTHS = ("waited", "waited_working", "target", "limit", "usual", "seconds")
MOMENTS = ("opened", "replied", "since", "due", "until", "holds_until", "starts_at", "expected_at")
HIDDEN = frozenset({
    "text", "comment", "actor", "thread", "identifiers", "turn", "reply", "reservation", "decision", "reasons",
})  # fmt: skip
"""Fields that are told elsewhere, or by what stands beside."""


_OF_DECISIONS = frozenset({"source", "policy", "for_channel", "counts", "asked", "asked_at", "priority"})
_OF_TIERS = frozenset({"score", "before", "after", "value_before", "value_after", "day"})
TOLD_BY: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(DECISIONS, _OF_DECISIONS),
    **dict.fromkeys(ON_REQUESTS, frozenset({"target_time"})),
    "score_tier_changed": _OF_TIERS,
}
"""Fields of a type that its card says in words, or its facts do."""


class Related(NamedTuple):
    """Another touchpoint that this one is about, or that belongs to it."""

    key: str
    icon: str
    said: str
    at: int


# What became known later


def later_of(visit: Visit, customer: Customer, entries: Sequence[Entry]) -> dict[str, str]:
    """Key of a verdict → what is known now and was not when it was reached. The verdict itself stands."""
    said: dict[str, str] = {}
    on_requests = [one for one in entries if one.type in ON_REQUESTS and _text(one, "turn")]
    overdue = [one for one in entries if one.type == OVERDUE]
    if on_requests:
        turns = _turns(visit, customer)
        for one in on_requests:
            turn = turns.get(_text(one, "turn"))
            if turn is not None and (later := _answer_since(visit, customer, one, turn)):
                said[one.key] = later
    if overdue:
        outcomes = _outcomes(visit, customer)
        for one in overdue:
            outcome = outcomes.get(_text(one, "promise_id"))
            if outcome is not None and (later := _outcome_words(outcome, one, visit)):
                said[one.key] = later
    return said


def _turns(visit: Visit, customer: Customer) -> Mapping[str, Turn]:
    """Every turn by each of its messages."""
    customers = visit.desk.book.customers

    def read() -> Mapping[str, Turn]:
        with customers.reading() as reader:
            turns = turns_of(reader.messages(customer.subjects))
        return {key: turn for turn in turns for key in turn.customer_keys}

    return customers.recalled("turns", customer, day_of(visit.now), read)


def _answer_since(visit: Visit, customer: Customer, verdict: Entry, turn: Turn) -> str:
    """How long it really took, where the verdict says otherwise, and since when that is known."""
    if turn.replied_at is None or turn.reply is None:
        return ""
    waited = turn.replied_at - turn.opened_at
    known = _data(verdict).get("waited")
    if verdict.type != "request_ignored" and known == waited // 1000:
        return ""
    recorded = [_recorded(visit, customer, turn.replied_at, turn.reply)]
    if turn.opening != _text(verdict, "turn"):
        recorded.append(_recorded(visit, customer, turn.opened_at, turn.opening))
    words = visit.words
    since = max((at for at in recorded if at is not None), default=turn.replied_at)
    return words.gettext(
        "answered after %(time)s, known since %(moment)s",
        time=words.duration(waited),
        moment=f"{words.day_short(since, visit.now)}, {words.time(since)}",
    )


def _recorded(visit: Visit, customer: Customer, at: int, key: str) -> int | None:
    here = TimelineFilters(from_at=at, to_at=at + 1)
    with visit.desk.book.customers.reading() as reader:
        found = reader.entries(customer.subjects, here, None)
        return next((one.recorded_at for one in found if one.key == key), None)


def _outcomes(visit: Visit, customer: Customer) -> Mapping[str, Setting]:
    customers = visit.desk.book.customers

    def read() -> Mapping[str, Setting]:
        with customers.reading() as reader:
            settings = reader.registers(customer.ids, OF_TIME)
        return {one.key: one for one in settings if one.kind == "promise_outcome"}

    return customers.recalled("outcomes", customer, day_of(visit.now), read)


def _outcome_words(outcome: Setting, verdict: Entry, visit: Visit) -> str:
    day = visit.words.day_short(outcome.occurred_at, visit.now)
    match outcome.value.get("state"):
        case "kept":
            return visit.words.gettext("kept on %(day)s", day=day)
        case "broken":
            return visit.words.gettext("broken on %(day)s", day=day)
    return ""


# What belongs together


def related_to(visit: Visit, customer: Customer, entry: Entry) -> list[Related]:
    """Of a verdict the message that opened the turn and the reply; of a decision, and of what became of it, the others
    and the message itself; oldest first."""
    _ = visit.words.gettext
    data = _data(entry)
    if entry.type in ON_REQUESTS:
        told = [
            (_text(entry, "turn"), "message-circle", _("The request"), data.get("opened")),
            (_text(entry, "reply"), "reply", _("The reply"), data.get("replied")),
        ]
        return [Related(key, icon, said, _moment(at)) for key, icon, said, at in told if key and _moment(at)]
    reservation = _text(entry, "reservation") or (
        _text(entry, "decision") if entry.type == "message_sent" else ""
    )
    if not reservation:
        return []
    kinds = {
        "reserved": ("megaphone", _("The decision")),
        "confirmed": ("check-check", _("Went out")),
        "released": ("undo-2", _("Did not go out")),
        "sent": ("mail", _("The message")),
    }
    with visit.desk.book.customers.reading() as reader:
        rows = reader.contacts(customer.subjects, -(2**62))
    return [
        Related(row.key, *kinds[row.kind], row.occurred_at)
        for row in rows
        if row.reservation == reservation and row.key != entry.key
    ]


# Details


def facts_in(visit: Visit, entry: Entry) -> list[tuple[str, str]]:
    """What its fields say: lengths, times and choices as the desk writes them, the rest as it was sent."""
    words, data = visit.words, _data(entry)
    facts = _of_decision(entry, words) if entry.type in DECISIONS else []
    left_out = HIDDEN | TOLD_BY.get(entry.type, frozenset())
    for name, value in data.items():
        if name in left_out or not isinstance(value, str | int | float) or isinstance(value, bool):
            continue
        label = field_words(name, words.language)
        if name in LENGTHS and isinstance(value, int | float):
            facts.append((label, words.length(int(value * 1000))))
        elif name in MOMENTS and (at := _moment(value)):
            facts.append((label, words.moment(at)))
        else:
            facts.append((label, value_words(entry.type, name, value, words.language)[:200]))
    return facts


def _of_decision(entry: Entry, words: Words) -> list[tuple[str, str]]:
    """Who asked, for which channel, which policy decided, and every reason with its rule."""
    _, data = words.gettext, _data(entry)
    reasons = data.get("reasons")
    said = [
        reason_words(str(one.get("code")), words, one.get("rule"))
        for one in (reasons if isinstance(reasons, list) else [])
        if isinstance(one, Mapping)
    ]
    counts = data.get("counts")
    return [
        (_("Asked by"), _text(entry, "source")),
        (_("For"), channel_words(_text(entry, "for_channel"), words.language)),
        (_("Reasons"), ", ".join(dict.fromkeys(said))),
        (_("Policy version"), _text(entry, "policy")),
        (_("Counts"), _("yes") if counts is True else _("no") if counts is False else ""),
    ]


def _data(entry: Entry) -> Mapping[str, Any]:
    data: Mapping[str, Any] = entry.body.get("data", {})
    return data


def _text(entry: Entry, name: str) -> str:
    value = _data(entry).get(name)
    return value if isinstance(value, str) else ""


def _moment(said: Any) -> int:
    """0 where it is none."""
    try:
        return round(datetime.fromisoformat(said).timestamp() * 1000)
    except (TypeError, ValueError):
        return 0

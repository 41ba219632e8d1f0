"""What would mend a score: open matters first, then what helps most. Every figure is asked of the scorecard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from touchbook.api.desk.channel_words import channel_words
from touchbook.api.desk.matters import Matter, matters_of
from touchbook.api.desk.pages import Visit
from touchbook.api.desk.score_words import LESS_IS_BETTER, MENDS
from touchbook.api.desk.who import situation_at
from touchbook.api.desk.words import MINUS
from touchbook.ledger import day_of
from touchbook.projections.situation import Situation
from touchbook.projections.supposing import Supposed, suppose
from touchbook.projections.who import Customer
from touchbook.scorecard import Scorecard

TOLD = 4
QUIET_DAYS = 14
RECENT_DAYS = 365
"""A complaint or a word of his older than this is not waiting for us any more."""
PRESSING = "message_marketing"


@dataclass(frozen=True, slots=True)
class Mend:
    """`gain` is signed and in words, `to` what the score would be."""

    label: str
    gain: str
    to: str


@dataclass(frozen=True, slots=True)
class _Proposal:
    label: str
    supposed: Supposed
    owed: bool
    """Whether a matter is open that it would close."""


def mends_of(visit: Visit, customer: Customer, card: Scorecard, value: int | None) -> list[Mend]:
    """At most four, what is owed first and then the most helpful; none that would not move the score the right way."""
    if value is None:
        return []
    proposals = _proposals(visit, situation_at(visit, customer), card)
    asked = [one.supposed for one in proposals]
    found = suppose(visit.desk.book.customers, customer, card.name, day_of(visit.now), asked)
    better = -1 if card.name in LESS_IS_BETTER else 1
    helps = [
        (one, score.value)
        for one, score in zip(proposals, found, strict=True)
        if score.value is not None and better * (score.value - value) > 0
    ]
    owed = [one for one in helps if one[0].owed]
    others = sorted((one for one in helps if not one[0].owed), key=lambda one: -better * one[1])
    return [
        Mend(one.label, f"{'+' if to > value else MINUS}{abs(to - value)}", str(to))
        for one, to in [*owed, *others][:TOLD]
    ]


def _proposals(visit: Visit, situation: Situation, card: Scorecard) -> list[_Proposal]:
    owed = [
        _Proposal(label, Supposed(adding=signals), owed=True)
        for label, signals in _owed(visit, situation)
        if card.signals.issuperset(signals)
    ]
    known = {one.supposed.adding for one in owed}
    others = [
        _Proposal(said.in_(visit.language), Supposed(adding=(signal,)), owed=False)
        for signal, said in MENDS.items()
        if signal in card.signals and (signal,) not in known
    ]
    if PRESSING in card.signals and card.name in LESS_IS_BETTER:
        label = visit.words.ngettext("%(num)s day of quiet", "%(num)s days of quiet", QUIET_DAYS)
        others.append(_Proposal(label, Supposed(later=QUIET_DAYS), owed=False))
    return [*owed, *others]


def _owed(visit: Visit, situation: Situation) -> list[tuple[str, tuple[str, ...]]]:
    """What would close an open matter, and the signals it would give."""
    _ = visit.words.gettext
    matters = matters_of(situation.settings, situation.requests, visit.desk.book.policies, visit.now)
    found: list[tuple[str, tuple[str, ...]]] = []
    case = any(one.kind == "case" for one in matters)
    if _complains(situation, day_of(visit.now)):
        found.append((_("Resolve the complaint"), ("complaint_resolved",)))
        if case:
            found.append((_("and close the case"), ("complaint_resolved", "case_resolved")))
    elif case:
        found.append((_("Close the case"), ("case_resolved",)))
    if (promise := _first(matters, "due", "overdue")) is not None:
        found.append((_promise_words(promise, visit), ("promise_kept",)))
    if (request := _first(matters, "waiting")) is not None:
        channel = channel_words(request.channels[0], visit.language)
        found.append((_("Answer in time: %(channel)s", channel=channel), ("request_answered",)))
    if _unthanked(situation, day_of(visit.now)):
        found.append((_("Thank for the feedback"), ("feedback_acknowledged",)))
        found.append((_("Put the feedback to use"), ("feedback_acted",)))
    return found


def _first(matters: Sequence[Matter], *kinds: str) -> Matter | None:
    return next((one for one in matters if one.kind in kinds), None)


def _promise_words(promise: Matter, visit: Visit) -> str:
    _ = visit.words.gettext
    if promise.due is not None:
        days = (visit.words.today(promise.due) - visit.words.today(visit.now)).days
        if days in (0, 1):
            return _("Keep today’s promise") if days == 0 else _("Keep tomorrow’s promise")
    return _("Keep the promise")


def _complains(situation: Situation, today: int) -> bool:
    """Whether there are more complaints than were ever settled, the last of them not long ago."""
    raised, last = situation.counts.get("complaint", (0, 0))
    return raised > situation.count("complaint_resolved") and today - last < RECENT_DAYS


def _unthanked(situation: Situation, today: int) -> bool:
    """Whether he said something since we last thanked him or put a word of his to use."""
    said = [situation.counts[name][1] for name in ("survey_answer", "suggestion") if name in situation.counts]
    heard = [
        situation.counts[name][1]
        for name in ("feedback_acknowledged", "feedback_acted")
        if name in situation.counts
    ]
    return bool(said) and today - max(said) < RECENT_DAYS and max(heard, default=0) < max(said)

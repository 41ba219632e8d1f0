"""The policy: how soon a customer is answered, when he is no longer believed to be, and when and how often he may be
spoken to. A company writes it in a file (see `policy_files`); in it, versions follow one another.

Durations and times are milliseconds, times UTC. Of `channels`, `purposes` and `tags` an empty tuple means any.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

from touchbook.calendar import Calendar, Span

TimeKind = Literal["calendar", "working"]
Rule = Literal["do_not_contact", "consent", "hours", "caps", "fatigue", "frequency", "channels", "language"]
RULES: tuple[Rule, ...] = (
    "do_not_contact", "consent", "hours", "caps", "fatigue", "frequency", "channels", "language",
)  # fmt: skip
Per = Literal["day", "week", "month"]

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


# How soon


@dataclass(frozen=True, slots=True)
class Target:
    """The first reply is to come `within` this much time. `hours`: only where it was asked at this time of day, by the
    company's wall clock; they may reach over midnight."""

    within: int
    time: TimeKind = "calendar"
    channels: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()
    hours: Span | None = None

    @property
    def fits_all(self) -> bool:
        return not self.channels and not self.purposes and self.hours is None

    def fits(self, channel: str, purpose: str | None, minute: int) -> bool:
        return (
            (not self.channels or channel in self.channels)
            and (not self.purposes or purpose in self.purposes)
            and (self.hours is None or within_hours(self.hours, minute))
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """The first of the `targets` that fits is taken; where none does, nothing is said of the request."""

    targets: tuple[Target, ...]
    ignored_after: int


class Owed(NamedTuple):
    """What a customer who asked may expect: a reply `within` so much time, which is `due` then; from `ignored_at` on
    none is expected any more."""

    within: int
    time: TimeKind
    due: int
    ignored_at: int


@dataclass(frozen=True, slots=True)
class Cases:
    """How long a customer may see nothing of an open case."""

    silent_after: int
    time: TimeKind = "calendar"


class Usual(NamedTuple):
    """How many finished stays in a stage are known, and their median."""

    known: int
    median: int


@dataclass(frozen=True, slots=True)
class Stages:
    """A stage is stuck after so many `times` what is usual in it, and never before `least`. Usual is the median of its
    finished stays where at least so many are `known`; else what is written here under "order:shipped"; where that is
    not, nothing is said."""

    times: int
    least: int
    known: int
    usual: Mapping[str, int] = field(default_factory=dict)

    def usual_of(self, stage: str, stays: Mapping[str, Usual]) -> int | None:
        found = stays.get(stage)
        return found.median if found is not None and found.known >= self.known else self.usual.get(stage)


# When and how often


@dataclass(frozen=True, slots=True)
class Cap:
    """At most so many that count, of those it is about: within a rolling `window`, or `per` day, week (from Monday) or
    month of the customer's own calendar; one of both is given. `most` 0 is never. A `soft` one does not bind where a
    cadence is due."""

    name: str
    most: int
    window: int | None = None
    per: Per | None = None
    channels: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    soft: bool = False

    def covers(self, channel: str, purpose: str | None, tags: tuple[str, ...]) -> bool:
        return (
            (not self.channels or channel in self.channels)
            and (not self.purposes or purpose in self.purposes)
            and (not self.tags or any(tag in self.tags for tag in tags))
        )


@dataclass(frozen=True, slots=True)
class Cadence:
    """Due when nothing that counts, of what it is about, reached him for so long: then fatigue and soft caps do not
    bind. He is not to be forgotten."""

    name: str
    every: int
    channels: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()

    def covers(self, channel: str, purpose: str | None) -> bool:
        return (not self.channels or channel in self.channels) and (
            not self.purposes or purpose in self.purposes
        )


@dataclass(frozen=True, slots=True)
class Quiet:
    """From one minute of the day to another, by the customer's wall clock; may reach over midnight."""

    start: int
    end: int


Fatigue = Literal["deny"] | tuple[Cap, ...]
_SPARED: tuple[Rule, ...] = RULES[1:]
"""All but do_not_contact."""


@dataclass(frozen=True, slots=True)
class Contacts:
    """Whether he may be spoken to. What a file does not say is as here.

    `consent`     purpose → required: it must be granted; withdrawal, and of others: it must not be withdrawn
    `bypass`      purpose → rules that do not bind it
    `counts`      purpose → whether it takes from caps and frequencies; others do
    `quiet`       the company's; his own hours can only add
    `fatigue`     tier of fatigue → deny, or the caps that hold beside all others
    `frequency`   what he asked for → at most one that counts within so long; None is never
    `languages`   content: what is said must be in a language he understands, where both are known
    """

    hold: int = 15 * MINUTE
    consent: Mapping[str, Literal["required", "withdrawal"]] = field(
        default_factory=lambda: {"offer": "required", "survey": "required", "teach": "required"}
    )
    bypass: Mapping[str, tuple[Rule, ...]] = field(
        default_factory=lambda: {"service": _SPARED, "legal": _SPARED}
    )
    counts: Mapping[str, bool] = field(default_factory=lambda: {"service": False, "legal": False})
    quiet: Quiet | None = None
    fatigue: Mapping[str, Fatigue] = field(default_factory=lambda: {"exhausted": "deny"})
    caps: tuple[Cap, ...] = ()
    frequency: Mapping[str, int | None] = field(
        default_factory=lambda: {"daily": DAY, "weekly": 7 * DAY, "monthly": 30 * DAY, "never": None}
    )
    languages: Literal["content"] | None = "content"
    cadence: tuple[Cadence, ...] = ()

    def spared(self, purpose: str | None) -> tuple[Rule, ...]:
        """The rules that do not bind it."""
        return self.bypass.get(purpose or "", ())

    def bypasses(self, purpose: str | None, rule: Rule) -> bool:
        return rule in self.spared(purpose)

    def needs_consent(self, purpose: str | None) -> bool:
        return self.consent.get(purpose or "") == "required"

    def counted(self, purpose: str | None) -> bool:
        """Whether a message for this purpose takes from caps, where nobody decided when it was sent."""
        return self.counts.get(purpose or "", True)


# All of it


@dataclass(frozen=True, slots=True)
class Policy:
    """One version, in force from `since` (00:00 UTC of its day) until the next. What is None is not judged."""

    version: str
    since: int
    grace: int = 5 * MINUTE
    calendar: Calendar = field(default_factory=Calendar)
    reply: Reply | None = None
    promises: bool = False
    cases: Cases | None = None
    stages: Stages | None = None
    contact: Contacts = field(default_factory=Contacts)

    def owed(self, channel: str, purpose: str | None, asked_at: int) -> Owed | None:
        """What is owed to who asked at that moment; None where no target fits. He is not ignored before the reply is
        due."""
        if self.reply is None:
            return None
        minute = self.calendar.minute_of(asked_at)
        target = next((one for one in self.reply.targets if one.fits(channel, purpose, minute)), None)
        if target is None:
            return None
        due = self.later(asked_at, target.within, target.time)
        return Owed(target.within, target.time, due, max(due, asked_at + self.reply.ignored_after))

    def waited(self, since: int, until: int, time: TimeKind) -> int:
        """How much time of this kind passed."""
        return self.calendar.working(since, until) if time == "working" else until - since

    def later(self, since: int, much: int, time: TimeKind) -> int:
        """When so much time of this kind has passed."""
        return self.calendar.after(since, much) if time == "working" else since + much


@dataclass(frozen=True)
class Policies:
    """The versions of a policy file, in the order in which they come into force; at least one."""

    versions: tuple[Policy, ...]

    @staticmethod
    def standard() -> Policies:
        """Those that ship with us."""
        from touchbook.policy_files import load_policies  # it makes what is declared here

        return load_policies()

    def at(self, moment: int) -> Policy:
        """The one in force then; before the first, the first."""
        after = bisect_right(self.versions, moment, key=lambda policy: policy.since)
        return self.versions[max(after - 1, 0)]

    def named(self, version: str) -> Policy | None:
        return next((policy for policy in self.versions if policy.version == version), None)

    @cached_property
    def fingerprint(self) -> str:
        """Changes when what any version says does."""
        return hashlib.sha256(repr(self.versions).encode()).hexdigest()[:16]


def within_hours(hours: Span, minute: int) -> bool:
    """Whether a minute of the day is in hours that may reach over midnight."""
    start, end = hours
    return start <= minute < end if start <= end else minute >= start or minute < end

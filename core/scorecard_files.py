"""Scorecards read from YAML files, strictly.

A mistake raises `ScorecardInvalid` with the file, the line and what was expected, so that a company can
write its own scores without reading this code.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from touchbook.components import (
    LARGEST,
    ActiveDays,
    Balance,
    Base,
    Component,
    Decayed,
    Evidence,
    First,
    Gap,
    Recency,
    Streak,
)
from touchbook.marked_yaml import Entry, parsed
from touchbook.schemas.signals import is_reserved
from touchbook.scorecard import Linear, Needs, Part, Saturating, Scorecard, ScorecardSet, Shares

GROUPS_FILE = "groups.yaml"


def load_scorecards(
    directory: Path | None = None, known_signals: Collection[str] | None = None
) -> ScorecardSet:
    """The scorecards of a directory (None: those that ship with us): a `<name>.yaml` each, and `groups.yaml`.

    With `known_signals` a signal that is none of them, nor of a family (`interest:tea`), is refused too. Raises
    `ScorecardInvalid`.
    """
    if directory is None:
        return ScorecardSet(_shipped(None if known_signals is None else frozenset(known_signals)))
    return _read(_texts(directory), known_signals)


def read_scorecards(texts: Mapping[str, str], known_signals: Collection[str] | None = None) -> ScorecardSet:
    """The same from file names and their texts; errors call the files by these names."""
    return _read(texts, known_signals)


def _read(
    texts: Mapping[str, str], known_signals: Collection[str] | None, shipped: bool = False
) -> ScorecardSet:
    known = None if known_signals is None else frozenset(known_signals)
    groups = {}
    if GROUPS_FILE in texts:
        groups = _groups(parsed(GROUPS_FILE, texts[GROUPS_FILE], shipped=shipped), known)
    names = sorted(name for name in texts if name != GROUPS_FILE)
    cards = [
        _Reader(name, parsed(name, texts[name], shipped=shipped), groups, known).card() for name in names
    ]
    return ScorecardSet({card.name: card for card in cards})


@lru_cache(maxsize=8)
def _shipped(known_signals: frozenset[str] | None) -> ScorecardSet:
    return _read(_texts(resources.files("touchbook") / "scorecards"), known_signals, shipped=True)


def _texts(folder: Traversable) -> dict[str, str]:
    return {file.name: file.read_text("utf-8") for file in folder.iterdir() if file.name.endswith(".yaml")}


def _groups(file: Entry, known: frozenset[str] | None) -> dict[str, tuple[str, ...]]:
    groups = {}
    for name in file.names():
        entry = file.entry(name, "a group of signals", f"group {name!r}")
        entry.only("why", "signals")
        entry.text("why", "what these signals have in common")
        groups[name] = tuple(entry.words("signals", "the signals of the group"))
        _refuse_unknown(entry, "signals", groups[name], known)
    return groups


def _refuse_unknown(entry: Entry, key: str, signals: Iterable[str], known: frozenset[str] | None) -> None:
    for signal in signals:
        if known is not None and signal not in known and not is_reserved(signal):
            entry.fail_at(signal, key, f"{entry.what}: no touchpoint gives the signal {signal!r}")


_FAR = 10**12
_LIMITS: dict[str, tuple[int, int, str]] = {
    "weight": (-_FAR, _FAR, "milli-points (10000 is 10 points), below 0 to take away"),
    "points": (-_FAR, _FAR, "milli-points that everybody starts with"),
    "half_life": (1, 10_000, "days after which it counts half"),
    "cap": (1, _FAR, "the most that one signal counts on one day"),
    "unit": (1, _FAR, "how much of the total counts as one"),
    "min_age": (0, 10_000, "days before a row begins to count"),
    "window": (1, 10_000, "days looked back"),
    "max_days": (1, 10_000, "the most days that count"),
    "period": (1, 10_000, "days of one period"),
    "max_periods": (1, 10_000, "the most periods that count"),
    "swing": (1, _FAR, "milli-points that it can move to either side"),
    "prior": (1, 10**9, "how much evidence for the middle everybody starts with"),
    "from": (0, 10**6, "permille of the usual gap at which it begins"),
    "full": (1, 10**6, "permille of the usual gap at which the whole weight counts"),
    "last": (1, 10_000, "how many of the latest gaps make the rhythm"),
    "min_gaps": (1, 10_000, "how many gaps it takes to know the rhythm"),
    "default_gap": (1, 10_000, "days taken for the usual gap until the rhythm is known"),
    "floor_gap": (1, 10_000, "days below which no usual gap is taken"),
}
_KINDS: dict[str, tuple[Callable[..., Component], tuple[str, ...]]] = {
    "decayed": (Decayed, ("weight", "half_life", "cap")),
    "balance": (Balance, ("swing", "prior")),
    "base": (Base, ("points",)),
    "first": (First, ("weight", "half_life")),
    "recency": (Recency, ("weight", "half_life")),
    "active_days": (ActiveDays, ("weight", "window", "max_days")),
    "streak": (Streak, ("weight", "period", "max_periods")),
    "gap": (Gap, ("weight", "from", "full", "last", "min_gaps", "default_gap", "floor_gap")),
}
_OPTIONAL = {"decayed": ("of", "unit", "min_age"), "balance": ("evidence",)}
_NO_SIGNALS = ("base", "balance")
_CARD = (
    "version", "title", "description", "value", "tiers",
    "hold_days", "min_evidence", "needs", "limits", "parts",
)  # fmt: skip
_SIGNS = {"good": 1, "neutral": 0, "bad": -1}
_WHY = "the reason it is there, in a sentence"


def _number(entry: Entry, key: str) -> int:
    least, most, meaning = _LIMITS[key]
    number = entry.whole(key, meaning, least, most)
    if key == "weight" and number == 0:
        entry.fail(f"{entry.what}: a `weight` of 0 says nothing; leave the line out", key)
    return number


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one file."""

    where: str
    file: Entry
    groups: Mapping[str, tuple[str, ...]]
    known: frozenset[str] | None

    def card(self) -> Scorecard:
        file = self.file
        file.only(*_CARD)
        name = self.where.removesuffix(".yaml")
        if not name.isidentifier() or not name.islower():
            file.fail(
                f"the file is named after the score: {name!r} must be small letters, digits and underscores"
            )
        parts = self._parts()
        return Scorecard(
            name=name,
            version=file.whole("version", "raised with every change", 1, 10**9),
            title=self._languages("title", "what the score is called"),
            description=self._languages("description", "what it measures, in one sentence"),
            value=self._value([part.name for part in parts]),
            tiers=self._tiers(),
            parts=parts,
            hold_days=file.whole("hold_days", "days a tier is held", 0, 366) if "hold_days" in file else 0,
            min_evidence=self._min_evidence(parts),
            needs=self._needs(),
        )

    def _languages(self, key: str, meaning: str) -> dict[str, str]:
        entry = self.file.entry(key, f"{meaning}, by language (en, ru)")
        entry.only("en", "ru")
        return {language: entry.text(language, f"{meaning}, in this language") for language in ("en", "ru")}

    def _value(self, parts: list[str]) -> Saturating | Linear | Shares:
        meaning = "how points become 0 to 100: saturating, linear or parts"
        entry = self.file.entry("value", meaning)
        entry.only("saturating", "linear", "parts")
        if len(entry.nodes) != 1:
            entry.fail(f"`value` must say one thing: {meaning}")
        if "saturating" in entry:
            return Saturating(entry.whole("saturating", "milli-points that give 50", 1, _FAR))
        if "linear" in entry:
            low, high = entry.wholes("linear", "milli-points that give 0, and those that give 100", 2)
            if not -_FAR <= low < high <= _FAR:
                entry.fail(
                    "`linear` must rise: the points that give 0, then more points that give 100", "linear"
                )
            return Linear(low, high)
        return self._shares(entry, parts)

    def _shares(self, value: Entry, parts: list[str]) -> Shares:
        entry = value.entry("parts", "the share and saturation of each part")
        self._only_parts(entry, parts)
        shares = {}
        for part in parts:
            one = entry.entry(part, "its share and saturation", f"`value` of part {part!r}")
            one.only("share", "saturation")
            share = one.whole("share", "how much of 100 the part can fill", 1, 100)
            shares[part] = (
                share,
                one.whole("saturation", "milli-points that fill half of the share", 1, _FAR),
            )
        if total := sum(share for share, _ in shares.values()) - 100:
            value.fail(f"the shares of the parts must add up to 100, not {total + 100}", "parts")
        return Shares(shares)

    def _only_parts(self, entry: Entry, parts: list[str]) -> None:
        for name in entry.names():
            if name not in parts:
                entry.fail(f"there is no part {name!r}; there are {', '.join(parts)}", name)

    def _tiers(self) -> tuple[tuple[str, int], ...]:
        entry = self.file.entry("tiers", "what values are called: name and least value")
        tiers: list[tuple[str, int]] = []
        for name in entry.names():
            least = entry.whole(name, "the least value of the tier", 0, 100)
            if not tiers and least:
                entry.fail(f"the lowest tier begins at 0, not at {least}", name)
            if tiers and least <= tiers[-1][1]:
                entry.fail(f"tiers must ascend: {name!r} must begin above {tiers[-1][1]}", name)
            tiers.append((name, least))
        return tuple(tiers)

    def _needs(self) -> Needs | None:
        if "needs" not in self.file:
            return None
        entry = self.file.entry("needs", "a signal without which there is no value")
        entry.only("signal", "within")
        signal = entry.text("signal", "the signal")
        _refuse_unknown(entry, "signal", [signal], self.known)
        return Needs(signal, entry.whole("within", "days looked back", 1, 10_000))

    def _min_evidence(self, parts: tuple[Part, ...]) -> int:
        if "min_evidence" not in self.file:
            return 0
        balanced = any(isinstance(component, Balance) for part in parts for component in part.components)
        if not balanced and "needs" not in self.file:
            self.file.fail(
                "`min_evidence` counts the evidence of a balance, or `needs`: it has neither", "min_evidence"
            )
        return self.file.whole("min_evidence", "evidence below which there is no value", 1, 10**9)

    def _parts(self) -> tuple[Part, ...]:
        entry = self.file.entry("parts", "what the points are made of")
        names = entry.names()
        limits = self._limits(names)
        return tuple(
            Part(name, self._components(entry, name), *limits.get(name, (None, None))) for name in names
        )

    def _limits(self, parts: list[str]) -> dict[str, tuple[int | None, int | None]]:
        if "limits" not in self.file:
            return {}
        entry = self.file.entry("limits", "least and most milli-points of a part")
        self._only_parts(entry, parts)
        found = {}
        for part in entry.names():
            one = entry.entry(part, "`min`, `max` or both", f"limits of {part!r}")
            one.only("min", "max")
            least = one.whole("min", "least milli-points", -_FAR, _FAR) if "min" in one else None
            most = one.whole("max", "most milli-points", -_FAR, _FAR) if "max" in one else None
            if least is None and most is None:
                entry.fail(f"limits of {part!r} must state `min`, `max` or both", part)
            if least is not None and most is not None and least > most:
                one.fail(f"limits of {part!r}: `min` must not be above `max`", "max")
            found[part] = (least, most)
        return found

    def _components(self, parts: Entry, part: str) -> tuple[Component, ...]:
        found: dict[str, Component] = {}
        for entry in parts.entries(part, "the components of the part", f"a component of {part!r}"):
            name = entry.name("id", "what explanations call it")
            if name in found or name == "limit":
                entry.fail(f"the id {name!r} is taken in part {part!r}", "id")
            entry.what = f"component {name!r}"
            found[name] = self._component(name, entry)
        return tuple(found.values())

    def _component(self, name: str, entry: Entry) -> Component:
        kind = entry.text("kind", "one of the kinds") if "kind" in entry else "decayed"
        if kind not in _KINDS:
            entry.fail(f"{kind!r} is no kind of component; there are {', '.join(_KINDS)}", "kind")
        make, numbers = _KINDS[kind]
        signals = () if kind in _NO_SIGNALS else ("signal", "signals")
        entry.only("id", "kind", "why", *signals, *numbers, *_OPTIONAL.get(kind, ()))
        told: dict[str, Any] = {"id": name, "why": entry.text("why", _WHY)}
        if signals:
            told["signals"] = self._signals(entry)
        told |= {"from_" if key == "from" else key: _number(entry, key) for key in numbers}
        if kind == "decayed":
            told |= self._of_total(entry)
        if kind == "balance":
            told["evidence"] = self._evidence(entry)
        if kind == "gap" and told["full"] <= told["from_"]:
            entry.fail(f"{entry.what}: `full` must be above `from`", "full")
        if kind == "gap" and told["min_gaps"] > told["last"]:
            entry.fail(
                f"{entry.what}: `min_gaps` can never be reached with `last` {told['last']}", "min_gaps"
            )
        component = make(**told)
        if component.largest() >= LARGEST:
            entry.fail(f"{entry.what} can exceed 64 bits: keep cap · weight · 10^6 below 2^62")
        return component

    def _of_total(self, entry: Entry) -> dict[str, Any]:
        told: dict[str, Any] = {}
        if "of" in entry:
            told["of"] = entry.text("of", "count or total")
            if told["of"] not in ("count", "total"):
                entry.fail(f"{entry.what}: `of` must be count or total", "of")
        if told.get("of") == "total":
            told["unit"] = _number(entry, "unit")
        elif "unit" in entry:
            entry.fail(f"{entry.what}: `unit` divides a total; say `of: total` too", "unit")
        if "min_age" in entry:
            told["min_age"] = _number(entry, "min_age")
        return told

    def _signals(self, entry: Entry) -> tuple[str, ...]:
        if ("signal" in entry) == ("signals" in entry):
            entry.fail(f"{entry.what} needs either `signal` (one) or `signals` (a list, or a group's name)")
        key = "signal" if "signal" in entry else "signals"
        found = (entry.text(key, "one signal"),) if key == "signal" else self._several(entry)
        _refuse_unknown(entry, key, found, self.known)
        return found

    def _several(self, entry: Entry) -> tuple[str, ...]:
        if not entry.is_word("signals"):
            return tuple(entry.words("signals", "signals, or the name of a group"))
        group = entry.text("signals", "the name of a group")
        if group not in self.groups:
            entry.fail(f"{entry.what}: there is no group {group!r} in {GROUPS_FILE}", "signals")
        return self.groups[group]

    def _evidence(self, balance: Entry) -> tuple[Evidence, ...]:
        lines = balance.entries("evidence", "what weighs on either side", f"evidence of {balance.what}")
        return tuple(self._weighing(entry) for entry in lines)

    def _weighing(self, entry: Entry) -> Evidence:
        entry.only("signal", "signals", *_SIGNS, "half_life", "cap", "why")
        sides = [side for side in _SIGNS if side in entry]
        if len(sides) != 1:
            entry.fail(f"{entry.what} must be one of good, bad or neutral")
        return Evidence(
            why=entry.text("why", _WHY),
            signals=self._signals(entry),
            sign=_SIGNS[sides[0]],  # type: ignore[arg-type]
            weight=entry.whole(sides[0], "how much it weighs", 1, 10**9),
            half_life=_number(entry, "half_life"),
            cap=_number(entry, "cap"),
        )

"""Tables of a SQLite file that follow from other rows in it: made again, row by row, wherever those change."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import Any

from touchbook.projections.finding import NAME_TRAITS, words_of
from touchbook.statements import statement_of

Rows = Callable[[str, tuple[str, ...]], Iterable[tuple[Any, ...]]]
"""What executes a statement."""
Name = tuple[str, str]
"""(subject, key of a trait)."""
Thread = tuple[str, str]
"""(subject, thread)."""


def names_in(registers: Iterable[tuple[str, str, str]]) -> set[Name]:
    """Of registers by (subject, kind, key) those that say how somebody is called."""
    return {(subject, key) for subject, kind, key in registers if kind == "trait" and key in NAME_TRAITS}


def search_again(rows: Rows, names: Collection[Name]) -> None:
    """The words of these names, as they stand in the registers now. Most are told again and again and stay."""
    if not names:
        return
    asked = json.dumps(sorted(names))
    wanted, stored = defaultdict[Name, set[str]](set), defaultdict[Name, set[str]](set)
    for subject, key, value in rows(_sql("search_values"), (asked,)):
        wanted[subject, key].update(words_of(json.loads(value)))
    for subject, key, term in rows(_sql("search_terms"), (asked,)):
        stored[subject, key].add(term)
    changed = sorted(name for name in names if wanted[name] != stored[name])
    if old := [name for name in changed if stored[name]]:
        rows(_sql("ends_drop"), (json.dumps(sorted({subject for subject, _ in old})),))
        rows(_sql("search_drop"), (json.dumps(old),))
    for name in changed:
        for term in sorted(wanted[name]):
            rows(_sql("write_term"), (*name, term))
    if changed:
        rows(_sql("ends_again"), (json.dumps(sorted({subject for subject, _ in changed})),))


def unanswered_again(rows: Rows, threads: Collection[Thread]) -> None:
    """Whether, and since when, these threads wait for an answer, by the messages as they stand now."""
    if not threads:
        return
    asked = (json.dumps(sorted(threads)),)
    rows(_sql("unanswered_drop"), asked)
    rows(_sql("unanswered_again"), asked)


def _sql(name: str) -> str:
    return statement_of("touchbook.projections", name)

"""What has become of our promises, from what was said of them, whatever came first."""

from __future__ import annotations

from itertools import permutations
from typing import Any

from touchbook.registers import Promise, Setting, latest, promises

DUE = 1_000


def said(kind: str, value: dict[str, Any], at: int, touchpoint: str | None = None) -> Setting:
    return Setting(kind, "P", value, at, touchpoint or f"{kind}-{at}")


def made(due: int = DUE, at: int = 0) -> list[Setting]:
    promise = said("promise", {"what": "call back", "due": due}, at, f"made-{at}")
    return [promise, said("promise_outcome", {"state": "open"}, at, f"made-{at}")]


def overdue(due: int | None = DUE, at: int = DUE) -> Setting:
    return said("promise_overdue", {"due": due}, at)


def outcome(state: str, at: int) -> Setting:
    return said("promise_outcome", {"state": state}, at)


def state(*settings: Setting, now: int) -> str:
    (answer,) = {promises(latest(those), now)[0].state for those in permutations(settings)}
    return answer


def test_a_promise_is_open_until_its_time_has_passed() -> None:
    assert [state(*made(), now=now) for now in (DUE, DUE + 1)] == ["open", "overdue"]


def test_a_verdict_says_that_its_time_has_passed_whatever_the_time() -> None:
    assert state(*made(), overdue(), now=0) == "overdue"


def test_what_was_kept_is_kept_even_if_that_is_heard_after_a_verdict() -> None:
    for kept_at in (DUE - 1, DUE, DUE + 1):
        assert state(*made(), overdue(), outcome("kept", kept_at), now=2 * DUE) == "kept"
        assert state(*made(), overdue(), outcome("broken", kept_at), now=2 * DUE) == "broken"


def test_a_promise_made_again_is_open_until_its_new_time() -> None:
    again = made(due=5 * DUE, at=2 * DUE)
    assert state(*made(), overdue(), *again, now=3 * DUE) == "open"
    assert state(*made(), overdue(), *again, now=6 * DUE) == "overdue"
    assert state(*made(), overdue(), *again, overdue(5 * DUE, 5 * DUE), now=0) == "overdue"


def test_a_verdict_that_names_no_time_is_about_the_promise_as_it_was_then() -> None:
    assert state(*made(), overdue(None, at=DUE), now=0) == "overdue"
    assert state(*made(), overdue(None, at=DUE), *made(5 * DUE, at=2 * DUE), now=0) == "open"


def test_a_verdict_on_a_promise_that_nobody_told_of_is_all_that_is_known() -> None:
    assert promises([overdue()], now=0) == [Promise("P", None, None, "overdue", f"promise_overdue-{DUE}")]

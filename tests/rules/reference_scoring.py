"""The arithmetic of scores once more: slow, obvious, and sharing nothing with the code it judges.

It reads a scorecard as its published description (what GET /v1/scorecards shows), so a description that left
something out would show here too.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Any

MILLION = 10**6
Ledger = dict[tuple[str, int], tuple[int, int]]
Line = tuple[str, str, str | None, int | None, int]
"""(part, component, signal, day, milli-points)"""


@cache
def decay(age: int, half_life: int) -> int:
    with localcontext() as context:
        context.prec = 60
        exact = Decimal(2) ** (Decimal(-age) / Decimal(half_life)) * MILLION
        return int(exact.to_integral_value(ROUND_HALF_EVEN))


def toward_zero(number: int, divisor: int) -> int:
    return int(Fraction(number, divisor))


def days_of(ledger: Ledger, signals: list[str]) -> list[int]:
    return sorted({day for (signal, day), (count, _) in ledger.items() if signal in signals and count > 0})


def newest_row(ledger: Ledger, signals: list[str], day: int) -> tuple[str, int]:
    return next((s, day) for s in signals if (s, day) in ledger and ledger[s, day][0] > 0)


def reference_lines(
    component: dict[str, Any], ledger: Ledger, on: int
) -> list[tuple[str | None, int | None, int]]:
    """(signal, day, milli-points) of one component; `ledger` holds no row after `on`."""
    kind, signals = component["kind"], component["signals"]
    days = days_of(ledger, signals)
    if kind == "base":
        return [(None, None, component["points"])]
    if kind == "decayed":
        return decayed(component, ledger, on)
    if kind == "balance":
        return balanced(component, ledger, on)
    if not days:
        return []
    weight = component["weight"]
    if kind in ("first", "recency"):
        day = days[0] if kind == "first" else days[-1]
        chosen = [(day, toward_zero(weight * decay(on - day, component["half_life"]), MILLION))]
    elif kind == "active_days":
        recent = [day for day in reversed(days) if on - day < component["window"]]
        chosen = [(day, weight) for day in recent[: component["max_days"]]]
    elif kind == "streak":
        chosen = [(day, weight) for day in streak(days, component["period"], on)[: component["max_periods"]]]
    else:
        chosen = [(days[-1], overdue(component, days, on))]
    return [(*newest_row(ledger, signals, day), points) for day, points in chosen]


def decayed(component: dict[str, Any], ledger: Ledger, on: int) -> list[tuple[str | None, int | None, int]]:
    lines: list[tuple[str | None, int | None, int]] = []
    for (signal, day), (count, total) in ledger.items():
        if signal in component["signals"] and on - day >= component["min_age"]:
            amount = count if component["of"] == "count" else toward_zero(total, component["unit"])
            amount = min(max(amount, -component["cap"]), component["cap"])
            points = amount * component["weight"] * decay(on - day, component["half_life"])
            lines.append((signal, day, toward_zero(points, MILLION)))
    return lines


def weights(component: dict[str, Any], ledger: Ledger, on: int) -> list[tuple[str, int, int, int]]:
    """(signal, day, sign, weight in millionths) of everything that a balance weighs."""
    found = []
    for evidence in component["evidence"]:
        side = next(side for side in ("good", "bad", "neutral") if side in evidence)
        sign = {"good": 1, "bad": -1, "neutral": 0}[side]
        for (signal, day), (count, _) in ledger.items():
            if signal in evidence["signals"]:
                weight = min(count, evidence["cap"]) * evidence[side] * decay(on - day, evidence["half_life"])
                found.append((signal, day, sign, weight))
    return found


def balanced(component: dict[str, Any], ledger: Ledger, on: int) -> list[tuple[str | None, int | None, int]]:
    terms = weights(component, ledger, on)
    whole = sum(weight for *_, weight in terms) + component["prior"] * MILLION
    return [(s, day, toward_zero(sign * w * component["swing"], whole)) for s, day, sign, w in terms]


def streak(days: list[int], period: int, on: int) -> list[int]:
    """The newest day of every period of the unbroken run but the oldest, newest first."""
    run, number = [], 0
    while True:
        inside = [day for day in days if (on - day) // period == number]
        if inside:
            run.append(max(inside))
        elif number > 0:
            return run[:-1]
        number += 1


def overdue(component: dict[str, Any], days: list[int], on: int) -> int:
    gaps = [later - earlier for earlier, later in pairwise(days)][-component["last"] :]
    lower_median = sorted(gaps)[(len(gaps) - 1) // 2] if len(gaps) >= component["min_gaps"] else None
    usual = max(lower_median or component["default_gap"], component["floor_gap"])
    permille = (on - days[-1]) * 1000 // usual
    begin, full = component["from"], component["full"]
    if permille <= begin:
        return 0
    return toward_zero(component["weight"] * (min(permille, full) - begin), full - begin)


def bounded(points: int, saturation: int) -> int:
    return 100 * points // (points + saturation) if points > 0 else 0


def value_of(value: dict[str, Any], parts: dict[str, int]) -> int:
    points = sum(parts.values())
    if value["kind"] == "saturating":
        return bounded(points, value["saturation"])
    if value["kind"] == "linear":
        return min(100, max(0, toward_zero(100 * (points - value["low"]), value["high"] - value["low"])))
    shares = value["parts"].items()
    return sum(part["share"] * bounded(parts[name], part["saturation"]) for name, part in shares) // 100


def evidence_of(card: dict[str, Any], ledger: Ledger, on: int) -> int:
    components = [component for part in card["parts"] for component in part["components"]]
    if card["needs"]:
        return sum(on - day < card["needs"]["within"] for day in days_of(ledger, [card["needs"]["signal"]]))
    balances = [component for component in components if component["kind"] == "balance"]
    if balances:
        return sum(weight for balance in balances for *_, weight in weights(balance, ledger, on)) // MILLION
    read = {signal for component in components for signal in component["signals"]}
    return sum(signal in read and count > 0 for (signal, _), (count, _) in ledger.items())


def day_score(card: dict[str, Any], ledger: Ledger, on: int) -> dict[str, Any]:
    """What the card gives on one day, before any tier is held."""
    ledger = {row: amount for row, amount in ledger.items() if row[1] <= on}
    lines: list[Line] = []
    parts = {}
    for part in card["parts"]:
        found = [
            (part["part"], component["id"], *line)
            for component in part["components"]
            for line in reference_lines(component, ledger, on)
        ]
        raw = sum(points for *_, points in found)
        least, most = part["limits"]["min"], part["limits"]["max"]
        kept = raw if least is None else max(raw, least)
        kept = kept if most is None else min(kept, most)
        if kept != raw:
            found.append((part["part"], "limit", None, None, kept - raw))
        parts[part["part"]] = kept
        lines += found
    evidence = evidence_of(card, ledger, on)
    enough = evidence >= (card["min_evidence"] or bool(card["needs"]))
    value = value_of(card["value"], parts) if enough else None
    rank = None if value is None else max(i for i, tier in enumerate(card["tiers"]) if tier["at"] <= value)
    return {"value": value, "rank": rank, "parts": parts, "evidence": evidence, "lines": lines}


def reference_score(card: dict[str, Any], ledger: Ledger, on: int) -> tuple[dict[str, Any], list[Line]]:
    """The score as JSON, and all its lines, those that give nothing included."""
    today = day_score(card, ledger, on)
    tier = above = None
    if today["rank"] is not None:
        held = [day_score(card, ledger, on - back)["rank"] for back in range(card["hold_days"] + 1)]
        best = max(rank for rank in held if rank is not None)
        tier = card["tiers"][best]["tier"]
        if best + 1 < len(card["tiers"]):
            above = card["tiers"][best + 1]
            above = {**above, "needs": above["at"] - today["value"]}
    score = {
        "scorecard_version": card["version"],
        "milli_points": sum(today["parts"].values()),
        "value": today["value"],
        "tier": tier,
        "next_tier": above,
        "evidence": today["evidence"],
        "parts": today["parts"],
    }
    return score, today["lines"]

"""What a ledger says of a customer's habits: his buying, his interests, his channels. Pure functions, no scores."""

from __future__ import annotations

from typing import Any

from touchbook.components import MILLION, decay_table, quotient
from touchbook.ledger import Day, Ledger
from touchbook.schemas.details import INTEREST, REFUND, SPEND, VIA
from touchbook.schemas.times import day_text
from touchbook.schemas.touchpoint import NO_CHANNEL

PURCHASE = "purchase"
INTEREST_HALF_LIFE = 60
"""Days after which an interest counts half: a season of shopping."""
CHANNEL_HALF_LIFE = 90
"""Days after which a visit by a channel counts half."""


def buying(ledger: Ledger, on: Day) -> dict[str, Any]:
    """Recency, frequency and age as the literature on repeat buying counts them (Fader and Hardie's RFM summary):
    purchases of one day are one purchase day, `recency_days` runs from the first purchase day to the last,
    `age_days` from the first to `on`. Money in minor units by currency, refunds apart. Nulls before any purchase."""
    days = {
        day: count
        for (signal, day), (count, _) in ledger.items()
        if signal == PURCHASE and day <= on and count > 0
    }
    first, last = (min(days), max(days)) if days else (None, None)
    return {
        "first_day": None if first is None else day_text(first),
        "last_day": None if last is None else day_text(last),
        "purchase_days": len(days),
        "repeat_days": max(len(days) - 1, 0),
        "recency_days": None if first is None or last is None else last - first,
        "age_days": None if first is None else on - first,
        "purchases": sum(days.values()),
        "revenue": _totals(ledger, SPEND, on),
        "refunds": _totals(ledger, REFUND, on),
    }


def interests(ledger: Ledger, on: Day) -> dict[str, Any]:
    """Categories by interest and channels by use, strongest first, in decayed milli-points; what he waved away counts
    against. `preferred_channel` is the one he comes by most, None if he never came."""
    categories = _decayed(ledger, INTEREST, on, INTEREST_HALF_LIFE, of_total=True)
    used = _decayed(ledger, VIA, on, CHANNEL_HALF_LIFE, of_total=False)
    channels = [row for row in used if row[0] != NO_CHANNEL]
    return {
        "categories": [
            {"category": name, "milli_points": points, "count": n} for name, points, n in categories
        ],
        "channels": [{"channel": name, "milli_points": points, "count": n} for name, points, n in channels],
        "preferred_channel": channels[0][0] if channels else None,
    }


def _totals(ledger: Ledger, prefix: str, on: Day) -> dict[str, int]:
    totals: dict[str, int] = {}
    for (signal, day), (_, total) in ledger.items():
        if signal.startswith(prefix) and day <= on:
            name = signal.removeprefix(prefix)
            totals[name] = totals.get(name, 0) + total
    return dict(sorted(totals.items()))


def _decayed(
    ledger: Ledger, prefix: str, on: Day, half_life: int, *, of_total: bool
) -> list[tuple[str, int, int]]:
    """(name, milli-points, count), the most points first, then by name."""
    decay = decay_table(half_life)
    points: dict[str, tuple[int, int]] = {}
    for (signal, day), (count, total) in ledger.items():
        age = on - day
        if age < 0 or not signal.startswith(prefix):
            continue
        amount = (total if of_total else count) * 1000
        gained = quotient(amount * decay[age], MILLION) if age < len(decay) else 0
        name = signal.removeprefix(prefix)
        so_far, counted = points.get(name, (0, 0))
        points[name] = (so_far + gained, counted + count)
    rows = [(name, gained, counted) for name, (gained, counted) in points.items()]
    return sorted(rows, key=lambda row: (-row[1], row[0]))

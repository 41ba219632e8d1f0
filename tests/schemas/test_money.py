"""Money in minor units, exactly or not at all."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from touchbook.schemas.money import MAX_AMOUNT, AmountTooLarge, MoneyFields, exponent_of, minor_units

amounts = st.integers(-MAX_AMOUNT, MAX_AMOUNT)
currencies = st.sampled_from(["EUR", "RUB", "JPY", "KWD", "CLF"])


def money(**fields: Any) -> MoneyFields:
    return MoneyFields.model_validate(fields)


@given(amounts, currencies)
def test_a_decimal_written_from_minor_units_reads_back_as_them(amount: int, currency: str) -> None:
    decimal = Decimal(amount).scaleb(-(exponent_of(currency) or 0))
    assert minor_units(decimal, currency) == amount
    assert minor_units(f"{decimal:f}", currency) == amount


@given(st.integers(-(10**9), 10**9))
def test_a_float_counts_as_the_decimal_it_is_written_as(cents: int) -> None:
    assert minor_units(cents / 100, "EUR") == cents


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        ("12.345", "EUR"),
        (0.1 + 0.2, "EUR"),
        ("12.5", "JPY"),
        ("1.0000000000000000000000000000000000000000001", "EUR"),
        ("twelve", "EUR"),
        ("", "EUR"),
        ("NaN", "EUR"),
        (float("inf"), "EUR"),
        ("1", "XAU"),
        ("1", "GOLD"),
    ],
)
def test_what_is_no_exact_amount_of_a_currency_is_refused(amount: Any, currency: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        minor_units(amount, currency)


@pytest.mark.parametrize("amount", ["10000000000.01", "1e13", 1e300, "1e90"])
def test_more_than_a_million_million_minor_units_are_too_large(amount: Any) -> None:
    with pytest.raises(AmountTooLarge):
        minor_units(amount, "EUR")


def test_an_exponent_beyond_reason_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="expected"):
        minor_units("1e999999999999", "EUR")


@given(amounts, currencies)
def test_a_total_says_the_same_as_an_amount(amount: int, currency: str) -> None:
    total = str(Decimal(amount).scaleb(-(exponent_of(currency) or 0)))
    assert money(total=total, currency=currency).money() == (currency, amount)
    assert money(amount=amount, currency=currency).money() == (currency, amount)


def test_currencies_are_tidied() -> None:
    assert money(amount=5, currency=" eur ").money() == ("EUR", 5)


def test_the_amount_wins_over_the_total() -> None:
    assert money(amount=5, total="9.99", currency="EUR").money() == ("EUR", 5)


@pytest.mark.parametrize(
    ("fields", "mark"),
    [
        ({"amount": 5}, "money_without_currency"),
        ({"total": 5, "currency": " "}, "money_without_currency"),
        ({"amount": 5, "currency": "GOLD"}, "money_currency_unknown"),
        ({"amount": 5, "currency": "XAU"}, "money_currency_unknown"),
        ({"total": "5.001", "currency": "EUR"}, "money_unreadable"),
        ({"total": "five", "currency": "EUR"}, "money_unreadable"),
    ],
)
def test_what_cannot_be_counted_is_kept_and_marked(fields: dict[str, Any], mark: str) -> None:
    kept = money(**fields)
    assert kept.money() is None
    assert list(kept.marks()) == [mark]


def test_no_money_is_no_reason_for_a_mark() -> None:
    for nothing in ({}, {"currency": "EUR"}, {"currency": None, "amount": None, "total": None}):
        assert list(money(**nothing).marks()) == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"amount": MAX_AMOUNT + 1, "currency": "EUR"}, "amount"),
        ({"amount": -MAX_AMOUNT - 1}, "amount"),
        ({"total": "10000000000.01", "currency": "EUR"}, "total"),
        ({"amount": 12.5, "currency": "EUR"}, "amount"),
    ],
)
def test_an_amount_out_of_bounds_is_refused_by_its_name(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        money(**fields)
    assert [error["loc"] for error in refused.value.errors()] == [(field,)]

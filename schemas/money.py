"""Money: integers in minor units (cents, kopecks) with an ISO 4217 currency, and nothing in between.

How many decimals a currency has comes from ISO 4217's own table (package `iso4217`). What cannot be read as
money is kept on the touchpoint, gives no money signal and is marked, so that a careless source loses no
history.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Annotated, Any

from iso4217 import Currency
from pydantic import BaseModel, BeforeValidator, Field, StringConstraints, ValidationInfo, field_validator
from pydantic.json_schema import SkipJsonSchema

from touchbook.schemas.numbers import NotBoolean

MAX_AMOUNT = 10**12
"""The largest total of a signal, in minor units, that the doors accept: it bounds what a scorecard can make of it."""

_EXPONENTS: Mapping[str, int] = {
    currency.code: currency.exponent for currency in Currency if currency.exponent is not None
}
_EXACT = Context(prec=80, traps=[Inexact, InvalidOperation, Overflow])


class AmountTooLarge(ValueError):
    """More than 10^12 minor units."""

    def __init__(self) -> None:
        super().__init__("expected at most 10^12 minor units")


def exponent_of(currency: str) -> int | None:
    """How many decimals the currency has; None if it is unknown or has none defined (gold, test codes)."""
    return _EXPONENTS.get(currency)


def minor_units(amount: int | float | str | Decimal, currency: str) -> int:
    """A decimal amount in minor units: `minor_units("12.50", "EUR")` is 1250, exactly or not at all.

    A float counts as the shortest decimal that reads back as it. Raises ValueError for an unknown currency,
    for what is no finite number, for more decimals than the currency has, and `AmountTooLarge` beyond 10^12
    minor units.
    """
    exponent = exponent_of(currency)
    if exponent is None:
        raise ValueError("expected an ISO 4217 currency with minor units")
    scaled = _scaled(amount, exponent)
    if abs(scaled) > MAX_AMOUNT:
        raise AmountTooLarge
    if scaled != scaled.to_integral_value():
        raise ValueError(f"expected at most {exponent} decimals")
    return int(scaled)


def _scaled(amount: int | float | str | Decimal, exponent: int) -> Decimal:
    try:
        scaled = _EXACT.scaleb(_EXACT.create_decimal(str(amount)), exponent)
    except (ArithmeticError, ValueError):
        raise ValueError("expected a decimal number") from None
    if not scaled.is_finite():
        raise ValueError("expected a finite number")
    return scaled


def _code(value: Any) -> Any:
    return (value.strip().upper() or None) if isinstance(value, str) else value


def _number_or_text(value: Any) -> Any:
    if isinstance(value, list | dict):
        raise ValueError("input should be a number or text")
    return value


_Currency = Annotated[str, StringConstraints(max_length=100)]
_Total = Annotated[SkipJsonSchema[bool] | int | float | str, Field(union_mode="smart")]
"""A truth value is taken as it is, so that it is no number: `true` would else be read as 1."""


class MoneyFields(BaseModel):
    """The fields of a touchpoint that speaks of money; mixed into its details.

    A source says either `amount` (minor units) or `total` (a decimal number or text); from a readable `total`
    the amount is made. An amount beyond 10^12 minor units is the only thing refused.
    """

    currency: Annotated[_Currency | None, BeforeValidator(_code)] = Field(
        None, description="ISO 4217 code, e.g. EUR."
    )
    total: Annotated[_Total | None, BeforeValidator(_number_or_text)] = Field(
        None, description="The amount as a decimal, e.g. 12.50, where the source has no minor units."
    )
    amount: Annotated[int, Field(ge=-MAX_AMOUNT, le=MAX_AMOUNT), NotBoolean] | None = Field(
        None,
        description="The amount in minor units of the currency, e.g. 1250 for 12.50 EUR.",
        validate_default=True,
    )

    @field_validator("total")
    @classmethod
    def _not_too_large(cls, total: _Total | None, info: ValidationInfo) -> _Total | None:
        _read(total, info.data.get("currency"))
        return total

    @field_validator("amount")
    @classmethod
    def _made_of_total(cls, amount: int | None, info: ValidationInfo) -> int | None:
        if amount is not None:
            return amount
        return _read(info.data.get("total"), info.data.get("currency"))

    def money(self) -> tuple[str, int] | None:
        """(currency, minor units), or None when there is nothing that can be counted."""
        if self.amount is None or self.currency is None or exponent_of(self.currency) is None:
            return None
        return self.currency, self.amount

    def marks(self) -> Iterable[str]:
        if self.amount is None and self.total is None:
            return ()
        if self.currency is None:
            return ("money_without_currency",)
        if exponent_of(self.currency) is None:
            return ("money_currency_unknown",)
        return ("money_unreadable",) if self.amount is None else ()


def _read(total: int | float | str | None, currency: str | None) -> int | None:
    """The total in minor units, None if it cannot be read as money. Raises `AmountTooLarge`."""
    if total is None or currency is None:
        return None
    try:
        return minor_units(total, currency)
    except AmountTooLarge:
        raise
    except ValueError:
        return None

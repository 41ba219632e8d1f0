"""From the data of a sender to the fields of ours: where each stands in theirs, and how it is converted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple

from touchbook.schemas.money import minor_units

MAX_EACH = 50
"""At most so many texts are taken from a list of products."""


class Taken(NamedTuple):
    """A value for one of our fields, and the path it was found at."""

    name: str
    value: Any
    path: str


@dataclass(frozen=True, slots=True)
class FirstOf:
    """The first of several paths that is present, else the default."""

    paths: tuple[str, ...]
    text: bool = False
    """Whether our field is a text: numbers (many shops number their orders) are then worded as text."""
    default: Any = None
    must_fit = True

    def take(self, name: str, data: dict[str, Any]) -> Iterator[Taken]:
        for path in self.paths:
            value = found(data, path)
            if value is not None and value != "":
                yield Taken(name, _worded(value) if self.text else value, path)
                return
        if self.default is not None:
            yield Taken(name, self.default, "")


@dataclass(frozen=True, slots=True)
class Const:
    """Always the same."""

    value: Any
    paths: tuple[str, ...] = ()
    must_fit = True

    def take(self, name: str, data: dict[str, Any]) -> Iterator[Taken]:
        yield Taken(name, self.value, "")


@dataclass(frozen=True, slots=True)
class Whole:
    """A number rounded to a whole one."""

    paths: tuple[str, ...]
    must_fit = True

    def take(self, name: str, data: dict[str, Any]) -> Iterator[Taken]:
        for taken in FirstOf(self.paths).take(name, data):
            yield taken._replace(value=_rounded(taken.value))


@dataclass(frozen=True, slots=True)
class Minor:
    """Decimal money in minor units; what cannot be converted is passed on as `total`."""

    paths: tuple[str, ...]
    currency: FirstOf
    must_fit = True

    def take(self, name: str, data: dict[str, Any]) -> Iterator[Taken]:
        for amount in FirstOf(self.paths).take(name, data):
            code = next(self.currency.take("currency", data), None)
            minor = _minor_units(amount.value, code.value if code else None)
            yield amount._replace(name="total") if minor is None else amount._replace(value=minor)


@dataclass(frozen=True, slots=True)
class EachText:
    """One text of each object in a list, without repeats; left out if our field cannot take them."""

    paths: tuple[str, ...]
    wanted: FirstOf
    must_fit = False

    def take(self, name: str, data: dict[str, Any]) -> Iterator[Taken]:
        for listed in FirstOf(self.paths).take(name, data):
            values = [
                taken.value for item in _objects(listed.value) for taken in self.wanted.take(name, item)
            ]
            if texts := list(dict.fromkeys(value for value in values if isinstance(value, str))):
                yield listed._replace(value=texts[:MAX_EACH])


@dataclass(frozen=True, slots=True)
class EachObject:
    """Each object in a list as one of ours; all of them are left out if our field cannot take them."""

    paths: tuple[str, ...]
    wanted: tuple[tuple[str, FirstOf], ...]
    must_fit = False

    def take(self, name: str, data: dict[str, Any]) -> Iterator[Taken]:
        for listed in FirstOf(self.paths).take(name, data):
            if items := _objects(listed.value):
                yield listed._replace(value=[self._ours(item) for item in items])

    def _ours(self, item: dict[str, Any]) -> dict[str, Any]:
        return {taken.name: taken.value for name, source in self.wanted for taken in source.take(name, item)}


Source = FirstOf | Const | Whole | Minor | EachText | EachObject


@dataclass(frozen=True, slots=True)
class Translated:
    """A source's data in our words; `promised` gives the sender's path of each field that must fit."""

    data: dict[str, Any]
    promised: dict[str, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """What one source type means. Without `fields` the data is taken as it is."""

    source: str
    type: str | None = None
    version: int = 1
    fields: dict[str, Source] = field(default_factory=dict)
    signals: tuple[str, ...] = ()

    def translated(self, data: dict[str, Any]) -> Translated:
        """The data in the fields of our type, the source's other fields beside them."""
        promised = {name: (*source.paths, "")[0] for name, source in self.fields.items() if source.must_fit}
        ours = {name.partition(".")[0] for name in self.fields}
        taken = [one for name, source in self.fields.items() for one in source.take(name, data)]
        renamed = {one.path for one in taken if isinstance(self.fields.get(one.name), FirstOf | Whole)}
        out = {name: value for name, value in data.items() if name not in renamed and name not in ours}
        for one in taken:
            if one.name not in self.fields or self.fields[one.name].must_fit:
                promised[one.name] = one.path
            _put(out, one.name, one.value)
        return Translated(out, promised)


def found(data: Any, path: str) -> Any:
    """The value at a dotted path, None where there is none. Numbers step into lists: `items.0.category`."""
    for step in path.split("."):
        if isinstance(data, dict):
            data = data.get(step)
        elif isinstance(data, list) and step.isdecimal() and int(step) < len(data):
            data = data[int(step)]
        else:
            return None
    return data


def _put(data: dict[str, Any], path: str, value: Any) -> None:
    """Sets the value at a dotted path, in copies of the objects on the way (they may be a mapping's own)."""
    *owners, last = path.split(".")
    for owner in owners:
        within = data.get(owner)
        data[owner] = dict(within) if isinstance(within, dict) else {}
        data = data[owner]
    data[last] = value


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _worded(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _rounded(value: Any) -> Any:
    """A number to the nearest whole one; anything else as it is, for the type to refuse."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return value
    try:
        return int(Decimal(str(value)).quantize(Decimal(1), ROUND_HALF_UP))
    except (ArithmeticError, ValueError):
        return value


def _minor_units(amount: Any, currency: Any) -> int | None:
    if not isinstance(currency, str):
        return None
    try:
        return minor_units(amount, currency.strip().upper())
    except ValueError:
        return None

"""The catalogue: what a touchpoint's type and data mean.

A type of ours is validated; one that a mapping names is translated into ours or given signals; any other is
welcome and kept as a plain card that counts under its own name only, until someone maps it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from collections.abc import Mapping as ReadOnly
from dataclasses import asdict
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from touchbook.errors import Rejected
from touchbook.schemas.details import Details, Signal
from touchbook.schemas.display import Display, Wording
from touchbook.schemas.mapping import MAX_NAME, Mapping
from touchbook.schemas.signals import DERIVED_SIGNALS, is_reserved
from touchbook.schemas.touchpoints import TYPES
from touchbook.schemas.translating import Entry
from touchbook.schemas.upcasting import upcast

Model = TypeVar("Model", bound=Details)

CATALOGUE: ReadOnly[str, type[Details]] = TYPES
"""Every type, by its stored name."""


class Plain(Details):
    """An event of a type nobody has described. Common fields that do not fit are left out: it never fails."""

    type = ""
    family = "other"
    display = Display(
        icon="circle",
        en=Wording("Recorded: {source_type}"),
        ru=Wording("Записано событие «{source_type}»"),
    )

    source_type: str = ""
    """The source's own word for it."""

    @classmethod
    def of(cls, source_type: str, data: dict[str, Any]) -> Plain:
        return fitting(cls, {**data, "source_type": source_type}, promised=("source_type",))


class Reading(NamedTuple):
    """What a touchpoint was read as.

    `type`           ours, after mapping; the source's own word where nobody has mapped it
    `family`         ours, or "other"
    `own_signal`     the type's name, which every touchpoint gives; None for an unknown type whose name would
                     pass for a signal of another meaning
    `extra_signals`  what a mapping adds
    """

    type: str
    family: str
    details: Details
    own_signal: str | None
    extra_signals: tuple[Signal, ...] = ()


class Catalogue:
    """The types, and a mapping of the events of others (Segment's e-commerce and live chat by default)."""

    def __init__(self, mapping: Mapping | None = None) -> None:
        self.mapping = Mapping.load() if mapping is None else mapping
        self._not_own = DERIVED_SIGNALS | self.mapping.signals()
        self.signals = self._not_own | CATALOGUE.keys()
        """Every signal that a type or the mapping gives; a family of signals stands as its prefix."""
        self.fingerprint = _fingerprint(self.mapping)

    def gives(self, signal: str) -> bool:
        """Whether a touchpoint of some type, or of some category, channel or currency, gives this signal."""
        return not signal.endswith(":") and (signal in self.signals or is_reserved(signal))

    def read(self, type: str, version: int, data: dict[str, Any]) -> Reading:
        """The meaning of data of a type in a version. Nothing given is changed.

        Raises `Rejected` with the path of the offending field inside `data`, in the sender's words.
        """
        if model := CATALOGUE.get(type):
            return _read_ours(model, version, data)
        entry = self.mapping.find(type)
        if entry and entry.type:
            return _read_mapped(CATALOGUE[entry.type], entry, data)
        return self._read_unknown(type, entry, data)

    def read_lenient(self, type: str, version: int, data: dict[str, Any]) -> Reading:
        """The same, but data that does not fit gives a plain card under the type's name.

        For folding: what stands in the journal was valid when it was accepted.
        """
        try:
            return self.read(type, version, data)
        except Rejected:
            entry = self.mapping.find(type)
            ours = entry.type if entry and entry.type else type
            return Reading(ours, CATALOGUE[ours].family, Plain.of(type, data), own_signal=ours)

    def _read_unknown(self, type: str, entry: Entry | None, data: dict[str, Any]) -> Reading:
        free = bool(type) and len(type) <= MAX_NAME and type not in self._not_own and not is_reserved(type)
        extra = tuple(Signal(name) for name in entry.signals) if entry else ()
        return Reading(type, Plain.family, Plain.of(type, data), type if free else None, extra)


def fitting(model: type[Model], data: dict[str, Any], promised: Collection[str]) -> Model:
    """The details from data in which only the `promised` fields must fit; others that do not are left out.

    Raises pydantic's ValidationError for promised and missing fields.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        wrong = {str(each["loc"][0]) for each in error.errors(include_url=False) if each["loc"]}
        strays = (wrong & data.keys()) - set(promised)
        if not strays:
            raise
        return model.model_validate({name: value for name, value in data.items() if name not in strays})


def _read_ours(model: type[Details], version: int, data: dict[str, Any]) -> Reading:
    type = model.type
    if version != model.version:
        _refuse_unknown_version(model, version)
        data = upcast(type, version, data)
    try:
        details = model.__pydantic_validator__.validate_python(data)
    except ValidationError as error:
        raise _rejected(error, {}) from None
    return tuple.__new__(Reading, (type, model.family, details, type, ()))


def _read_mapped(model: type[Details], entry: Entry, data: dict[str, Any]) -> Reading:
    translated = entry.translated(data)
    ours = upcast(model.type, entry.version, translated.data)
    try:
        details = fitting(
            model, ours, [name.partition(".")[0] for name in translated.promised] if entry.fields else ours
        )
    except ValidationError as error:
        raise _rejected(error, translated.promised) from None
    return Reading(model.type, model.family, details, model.type)


def _refuse_unknown_version(model: type[Details], version: int) -> None:
    if not 1 <= version <= model.version:
        raise Rejected(
            "version_unknown", f"{model.type} has the versions 1 to {model.version}, not {version}", ""
        )


_IN_JSON = {"tuple_type": "input should be a list", "model_type": "input should be an object"}
"""What pydantic words for who writes Python."""


def _rejected(error: ValidationError, paths: dict[str, str]) -> Rejected:
    """The first thing wrong, at the sender's path. Pydantic's words say what was expected, no value."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    first = problems[0]
    where = _sender_path([str(step) for step in first["loc"]], paths)
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    said = _IN_JSON.get(first["type"]) or first["msg"].removeprefix("Value error, ")
    return Rejected("field_invalid", f"{said[:1].lower()}{said[1:]}{more}", where)


def _sender_path(steps: list[str], paths: ReadOnly[str, str]) -> str:
    """The sender's path for ours: the longest beginning that was mapped, and what comes after it."""
    for length in range(len(steps), 0, -1):
        if (ours := ".".join(steps[:length])) in paths:
            return ".".join(step for step in (paths[ours], *steps[length:]) if step)
    return ".".join(steps)


def _fingerprint(mapping: Mapping) -> str:
    types = {name: [model.version, sorted(model.gives)] for name, model in CATALOGUE.items()}
    entries: list[Any] = [
        {**asdict(entry), "kinds": {name: type(source).__name__ for name, source in entry.fields.items()}}
        for entry in mapping.entries
    ]
    text = json.dumps([types, entries], sort_keys=True, default=str, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()

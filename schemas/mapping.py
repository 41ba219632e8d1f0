"""A mapping file says what the events of others mean: source type → our type with its fields, or → signals.

    Order Completed:                        # Segment's event name, or any CloudEvents type
      type: order_placed
      fields:                               # ours: where it stands in theirs, a dotted path
        order_id: order_id
        location: [store, affiliation, {const: web}]            # the first one present: not null, not empty
        actor.kind: {const: customer}                           # always the same
        amount: {minor: [total, revenue], currency: currency}   # decimal money → minor units by ISO 4217
        category: {each: products, take: category}              # one text of each item, without repeats
        items: {each: products, fields: {product_id: [product_id, sku], name: name}}
    Live Chat Conversation Ended:
      type: chat_ended
      fields: {seconds: {whole: conversation_duration}}         # rounded, halves up
    Coupon Entered: {signals: [coupon_entered], new: true}
    cinema.webinar.seen: {type: webinar_attended}               # the sender already uses our fields
    Product Clicked: null                   # no meaning: a plain card; unmaps an entry of an earlier file

Names match exactly after trimming and casefolding ("order completed" is "Order Completed").

Mapped fields must fit (numbers become text where ours is a text), items of a list may. Source fields that
are not mapped are kept beside ours; one that happens to bear a name of ours counts if it fits and is left out
if it does not, since its sender never promised our fields. Without `fields:` the data is ours and must fit.

Money that cannot be converted (no currency, too many decimals) is left out: the touchpoint is kept, `total`
holds the money as sent, and the details mark it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import AwareDatetime, BaseModel

from touchbook.errors import MappingInvalid
from touchbook.schemas import shipped_yaml
from touchbook.schemas.details import Details
from touchbook.schemas.signals import DERIVED_SIGNALS, is_reserved
from touchbook.schemas.touchpoints import TYPES
from touchbook.schemas.translating import (
    Const,
    EachObject,
    EachText,
    Entry,
    FirstOf,
    Minor,
    Source,
    Whole,
)

BUILT_IN = Path(__file__).parent / "mappings" / "segment.yaml"
MAX_NAME = 100


class Mapping:
    """The entries of the built-in file and of those given after it; a later file overrides an earlier one."""

    def __init__(self, entries: Sequence[Entry] = ()) -> None:
        self._entries = {folded(entry.source): entry for entry in entries}

    @classmethod
    def load(cls, *paths: Path, built_in: bool = True) -> Mapping:
        """Raises `MappingInvalid` naming the file, the entry and what was expected."""
        entries: dict[str, Entry | None] = {}
        for path in (*((BUILT_IN,) if built_in else ()), *paths):
            entries.update(_built_in() if path is BUILT_IN else _read(path))
        return cls([entry for entry in entries.values() if entry is not None])

    def find(self, source: str) -> Entry | None:
        return self._entries.get(folded(source))

    @property
    def entries(self) -> list[Entry]:
        """In the order of their names."""
        return sorted(self._entries.values(), key=lambda entry: folded(entry.source))

    def signals(self) -> frozenset[str]:
        """Every signal an entry gives."""
        return frozenset(signal for entry in self._entries.values() for signal in entry.signals)


def folded(source: str) -> str:
    """A source type as it is compared."""
    return source.strip().casefold()


@cache
def _built_in() -> dict[str, Entry | None]:
    return _read(BUILT_IN)


def _read(path: Path) -> dict[str, Entry | None]:
    """A file's entries by folded name; None for those it unmaps."""
    text = path.read_text(encoding="utf-8")
    try:
        loader = (shipped_yaml.LOADER if path is BUILT_IN else yaml.SafeLoader)(text)
        tree = loader.get_single_node()
        document = tree and loader.construct_document(tree)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise MappingInvalid(
            f"{path.name}, line {mark.line + 1}" if mark else path.name, "expected valid YAML"
        ) from None
    if document is None:
        return {}
    if not isinstance(document, dict) or not isinstance(tree, yaml.MappingNode):
        raise MappingInvalid(path.name, "expected entries, each a source type and what it means")
    _refuse_repeats(path.name, tree)
    return {folded(str(source)): _entry(path.name, source, said) for source, said in document.items()}


def _refuse_repeats(file: str, tree: yaml.MappingNode) -> None:
    """YAML lets the last of two equal keys win silently, and names are compared casefolded."""
    seen: dict[str, int] = {}
    for key, _ in tree.value:
        name, line = folded(str(key.value)), key.start_mark.line + 1
        if name in seen:
            raise MappingInvalid(
                f"{file}, entry {key.value!r}", f"is already in line {seen[name]}; line {line} repeats it"
            )
        seen[name] = line


def _entry(file: str, source: Any, said: Any) -> Entry | None:
    where = f"{file}, entry {str(source)!r}"
    if not isinstance(source, str) or not source.strip():
        raise MappingInvalid(where, "expected the name of an event in quotes")
    if source.strip() in TYPES:
        raise MappingInvalid(where, "is a type of ours already and needs no mapping")
    if said is None:
        return None
    if (
        not isinstance(said, dict)
        or not said
        or said.keys() - {"type", "version", "fields", "signals", "new"}
    ):
        raise MappingInvalid(where, "expected `type` with `fields` and `version`, or `signals` with `new`")
    if ("type" in said) == ("signals" in said):
        raise MappingInvalid(where, "expected either `type` or `signals`")
    if "type" in said:
        return _type_entry(where, source, said)
    return _signals_entry(where, source, said)


def _signals_entry(where: str, source: str, said: dict[str, Any]) -> Entry:
    if said.keys() & {"fields", "version"}:
        raise MappingInvalid(where, "`fields` and `version` belong to a `type`; `signals` have none")
    names = said["signals"]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise MappingInvalid(where, "signals: expected a list of names")
    if not isinstance(said.get("new", False), bool):
        raise MappingInvalid(where, "new: expected true or false")
    for name in names:
        if is_reserved(name) or len(name) > MAX_NAME:
            raise MappingInvalid(where, f"signals: {name!r} is reserved or longer than {MAX_NAME} characters")
        if name not in DERIVED_SIGNALS and name not in TYPES and not said.get("new"):
            raise MappingInvalid(where, f"signals: {name!r} is not known; correct it, or state `new: true`")
    return Entry(source, signals=tuple(dict.fromkeys(names)))


def _type_entry(where: str, source: str, said: dict[str, Any]) -> Entry:
    if "new" in said:
        raise MappingInvalid(where, "`new` belongs to `signals`")
    model = TYPES.get(said["type"]) if isinstance(said["type"], str) else None
    if model is None:
        raise MappingInvalid(where, f"type: expected a type of ours, not {said['type']!r}")
    version = said.get("version", model.version)
    if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version <= model.version:
        raise MappingInvalid(where, f"version: expected 1 to {model.version}")
    fields = said.get("fields") or {}
    if not isinstance(fields, dict):
        raise MappingInvalid(where, "fields: expected ours: theirs")
    if version == model.version:
        _refuse_unknown_fields(where, model, fields)
    texts = text_fields(model)
    sources = {name: _source(f"{where}, fields.{name}", name, spec, texts) for name, spec in fields.items()}
    return Entry(source, type=model.type, version=version, fields=sources)


def _refuse_unknown_fields(where: str, model: type[Details], fields: dict[str, Any]) -> None:
    known = {described.alias or name: described for name, described in model.model_fields.items()}
    named = {str(name).partition(".")[0] for name in fields}
    if unknown := sorted(named - known.keys()):
        raise MappingInvalid(where, f"fields: {unknown[0]!r} is no field of {model.type}")
    needed = {name for name, described in known.items() if described.is_required()}
    if fields and (missing := sorted(needed - named)):
        raise MappingInvalid(where, f"fields: {model.type} needs {missing[0]!r} too")


def _source(where: str, name: str, spec: Any, texts: frozenset[str]) -> Source:
    if isinstance(spec, str | list):
        return _first_of(where, spec, name in texts)
    keys = spec.keys() if isinstance(spec, dict) else set()
    if keys == {"const"}:
        return Const(spec["const"])
    if keys == {"whole"}:
        return Whole(_paths(where, spec["whole"]))
    if keys == {"minor", "currency"}:
        return Minor(_paths(where, spec["minor"]), _first_of(where, spec["currency"], text=True))
    if keys == {"each", "take"}:
        return EachText(_paths(where, spec["each"]), _first_of(where, spec["take"], text=True))
    if keys == {"each", "fields"} and isinstance(spec["fields"], dict):
        wanted = {
            part: _first_of(where, path, f"{name}.{part}" in texts) for part, path in spec["fields"].items()
        }
        return EachObject(_paths(where, spec["each"]), tuple(wanted.items()))
    raise MappingInvalid(
        where,
        "expected a path, paths, {const}, {whole}, {minor, currency}, {each, take} or {each, fields}",
    )


def _first_of(where: str, spec: Any, text: bool) -> FirstOf:
    """Paths, of which the last may be a default, `{const: x}`."""
    default = None
    if (
        isinstance(spec, list)
        and len(spec) > 1
        and isinstance(spec[-1], dict)
        and spec[-1].keys() == {"const"}
    ):
        spec, default = spec[:-1], spec[-1]["const"]
    return FirstOf(_paths(where, spec), text, default)


def _paths(where: str, spec: Any) -> tuple[str, ...]:
    paths = spec if isinstance(spec, list) else [spec]
    if not paths or not all(isinstance(path, str) and path.strip(".") for path in paths):
        raise MappingInvalid(where, "expected a path, or a list of paths")
    return tuple(paths)


@cache
def text_fields(model: type[BaseModel]) -> frozenset[str]:
    """The fields, as dotted paths through objects and lists of them, that hold a text and no number."""
    return frozenset(_texts(model, ""))


def _texts(model: type[BaseModel], above: str) -> Iterator[str]:
    """Read from the annotations: a JSON Schema says the same, and takes longer to make than all else of a start."""
    for name, described in model.model_fields.items():
        kinds = set(_kinds(described.annotation))
        name = described.alias or name
        if kinds & _TEXTS and not kinds & _NUMBERS:
            yield f"{above}{name}"
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _texts(kind, f"{above}{name}.")


def _kinds(annotation: Any) -> Iterator[Any]:
    """Every type that a value may have, or an item of it where it is a list."""
    origin = get_origin(annotation)
    if origin is Literal:
        yield from (type(value) for value in get_args(annotation))
    elif origin is Annotated:
        yield from _kinds(annotation.__origin__)
    elif origin in (Union, UnionType, tuple, list):
        for argument in get_args(annotation):
            yield from _kinds(argument)
    else:
        yield annotation


_TEXTS: frozenset[Any] = frozenset({str, datetime, date, AwareDatetime})
_NUMBERS: frozenset[Any] = frozenset({int, float})

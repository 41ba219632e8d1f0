"""CSV rows as touchpoints: which column is which field.

Fields: `type`, `id`, `time`, `channel`; `identifiers.<kind>` (the kind alone will do: `user_id`, `email` …); every
other name is a field of the type's data (`data.<name>` where it would be taken for one of the above), and dots nest:
`actor.name`. A column that is not mapped is the field of its own name; one mapped to nothing is left out. Empty cells
say nothing.

A row becomes a Segment track call where its identifiers allow (those need no source in each item), else a CloudEvent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from touchbook.cli.exits import WrongUse
from touchbook.identity import STRENGTH_ORDER

ENVELOPE = ("type", "id", "time", "channel")
IN_A_CALL = {"user_id": "userId", "anonymous_id": "anonymousId", "device": "device"}


class Columns:
    """What every row of one CSV file says."""

    def __init__(
        self,
        header: Sequence[str],
        mapping: Mapping[str, str],
        constants: Mapping[str, str],
        source: str | None,
    ) -> None:
        """`mapping` names columns, `constants` fields with one value for all rows. Raises `WrongUse`."""
        if missing := [column for column in mapping if column not in header]:
            raise WrongUse(f"--map: no column is named {missing[0]!r}; the file has {', '.join(header)}")
        self._fields = [field_path(mapping.get(column, column)) for column in header]
        self._constants = {field_path(name): value for name, value in constants.items()}
        taken = [path for path in (*self._fields, *self._constants) if path]
        if twice := next((path for path in taken if taken.count(path) > 1), None):
            raise WrongUse(f"--map: two columns or constants are the field {'.'.join(twice)}; expected one")
        kinds = {path[1] for path in taken if path[0] == "identifiers"}
        if not kinds:
            raise WrongUse(
                "--map: no column says who the customer is; map one, as --map customer=identifiers.user_id"
            )
        if ("type",) not in taken:
            raise WrongUse(
                "--map: no column says what happened; map one to type, or --set type=order_placed for all"
            )
        self._as_calls = kinds <= IN_A_CALL.keys()
        if not self._as_calls and source is None:
            wanted = ", ".join(sorted(kinds - IN_A_CALL.keys()))
            raise WrongUse(
                f"--source: rows with {wanted} need the source of the key; `touchbook keys list` shows it"
            )
        self._source = source

    def __len__(self) -> int:
        return len(self._fields)

    def item(self, cells: Sequence[str]) -> dict[str, Any]:
        """One row's touchpoint. Without an id it gets one made from what it says, so that the same row, in whatever
        file and order of columns, is the same touchpoint."""
        said: dict[tuple[str, ...], str] = dict(self._constants)
        said |= {
            path: cell.strip()
            for path, cell in zip(self._fields, cells, strict=True)
            if path and cell.strip()
        }
        row: dict[str, Any] = {}
        for path, value in sorted(said.items()):
            _put(row, path, value)
        row.setdefault("id", f"row-{_digest(row)}")
        return self._call(row) if self._as_calls else self._event(row)

    def _call(self, row: dict[str, Any]) -> dict[str, Any]:
        context = {} if "channel" not in row else {"channel": row["channel"]}
        identifiers = dict(row.get("identifiers", {}))
        if "device" in identifiers:
            context["device"] = {"id": identifiers.pop("device")}
        call = {
            "type": "track",
            "messageId": row["id"],
            "event": row.get("type"),
            "timestamp": row.get("time"),
            **{IN_A_CALL[kind]: value for kind, value in identifiers.items()},
            "context": context,
            "properties": row.get("data"),
        }
        return {name: value for name, value in call.items() if value not in (None, {})}

    def _event(self, row: dict[str, Any]) -> dict[str, Any]:
        event = {
            "specversion": "1.0",
            "source": self._source,
            **{name: row.get(name) for name in ENVELOPE},
            "data": {**row.get("data", {}), "identifiers": row.get("identifiers", {})},
        }
        return {name: value for name, value in event.items() if value is not None}


def field_path(field: str) -> tuple[str, ...]:
    """Where a field goes: ("time",), ("identifiers", "user_id"), ("data", "actor", "name"); () for nowhere."""
    steps = tuple(step.strip() for step in field.split("."))
    if steps == ("",):
        return ()
    if "" in steps:
        raise WrongUse(f"--map: {field!r} is no field; expected names with dots between them")
    if len(steps) == 1 and steps[0] in ENVELOPE:
        return steps
    if len(steps) == 1 and steps[0] in STRENGTH_ORDER:
        return ("identifiers", steps[0])
    if steps[0] in ("identifiers", "data") and len(steps) > 1:
        return steps
    return ("data", *steps)


def pairs(given: Sequence[str], option: str) -> dict[str, str]:
    """`a=b` arguments as a dict. Raises `WrongUse`."""
    split = [one.partition("=") for one in given]
    for one, (name, equals, _) in zip(given, split, strict=True):
        if not name or not equals:
            raise WrongUse(f"{option}: expected name=value, not {one!r}")
    return {name: value for name, _, value in split}


def mapping_in(file: Path) -> dict[str, str]:
    """A YAML file of `column: field` lines. Raises `WrongUse`."""
    import yaml

    try:
        read = yaml.safe_load(file.read_text("utf-8"))
    except OSError as error:
        raise WrongUse(f"--columns: {file} cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise WrongUse(f"--columns: {file} is not YAML; expected lines of `column: field`") from None
    if not isinstance(read, dict) or not all(isinstance(value, str | None) for value in read.values()):
        raise WrongUse(f"--columns: {file}: expected lines of `column: field`")
    return {str(column): field or "" for column, field in read.items()}


def _put(row: dict[str, Any], path: tuple[str, ...], value: str) -> None:
    for step in path[:-1]:
        row = row.setdefault(step, {})
        if not isinstance(row, dict):
            raise WrongUse(f"--map: {'.'.join(path)} is a field inside one that is a text itself")
    row[path[-1]] = value


def _digest(row: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(row, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:40]

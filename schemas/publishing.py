"""JSON Schema of every touchpoint type, for those who write publishers.

One file per type and version in `published/`; `python -m touchbook.schemas.publishing` rewrites them. Files
of old versions stay as they were when the version was new: they describe what is in the journal.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from touchbook.schemas.catalogue import CATALOGUE
from touchbook.schemas.details import Details

PUBLISHED = Path(__file__).parent / "published"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(model: type[Details]) -> dict[str, Any]:
    """The JSON Schema of a type's `data`, in its newest version."""
    return {
        **model.model_json_schema(),
        "$schema": DIALECT,
        "$id": f"urn:touchbook:schema:{model.type}:{model.version}",
        "title": model.type.replace("_", " ").capitalize(),
        "description": description_of(model),
    }


def description_of(model: type[Details]) -> str:
    """What the type says of itself, on one line."""
    return " ".join((model.__doc__ or "").split())


def file_of(model: type[Details], version: int | None = None) -> str:
    return f"{model.type}.v{version or model.version}.json"


def text_of(model: type[Details]) -> str:
    """The file's text: sorted, so that the same code gives the same bytes."""
    return json.dumps(schema_of(model), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def publish(directory: Path = PUBLISHED) -> list[str]:
    """Writes the newest version of every type and removes files of versions that never were. All names."""
    directory.mkdir(parents=True, exist_ok=True)
    expected = {
        file_of(model, version) for model in CATALOGUE.values() for version in range(1, model.version + 1)
    }
    for orphan in {path.name for path in directory.glob("*.json")} - expected:
        (directory / orphan).unlink()
    for model in CATALOGUE.values():
        (directory / file_of(model)).write_text(text_of(model), encoding="utf-8")
    return sorted(expected)


if __name__ == "__main__":
    sys.stdout.write(f"{len(publish())} schemas in {PUBLISHED}\n")

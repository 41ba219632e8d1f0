from __future__ import annotations

import json
from pathlib import Path

import pytest

from touchbook.schemas.catalogue import CATALOGUE
from touchbook.schemas.publishing import DIALECT, PUBLISHED, file_of, publish, text_of

HOW = (
    "run `python -m touchbook.schemas.publishing`; a type in use needs a new version and an upcaster instead"
)


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_published_schema_is_that_of_the_code(name: str) -> None:
    published = PUBLISHED / file_of(CATALOGUE[name])
    assert published.read_text(encoding="utf-8") == text_of(CATALOGUE[name]), HOW


def test_every_version_is_published_and_no_file_is_orphaned() -> None:
    versions = {
        file_of(model, version) for model in CATALOGUE.values() for version in range(1, model.version + 1)
    }
    assert {path.name for path in PUBLISHED.iterdir()} == versions, HOW


@pytest.mark.parametrize("path", sorted(PUBLISHED.glob("*.json")), ids=lambda path: path.stem)
def test_a_published_schema_says_what_it_is(path: Path) -> None:
    schema = json.loads(path.read_text(encoding="utf-8"))
    name, _, version = path.stem.rpartition(".v")
    assert schema["$id"] == f"urn:touchbook:schema:{name}:{version}"
    assert schema["$schema"] == DIALECT
    assert schema["title"]
    assert schema["description"].rstrip(".").casefold() != schema["title"].casefold()
    assert schema["additionalProperties"] is True, "unknown fields are welcome"
    described = {field: "description" in said for field, said in schema["properties"].items()}
    assert all(described.values()), described


def test_publishing_writes_the_same_bytes_again_and_removes_orphans(tmp_path: Path) -> None:
    (tmp_path / "never_was.v1.json").write_text("{}")
    names = publish(tmp_path)
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(first) == names
    publish(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first

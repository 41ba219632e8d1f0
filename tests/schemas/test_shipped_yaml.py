from __future__ import annotations

from importlib import resources

import pytest
import yaml

from touchbook.schemas import shipped_yaml

SHIPPED = {
    f"{folder}/{file.name}": file
    for package, folder in (
        ("touchbook", "scorecards"),
        ("touchbook", "policies"),
        ("touchbook.schemas", "mappings"),
        ("touchbook.schemas", "samples"),
    )
    for file in (resources.files(package) / folder).iterdir()
    if file.name.endswith(".yaml")
}


def told(node: yaml.Node) -> object:
    """Everything that is read from a file: what stands there, and where."""
    place = (node.start_mark.line, node.start_mark.column)
    match node:
        case yaml.ScalarNode():
            return node.tag, node.value, node.style or None, place
        case yaml.MappingNode():
            return node.tag, [(told(key), told(value)) for key, value in node.value], place
    return node.tag, [told(one) for one in node.value], place


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_files_of_ours_say_the_same_to_the_fast_loader_as_to_the_strict_one(name: str) -> None:
    text = SHIPPED[name].read_text("utf-8")
    fast, strict = (yaml.compose(text, Loader=one) for one in (shipped_yaml.LOADER, yaml.SafeLoader))

    assert told(fast) == told(strict)

"""YAML read strictly and with its line numbers, for files that people write by hand.

Every complaint is a `ScorecardInvalid`, or the `invalid` asked for, that names the file, the line and what was
expected there.
"""

from __future__ import annotations

import re
from typing import NoReturn

import yaml

from touchbook.errors import ScorecardInvalid
from touchbook.schemas import shipped_yaml

_WHOLE = re.compile(r"-?(0|[1-9][0-9_]*)")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_STRING = "tag:yaml.org,2002:str"


def parsed(
    where: str, text: str, invalid: type[ScorecardInvalid] = ScorecardInvalid, *, shipped: bool = False
) -> Entry:
    """The one mapping a file holds. `where` is what errors call the file, `invalid` what they are; `shipped` says that
    the file is one of ours."""
    try:
        node = yaml.compose(text, Loader=shipped_yaml.LOADER if shipped else yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise invalid(where, line, f"not YAML: {error.problem}", column) from None
    except yaml.YAMLError:
        raise invalid(where, 1, "not YAML: it holds characters that YAML does not allow") from None
    if node is None:
        raise invalid(where, 1, "the file is empty")
    return Entry(where, node, "the file", invalid)


def _place(node: yaml.Node) -> tuple[int, int]:
    """(line, column), from 1."""
    return int(node.start_mark.line) + 1, int(node.start_mark.column) + 1


class Entry:
    """One mapping, asked for key by key. `what` is what errors call it ("component 'purchases'")."""

    def __init__(
        self, where: str, node: yaml.Node, what: str, invalid: type[ScorecardInvalid] = ScorecardInvalid
    ) -> None:
        self.where, self.node, self.what, self._error = where, node, what, invalid
        self.nodes: dict[str, yaml.Node] = {}
        self._places: dict[str, tuple[int, int]] = {}
        if not isinstance(node, yaml.MappingNode):
            self.fail(f"expected {what} as `key: value` lines")
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != _STRING:
                raise self._invalid(_place(key), f"{what}: a key must be a word")
            if key.value in self.nodes:
                raise self._invalid(_place(key), f"{what} says `{key.value}` twice")
            self.nodes[key.value] = value
            self._places[key.value] = _place(key)

    def _invalid(self, place: tuple[int, int], expected: str) -> ScorecardInvalid:
        line, column = place
        return self._error(self.where, line, expected, column)

    def __contains__(self, key: str) -> bool:
        return key in self.nodes

    def fail(self, expected: str, key: str | None = None) -> NoReturn:
        """Complains about the place of `key`, or about the one where this mapping begins."""
        raise self._invalid(self._places.get(key or "", _place(self.node)), expected)

    def fail_at(self, word: str, key: str, expected: str) -> NoReturn:
        """Complains about one word of the list under `key` (or about the key, if it is no list)."""
        node = self.nodes[key]
        items = node.value if isinstance(node, yaml.SequenceNode) else []
        place = next((_place(item) for item in items if item.value == word), self._places[key])
        raise self._invalid(place, expected)

    def only(self, *known: str) -> None:
        """No other keys than these."""
        for key in self.nodes:
            if key not in known:
                self.fail(f"{self.what} has no `{key}`; it can say {', '.join(known)}", key)

    def need(self, key: str, meaning: str) -> yaml.Node:
        if key not in self.nodes:
            self.fail(f"{self.what} needs `{key}`: {meaning}")
        return self.nodes[key]

    def text(self, key: str, meaning: str) -> str:
        """A line of text that is not empty."""
        node = self.need(key, meaning)
        if not isinstance(node, yaml.ScalarNode) or node.tag != _STRING or not node.value.strip():
            self.fail(f"{self.what}: `{key}` must be text: {meaning}", key)
        return str(node.value).strip()

    def whole(self, key: str, meaning: str, least: int, most: int) -> int:
        """A whole number within limits."""
        node = self.need(key, meaning)
        plain = isinstance(node, yaml.ScalarNode) and not node.style and _WHOLE.fullmatch(node.value)
        if not plain or not least <= int(node.value) <= most:
            self.fail(f"{self.what}: `{key}` must be a whole number from {least} to {most}: {meaning}", key)
        return int(node.value)

    def wholes(self, key: str, meaning: str, length: int) -> list[int]:
        """A list of whole numbers."""
        node = self.need(key, meaning)
        items = node.value if isinstance(node, yaml.SequenceNode) else []
        found = [int(i.value) for i in items if isinstance(i, yaml.ScalarNode) and _WHOLE.fullmatch(i.value)]
        if not len(items) == len(found) == length:
            self.fail(f"{self.what}: `{key}` must be {length} whole numbers: {meaning}", key)
        return found

    def words(self, key: str, meaning: str) -> list[str]:
        """A list of words, each of them once."""
        node = self.need(key, meaning)
        items = node.value if isinstance(node, yaml.SequenceNode) else []
        if not items:
            self.fail(f"{self.what}: `{key}` must be a list: {meaning}", key)
        words: list[str] = []
        for item in items:
            if not isinstance(item, yaml.ScalarNode) or item.tag != _STRING or not item.value:
                raise self._invalid(_place(item), f"{self.what}: `{key}` must list words")
            if item.value in words:
                raise self._invalid(_place(item), f"{self.what}: `{key}` names {item.value!r} twice")
            words.append(item.value)
        return words

    def is_word(self, key: str) -> bool:
        return isinstance(self.nodes.get(key), yaml.ScalarNode)

    def entry(self, key: str, meaning: str, what: str | None = None) -> Entry:
        return Entry(self.where, self.need(key, meaning), what or f"`{key}`", self._error)

    def entries(self, key: str, meaning: str, what: str) -> list[Entry]:
        """A list of mappings, at least one."""
        node = self.need(key, meaning)
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            self.fail(f"{self.what}: `{key}` must be a list: {meaning}", key)
        return [Entry(self.where, item, what, self._error) for item in node.value]

    def names(self) -> list[str]:
        """The keys, in order, where they are names of the writer's choice."""
        for key in self.nodes:
            if not _NAME.fullmatch(key):
                self.fail(f"{key!r} is not a name: small Latin letters, digits and underscores", key)
        if not self.nodes:
            self.fail(f"{self.what} must not be empty")
        return list(self.nodes)

    def name(self, key: str, meaning: str) -> str:
        word = self.text(key, meaning)
        if not _NAME.fullmatch(word):
            self.fail(f"{word!r} is not a name: small Latin letters, digits and underscores", key)
        return word

"""Reading a page of the desk as its reader does: words, links and lines instead of markup."""

from __future__ import annotations

import html
import re


def words_of(markup: str) -> str:
    """What is written there, without markup, blanks made one."""
    text = re.sub(r"<(script|style|svg)\b.*?</\1>", " ", markup, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split()).replace(" ,", ",")


def part_of(markup: str, id: str) -> str:
    """The element with this id and everything within it."""
    found = re.search(rf'<(\w+)\b[^>]*\bid="{re.escape(id)}"', markup)
    assert found is not None, id
    name, depth = found[1], 0
    for tag in re.finditer(rf"<(/?){name}\b[^>]*>", markup[found.start() :]):
        depth += -1 if tag[1] else 1
        if not depth:
            return markup[found.start() : found.start() + tag.end()]
    raise AssertionError(f"{id} does not end")


def items_of(markup: str) -> list[str]:
    """The words of each list item."""
    return [words_of(item) for item in re.findall(r"<li\b.*?</li>", markup, flags=re.DOTALL)]


def field_of(markup: str, name: str) -> str:
    """The value of a hidden field."""
    found = re.search(rf'name="{name}" value="([^"]*)"', markup)
    assert found is not None, name
    return html.unescape(found[1])

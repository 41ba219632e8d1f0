"""How a page of the reference is put together."""

from __future__ import annotations

from collections.abc import Iterable

NOTE = "<!-- Written by `python -m tools.reference`; do not edit. -->\n"


def page(title: str, introduction: str, *parts: str) -> str:
    return "\n".join([f"# {title}\n", NOTE, introduction.strip() + "\n", *parts])


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join([row(*head), f"|{'---|' * len(head)}", *(row(*cells) for cells in rows)]) + "\n"


def row(*cells: str) -> str:
    return f"| {' | '.join(one_line(cell).replace('|', chr(92) + '|') for cell in cells)} |"


def one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def paragraphs(text: str | None) -> str:
    return "\n\n".join(one_line(part) for part in (text or "").split("\n\n"))


def code(text: str) -> str:
    return f"`{text}`" if text else ""


def anchor(heading: str) -> str:
    """Where a heading is found within its page."""
    return heading.lower().replace(" ", "-")

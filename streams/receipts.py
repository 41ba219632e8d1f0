"""Erasures asked for and done: what each destroyed, and how far it came."""

from __future__ import annotations

from typing import Any, Protocol

Receipt = dict[str, Any]
"""JSON-ready; see `streams.erasure`. It holds permanent ids and names of keys, nothing that was said or by whom."""


class Receipts(Protocol):
    """Every method may be called from any thread, and what it changed is durable when it returns."""

    def begin(self, receipt: Receipt) -> None:
        """Keeps a new one."""
        ...

    def change(self, receipt: Receipt) -> None:
        """Keeps what became of it. One that is `done` is not taken up again."""
        ...

    def get(self, id: str) -> Receipt:
        """Raises ErasureUnknown."""
        ...

    def last_of(self, member: str) -> Receipt | None:
        """The last that named this permanent id among its members."""
        ...

    def open(self) -> list[Receipt]:
        """Those begun and not done, the oldest first."""
        ...

    def page(self, limit: int, cursor: str | None) -> tuple[list[Receipt], str | None]:
        """The newest first, and the cursor of the next page (None: there is no more). Raises Refused (400) for a
        cursor that this did not give."""
        ...

    def close(self) -> None:
        """Releases everything. May be called again."""
        ...

"""SQL statements, kept in files of their own: each can be read, and tried in a shell, by itself."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def statement_of(package: str, name: str) -> str:
    """The text of `sql/<name>.sql` in a package."""
    return (resources.files(package) / "sql" / f"{name}.sql").read_text("utf-8")

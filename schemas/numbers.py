"""What stands where a type declares a number: a JSON number or its text, never a truth value.

In Python `True` is an `int`, and pydantic takes it for 1: a source that sends `"amount": true` would have sold
something for a cent.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator


def _no_boolean(value: Any) -> Any:
    if value is True or value is False:
        raise ValueError("input should be a number, not true or false")
    return value


NotBoolean = BeforeValidator(_no_boolean)
"""Stands last in `Annotated[int, …]`, where bounds before it stay bounds of the number itself."""

Whole = Annotated[int, NotBoolean]

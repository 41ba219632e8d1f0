"""A bounded memory of what was used last, for several threads."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from threading import Lock
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """Keeps the `size` values last put or got."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Key) -> Value | None:
        """None means "not here"."""
        value = self._values.get(key)
        if value is not None:
            try:  # noqa: SIM105 `suppress` takes six times as long
                self._values.move_to_end(key)
            except KeyError:
                pass  # another thread has just dropped it
        return value

    def get_all(self, keys: Iterable[Key]) -> dict[Key, Value]:
        """Those that are here."""
        found: dict[Key, Value] = {}
        with self._lock:
            for key in keys:
                if (value := self._values.get(key)) is not None:
                    self._values.move_to_end(key)
                    found[key] = value
        return found

    def put(self, key: Key, value: Value) -> None:
        self.put_all([(key, value)])

    def put_all(self, values: Iterable[tuple[Key, Value]]) -> None:
        with self._lock:
            for key, value in values:
                self._values[key] = value
                self._values.move_to_end(key)
            while len(self._values) > self._size:
                self._values.popitem(last=False)

    def drop(self, keys: Iterable[Key]) -> None:
        with self._lock:
            for key in keys:
                self._values.pop(key, None)

    def clear(self) -> None:
        with self._lock:
            self._values.clear()

"""What is known about one request while it is answered; every layer of the application shares it.

It is what logs may say of a request: the template of its route and who asked, never the path, the query or a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import Scope

from touchbook.streams.control import AccessKey
from touchbook.streams.metrics import NOBODY

_NAME = "touchbook.seen"


@dataclass(slots=True)
class Seen:
    """`route` is the template of the route that answers; `key` the access key, once it is known; `status` that of the
    answer, once it has begun; `cross_origin` says that pages of the key's origins may read the answer; `counted`, that
    the counters know what became of its items; `headers` are read when the first is asked for."""

    route: str = "(no such route)"
    key: AccessKey | None = None
    status: int = 0
    cross_origin: bool = False
    counted: bool = False
    headers: Mapping[bytes, bytes] | None = None

    @property
    def source(self) -> str:
        return self.key.source if self.key else NOBODY


def header_of(scope: Scope, name: bytes) -> str | None:
    """The first header of this name, which is lower-case; None where there is none."""
    headers = (seen := seen_of(scope)).headers
    if headers is None:
        headers = seen.headers = dict(reversed(scope["headers"]))
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")


def seen_of(scope: Scope) -> Seen:
    """The one `Seen` of this request; made where there is none yet."""
    seen: Seen | None = scope.get(_NAME)
    if seen is None:
        seen = scope[_NAME] = Seen()
    return seen

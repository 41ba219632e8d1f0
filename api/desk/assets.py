"""The desk's static files, held in memory.

A page names them under a path that holds the hash of them all, `/desk/static/<hash>/base.css`: browsers may keep them
for good, and modules that import each other by relative paths stay within one version.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

PATH = "/desk/static"
FOR_GOOD = "public, max-age=31536000, immutable"
ASKED_AGAIN = "no-cache"
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}


PACKED_FROM = 1024
"""Smaller files are not worth packing."""
_ICON = re.compile(rb'<symbol id="i-([a-z0-9-]+)"')


class File(NamedTuple):
    """`packed` is the content gzipped, where that is worth it."""

    content: bytes
    media_type: str
    packed: bytes | None

    @classmethod
    def of(cls, content: bytes, media_type: str) -> File:
        packed = gzip.compress(content, mtime=0) if len(content) >= PACKED_FROM else None
        return cls(content, media_type, packed)


class Assets:
    """Every static file by its path below `static/`."""

    def __init__(self) -> None:
        self.files = {
            name: File.of(file.read_bytes(), MEDIA_TYPES[ending])
            for name, file in sorted(_below(files("touchbook.api.desk") / "static"))
            if (ending := name[name.rfind(".") :]) in MEDIA_TYPES
        }
        whole = hashlib.sha256()
        for name, file in self.files.items():
            whole.update(f"{name}\0{len(file.content)}\0".encode() + file.content)
        self.version = whole.hexdigest()[:12]
        self.icons = {name.decode() for name in _ICON.findall(self.files["icons.svg"].content)}

    def path(self, name: str) -> str:
        """Where pages find this file. Raises KeyError for one that is not there."""
        self.files[name]
        return f"{PATH}/{self.version}/{name}"

    def answer(self, request: Request, path: str) -> Response | None:
        """The file; None if there is none. Another version than ours, as beside a server that is just being replaced,
        gets our file and may not keep it."""
        version, _, rest = path.partition("/")
        name, caching = (rest, FOR_GOOD) if version == self.version else (path, ASKED_AGAIN)
        file = self.files.get(name) or self.files.get(rest)
        if file is None:
            return None
        tag = f'"{self.version}"'
        headers = {"Cache-Control": caching, "ETag": tag, "Vary": "Accept-Encoding"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        content = file.content
        if file.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            content, headers["Content-Encoding"] = file.packed, "gzip"
        return Response(content, headers=headers, media_type=file.media_type)


@cache
def shipped() -> Assets:
    """The static files of the desk, read when the first is asked for: all desks of a process show the same."""
    return Assets()


def _below(folder: Traversable, above: str = "") -> Iterator[tuple[str, Traversable]]:
    for one in folder.iterdir():
        if one.is_dir():
            yield from _below(one, f"{above}{one.name}/")
        else:
            yield f"{above}{one.name}", one

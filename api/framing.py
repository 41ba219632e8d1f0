"""The bytes of a connection as HTTP/1.1 requests, read more strictly than the server below reads them.

What two programs on the way could read differently is refused here, before any route: a proxy that takes the first of
two Authorization headers and a server that takes the second are a way in. Deadlines and room are not its business: a
protocol that has them is made on top of this one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from touchbook.api.edge import HEADERS
from touchbook.api.problems import problem
from touchbook.errors import Refused

MOST_OF_A_HEAD = 32 * 2**10
"""Bytes of a request's target and headers together, and of what else may stand around its body."""
LINGER_SECONDS = 2
"""How long a client that is still sending has to read why nobody listens any more."""

ONCE = frozenset({
    b"host", b"authorization", b"content-type", b"content-encoding", b"content-length", b"transfer-encoding", b"origin",
    b"last-event-id",
})  # fmt: skip
"""Headers that decide something, and of which there is one or none."""

_TARGET = re.compile(rb"(?:https?://[^/?#]+)?/[^#\x80-\xff]*|\*", re.IGNORECASE)
_FRAMING = (b"content-length", b"transfer-encoding")
_TOO_LARGE = Refused(
    431, "head_too_large", f"expected at most {MOST_OF_A_HEAD} bytes of request line and headers"
)


class StrictFraming(HttpToolsProtocol):
    """One connection. Whatever is no request in order is answered by a problem, and the connection closed: where the
    next request would begin is no longer known."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._deaf = False  # what still arrives is not looked at
        self._muted = False  # the parser reads what we wrote ourselves
        self._in_head = True
        self._head = 0  # bytes of the head under way
        self._pending = 0  # bytes received since a head or a part of a body was complete

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        self._pending += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._go_on(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self.refuse(_reason(error))
        else:
            if self._pending > MOST_OF_A_HEAD:
                self.refuse(_TOO_LARGE)

    def on_message_begin(self) -> None:
        if not self._muted:
            super().on_message_begin()
            self._head = 0

    def on_url(self, url: bytes) -> None:
        if not self._muted:
            super().on_url(url)
            self._head += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Trailers are left out: a proxy that strips a header at the head would let it through at the end."""
        if self._in_head and not self._muted:
            super().on_header(name, value)
            self._head += len(name) + len(value) + len(": \r\n")

    def on_headers_complete(self) -> None:
        if self._muted:
            return
        if self._head > MOST_OF_A_HEAD:
            raise _TOO_LARGE
        _check(self.url, self.headers, self.parser.get_http_version())
        super().on_headers_complete()
        self._in_head, self._pending = False, 0

    def on_body(self, body: bytes) -> None:
        self._pending = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade() and self._framing():
            return  # not yet: the parser takes the body for another protocol
        self._in_head, self._pending = True, 0
        super().on_message_complete()

    def refuse(self, refused: Refused) -> None:
        """Answers that what came is no request, if nothing else is being answered, and hangs up."""
        self._deaf = True
        under_way = self.cycle is not None and not self.cycle.response_complete
        if self._in_head and under_way:
            # What came before was whole: that is answered, and nothing after it.
            self.cycle.keep_alive = False
        elif not self._in_head and (self.cycle.response_started or self.pipeline):
            self.transport.close()
        else:
            self.transport.write(_answer(refused))
            self.transport.write_eof()
            self.flow.resume_reading()
            # Closed at once, with something unread, it would take the answer back before the client has read it.
            self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _framing(self) -> list[tuple[bytes, bytes]]:
        return [(name, value) for name, value in self.headers if name in _FRAMING]

    def _go_on(self, rest: bytes) -> None:
        """No upgrade is taken here, so the request goes on as what it is (RFC 9110, 7.8). Java's client offers one
        (h2c) with its first request. The parser has stopped for good, so another reads on, told of the body alone."""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        framing = b"".join(b"%b: %b\r\n" % header for header in self._framing())
        if framing:
            self._muted = True
            self.parser.feed_data(b"POST / HTTP/1.1\r\n" + framing + b"\r\n")
            self._muted = False
        if rest:
            self.data_received(rest)


def _reason(error: httptools.HttpParserError) -> Refused:
    """Ours, where we stopped the parser; else in the parser's words, which name what it expected and no value."""
    if isinstance(error.__context__, Refused):
        return error.__context__
    return _no_request(str(error))


def _no_request(why: str) -> Refused:
    return Refused(400, "http_invalid", f"expected an HTTP/1.1 request (RFC 9112); {why}")


def _check(target: bytes, headers: Sequence[tuple[bytes, bytes]], version: str) -> None:
    if version not in ("1.1", "1.0"):
        raise _no_request(f"this one is of HTTP/{version}")
    if not _TARGET.fullmatch(target):
        raise Refused(400, "path_invalid", "expected a path that begins with /, percent-encoded, without #")
    names = [name for name, _ in headers]
    if len(set(names)) < len(names):
        for name in ONCE:
            if names.count(name) > 1:
                raise Refused(400, "header_repeated", f"{name.decode()}: expected at most once")
    if b"host" not in names and version == "1.1":
        raise Refused(400, "host_missing", "host: expected once in every HTTP/1.1 request")
    if b"transfer-encoding" in names:
        coded = dict(headers)[b"transfer-encoding"].strip().lower()
        if coded != b"chunked" or version != "1.1":
            raise Refused(
                400, "transfer_encoding_unknown", "transfer-encoding: expected chunked alone, in HTTP/1.1"
            )


def _answer(refused: Refused) -> bytes:
    answer = problem(refused.status, refused.code, str(refused), {**HEADERS, "Connection": "close"})
    lines = b"".join(b"%b: %b\r\n" % header for header in answer.raw_headers)
    return STATUS_LINE[refused.status] + lines + b"\r\n" + bytes(answer.body)

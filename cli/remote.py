"""A running server, asked over HTTP. Its refusals and its silence become the errors that exit codes are made of."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx

import touchbook
from touchbook.cli.exits import RefusedByServer, Unreachable
from touchbook.cli.options import address

TIMEOUT = httpx.Timeout(60, connect=10)
TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
LOOPBACK = ("localhost", "127.0.0.1", "::1")
NO_TOUCHBOOK = "this is not an answer of a Touchbook; check --to, and what stands before the server"

OnWait = Callable[[str, float], None]
"""Told (why, seconds) before every wait."""


class Server:
    """One server and the key it is asked with. Use it as a context."""

    def __init__(self, to: str, key: str | None) -> None:
        """Raises `WrongUse` for an address or key that cannot be one."""
        self.address, secret = address(to, key)
        asked = urlsplit(to)
        here = asked.hostname in LOOPBACK
        self._client = httpx.Client(
            base_url=self.address,
            headers={"Authorization": f"Bearer {secret}", "User-Agent": f"touchbook/{touchbook.__version__}"},
            timeout=TIMEOUT,
            trust_env=not here,  # a proxy has no business with this machine
            # Whose certificates to believe takes 25 ms to read. Here nobody shows one, elsewhere a proxy may.
            verify=not here or asked.scheme == "https",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(
        self, path: str, query: Mapping[str, Any] | None = None, language: str | None = None
    ) -> dict[str, Any]:
        """The answer's JSON. Query values that are None are left out."""
        given = {name: value for name, value in (query or {}).items() if value is not None}
        headers = {"Accept-Language": language} if language else {}
        return self._content(self._once("GET", path, params=given, headers=headers))

    def raw(
        self, path: str, query: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """A good answer as it came, whatever it holds."""
        answer = self._once("GET", path, params=dict(query or {}), headers=dict(headers or {}))
        if answer.status_code != 200:
            raise _refusal(answer)
        return answer

    def post(self, path: str, content: Any = None) -> dict[str, Any]:
        return self._content(self._once("POST", path, json=content))

    def events(
        self, path: str, query: Mapping[str, Any], last_id: str, language: str
    ) -> Iterator[tuple[str, str, str] | None]:
        """(event, id, data) of a stream as they come, None for a sign of life; ends when the server ends it."""
        given = {name: value for name, value in query.items() if value is not None}
        headers = {"Accept": "text/event-stream", "Last-Event-ID": last_id, "Accept-Language": language}
        try:
            with self._client.stream("GET", path, params=given, headers=headers) as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise _refusal(answer)
                yield from _events(answer.iter_lines())
        except httpx.TransportError as error:
            raise Unreachable(self.address, _why(error)) from None

    def insist(
        self, path: str, body: bytes, media_type: str, patience: float, on_wait: OnWait
    ) -> dict[str, Any]:
        """Posts until the server answers for good. Silence and 408, 429 and 5xx are tried again with the same body,
        for at most `patience` seconds, and never sooner than the server's Retry-After says."""
        deadline = time.monotonic() + patience
        pause = FIRST_PAUSE
        while True:
            try:
                answer = self._once("POST", path, content=body, headers={"Content-Type": media_type})
                if answer.status_code not in TRY_AGAIN:
                    return self._content(answer)
                failure: Exception = _refusal(answer)
                why, told = f"it answered {answer.status_code}", _retry_after(answer)
            except Unreachable as error:
                failure, why, told = error, "it does not answer", 0.0
            wait = max(told, pause * random.uniform(0.75, 1.25))  # not all senders at the same moment
            if time.monotonic() + wait > deadline:
                raise failure
            on_wait(why, wait)
            time.sleep(wait)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _once(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            return self._client.request(method, path, **request)
        except httpx.TransportError as error:
            raise Unreachable(self.address, _why(error)) from None

    def _content(self, answer: httpx.Response) -> dict[str, Any]:
        if answer.status_code not in (200, 201, 202):
            raise _refusal(answer)
        try:
            content = answer.json()
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise RefusedByServer(answer.status_code, "no_touchbook", NO_TOUCHBOOK)
        return content


def _events(lines: Iterable[str]) -> Iterator[tuple[str, str, str] | None]:
    """Server-sent events (the HTML standard, 9.2.6), as far as our server writes them: data on one line."""
    fields: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            yield None
        elif line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif "data" in fields:
            yield fields.get("event", "message"), fields.get("id", ""), fields["data"]
            fields = {}


def segment(text: str) -> str:
    """The text as one segment of a path."""
    return quote(text, safe="")


def _why(error: httpx.TransportError) -> str:
    """In words: the system's where there are some, which name neither the key nor what was sent."""
    if isinstance(error, httpx.ConnectTimeout):
        return f"no connection within {TIMEOUT.connect:g} seconds"
    if isinstance(error, httpx.TimeoutException):
        return f"no answer within {TIMEOUT.read:g} seconds"
    said = re.sub(r"^\[[^]]*\] *", "", str(error))
    return said or type(error).__name__


def _refusal(answer: httpx.Response) -> RefusedByServer:
    """The problem the server answered with."""
    try:
        problem = answer.json()
        return RefusedByServer(answer.status_code, str(problem["code"]), str(problem["message"]))
    except (ValueError, KeyError, TypeError):
        return RefusedByServer(answer.status_code, "no_touchbook", NO_TOUCHBOOK)


def _retry_after(answer: httpx.Response) -> float:
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdecimal() else 0.0

"""Bytes as they are, sent to a server over a socket, because a client library would refuse to; and what came back."""

from __future__ import annotations

import http.client
import io
import json
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

SECONDS = 20
"""A guard against hanging. No answer here takes a tenth of it."""


@dataclass(frozen=True)
class Answer:
    """One answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class _Bytes(io.BytesIO):
    """As much of a socket as http.client wants of one."""

    def makefile(self, mode: str) -> io.BytesIO:
        return self

    def close(self) -> None:
        """Stays open: further answers may follow the one that was read."""


def answers_in(received: bytes, head: bool = False) -> list[Answer]:
    """Every whole answer in what a server sent but the interim ones. `head`: they have no bodies, whatever they say."""
    stream, answers = _Bytes(received), list[Answer]()
    while stream.tell() < len(received):
        answer = http.client.HTTPResponse(stream, method="HEAD" if head else None)  # type: ignore[arg-type]
        try:
            answer.begin()
            body = answer.read()
        except http.client.HTTPException:
            break
        headers = {name.lower(): value for name, value in answer.getheaders()}
        answers.append(Answer(answer.status, headers, body))
    return answers


def exchange(
    address: tuple[str, int], sent: bytes, *, answers: int = 1, ends: bool = False, head: bool = False
) -> list[Answer]:
    """Sends the bytes and takes as many answers as are expected; then says that no more will come, and takes whatever
    else there is until the server hangs up. `ends`: says so at once, as a client does that gives up."""
    with socket.create_connection(address, timeout=SECONDS) as line:
        received = bytearray()
        with suppress(ConnectionError):  # it hung up before it had heard all; what it said may still be read
            line.sendall(sent)
        with suppress(ConnectionError):
            while not ends and len(answers_in(bytes(received), head)) < answers and _more(line, received):
                pass
            line.shutdown(socket.SHUT_WR)
            while _more(line, received):
                pass
    return answers_in(bytes(received), head)


def _more(line: socket.socket, received: bytearray) -> bool:
    part = line.recv(2**20)
    received += part
    return part != b""

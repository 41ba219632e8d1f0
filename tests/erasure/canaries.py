"""Marks that nobody else could have written, and every way in which a file may hold them."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.books import event

PREFIX = 6
"""Bytes: what spellings of one kind begin with, whomever they are of."""


def canaries_of(n: int) -> dict[str, str]:
    """What only customer n says: his name, address, number and words, in Latin and Cyrillic letters."""
    return {
        "name": f"Zqname{n:05}x",
        "as it is looked for": f"zqname{n:05}x",
        "a part of it": f"name{n:05}x",
        "email": f"zqmail{n:05}x@example.test",
        "phone": f"+4915{n:05}7731",
        "text": f"zqtext{n:05}x, nobody else's words",
        "cyrillic": f"Ъщтекст{n:05}ж",
    }


def life_of(n: int) -> list[dict[str, Any]]:
    """Three touchpoints of one person, under two identifiers that his sign-up links."""
    said = canaries_of(n)
    who = {"user_id": f"p{n}", "anonymous_id": f"visitor-{n}", "email": said["email"], "phone": said["phone"]}
    traits = {"name": said["name"], "city": said["cyrillic"], "email": said["email"], "phone": said["phone"]}
    words = {"thread": f"t{n}", "text": f"{said['text']} {said['cyrillic']}"}
    sent = {"thread": f"t{n}", "purpose": "offer", "campaign": said["name"], "tags": [said["cyrillic"]]}
    sent["actor"] = {"kind": "agent", "name": f"who wrote to {said['name']}"}
    return [
        event("identified", {"traits": traits}, who=who, days_ago=3, id=f"sign-up {n}"),
        event("chat_message_sent", words, who={"anonymous_id": f"visitor-{n}"}, days_ago=1, id=f"chat {n}"),
        event("message_sent", sent, who={"user_id": f"p{n}"}, days_ago=2, id=f"letter {n}"),
    ]


def spellings(text: str) -> Iterator[bytes]:
    """The text as bytes: plain, UTF-16, base64 at each of its three alignments, hex, escaped."""
    plain = text.encode()
    escaped = json.dumps(text)[1:-1]
    yield from {plain, text.encode("utf-16-le"), text.encode("utf-16-be"), plain.hex().encode()}
    yield plain.hex().upper().encode()
    yield from {escaped.encode(), escaped.upper().replace("\\U", "\\u").encode()}
    yield "".join(f"\\u{ord(letter):04x}" for letter in text).encode()
    for before in range(3):
        # The letters at either end also carry bits of what stands beside the text.
        skipped = -(-before * 8 // 6)
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(b"\0" * before + plain)[skipped:].rstrip(b"=")[: (len(plain) * 8) // 6 - 1]


def found_in(files: Iterable[Path], wanted: dict[Any, Iterable[str]]) -> dict[Any, set[str]]:
    """Of each owner of canaries, the names of the files that hold one of them, in any spelling."""
    owners: dict[bytes, dict[bytes, set[Any]]] = {}
    for owner, texts in wanted.items():
        for way in {spelling for text in texts for spelling in spellings(text)}:
            owners.setdefault(way[:PREFIX], {}).setdefault(way, set()).add(owner)
    found: dict[Any, set[str]] = {owner: set() for owner in wanted}
    for file in files:
        content = file.read_bytes()
        for prefix, ways in owners.items():
            for way in held(content, prefix, ways):
                for owner in ways[way]:
                    found[owner].add(file.name)
    return found


def held(content: bytes, prefix: bytes, ways: Collection[bytes]) -> set[bytes]:
    """Those of the ways, which all begin with this prefix, that the content holds. One look for thousands of ways."""
    lengths = {len(way) for way in ways}
    found: set[bytes] = set()
    at = content.find(prefix)
    while at >= 0:
        found |= {part for length in lengths if (part := content[at : at + length]) in ways}
        at = content.find(prefix, at + 1)
    return found


def files_in(directory: Path) -> list[Path]:
    return sorted(file for file in directory.rglob("*") if file.is_file())

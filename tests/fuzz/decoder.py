"""Atheris, led by coverage, on everything between the bytes of a body and a touchpoint ready for the journal.

    python -m tests.fuzz.decoder [seconds, 60 if not said] [folder of the corpus, kept from run to run]
    python -m tests.fuzz.decoder FILE                       one input again, as a finding names it

The first byte of an input says which door and which headers; the rest is the body. Held to: only refusals that say what
was expected; the decoder and its slow reference agree; what is accepted survives sealing's encoding unchanged, can be
folded, and has words in every language. Ends with 1 where one of these breaks, and names the file that holds the input.
FUZZ_SEED in the environment makes it go the same way again, from the same corpus.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["touchbook", "json"]):
    import json

    from starlette.datastructures import Headers

    from touchbook.api.bodies import items_of
    from touchbook.api.cloudevents import events_of
    from touchbook.api.doors import segment_items
    from touchbook.errors import Refused, Rejected
    from touchbook.projections.changes import Changes, entry_of
    from touchbook.projections.fold import fold_touchpoint
    from touchbook.schemas.display import LANGUAGES
    from touchbook.schemas.strict_json import JsonInvalid, decode
    from touchbook.schemas.touchpoint import Record, Touchpoint
    from touchbook.sealing import decode_body, encode_body
    from touchbook.settings import settings_from
    from touchbook.streams.admission import Item, Publisher
    from touchbook.timeline import item_of
    from touchbook.wiring import Book, open_book

from tests.hostile.rows import ROWS, SOURCE
from tests.hostile.test_decoder import NotStrict, exact, reference

NOON = 1_780_315_200_000
CALLS = ("batch", "track", "identify", "page", "screen", "group", "alias")
SHOP, PAGE = Publisher(SOURCE, "web"), Publisher(SOURCE, "web", public=True)


def main(seconds: int, corpus: Path | None) -> int:
    """What libFuzzer ends it ends at once, so it runs in a child, and this clears up."""
    before = found()
    with tempfile.TemporaryDirectory(prefix="touchbook-fuzz-") as folder:
        if not (child := os.fork()):
            fuzz(seconds, corpus, Path(folder))
        try:
            ended = os.waitpid(child, 0)[1]
        except KeyboardInterrupt:
            ended = os.waitpid(child, 0)[1]
    for file in sorted(found() - before):
        print(f"decoder: a finding; see it again: python -m tests.fuzz.decoder {file}")
    print(f"decoder: {'failed' if ended else 'nothing found'}")
    return 1 if ended else 0


def found() -> set[Path]:
    """Inputs that libFuzzer kept, here, because something was wrong with them."""
    return {file for kind in ("crash", "timeout", "oom") for file in Path.cwd().glob(f"{kind}-*")}


def fuzz(seconds: int, corpus: Path | None, folder: Path) -> None:
    seeds = folder / "seeds"
    seeds.mkdir()
    for number, seed in enumerate(seeds_of_the_table() + seeds_of_samples()):
        (seeds / f"seed-{number}").write_bytes(seed)
    book = open_book(settings_from(data=folder / "data"))
    kept = corpus or folder / "corpus"
    kept.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=10", "-rss_limit_mb=2048"]
    options += [f"-seed={seed}"] if (seed := os.environ.get("FUZZ_SEED")) else []
    atheris.Setup([sys.argv[0], *options, str(kept), str(seeds)], lambda data: try_one(book, data))
    atheris.Fuzz()


def again(file: Path) -> None:
    """Raises what it finds wrong with this input."""
    with tempfile.TemporaryDirectory(prefix="touchbook-fuzz-") as folder:
        book = open_book(settings_from(data=Path(folder) / "data"))
        try:
            try_one(book, file.read_bytes())
        finally:
            book.close()
    print(f"decoder: nothing is wrong with {file}")


def seeds_of_the_table() -> list[bytes]:
    seeds = []
    for row in ROWS:
        head, _, body = row.sent[0].partition(b"\r\n\r\n")
        if 0 < len(body) < 4096 and head.startswith(b"POST"):
            door = 7 if b"/v1/events" in head else 0 if b"/v1/batch" in head else 1
            seeds.append(bytes([door]) + body)
    return seeds


def seeds_of_samples() -> list[bytes]:
    """One of every type, as a CloudEvent and as a call of Segment's."""
    from importlib.resources import files

    import yaml

    seeds = []
    for file in (files("touchbook.schemas") / "samples").iterdir():
        for sample in yaml.safe_load(file.read_text("utf-8")) or ():
            data = {**sample["data"], "identifiers": {"user_id": "42"}}
            event = {"specversion": "1.0", "id": "1", "source": SOURCE, "type": sample["type"], "data": data}
            call = {"userId": "42", "messageId": "1", "event": sample["type"], "properties": sample["data"]}
            seeds += [
                b"\x07" + json.dumps(event, default=str).encode(),
                b"\x01" + json.dumps(call, default=str).encode(),
            ]
    return seeds


def try_one(book: Book, data: bytes) -> None:
    """One input. Anything that is raised here is a finding."""
    door, body = (data[0], data[1:]) if data else (0, b"")
    compare(body)
    try:
        items = items_at(door % 16, body)
    except Refused as refused:
        told(refused, 400 <= refused.status < 500)
        return
    for item in items[:20]:
        try:
            touchpoint = book.admission.touchpoint_of(item, PAGE if door >= 128 else SHOP, NOON)
        except Rejected as rejected:
            told(rejected, bool(rejected.code))
            json.dumps(item.raw).encode()  # what is set aside must have a spelling
        else:
            live(book, touchpoint)


def told(error: Exception, well: bool) -> None:
    """An error says something, and says it well."""
    assert well, error
    assert str(error)


def compare(body: bytes) -> None:
    """The decoder, and the one that is slow."""
    try:
        expected = exact(reference(body))
    except NotStrict:
        expected = "refused"
    try:
        found = exact(decode(body))
    except JsonInvalid as error:
        found = "refused"
        told(error, str(error).startswith("expected"))
    assert found == expected, (found, expected)


def items_at(door: int, body: bytes) -> list[Item]:
    if door < len(CALLS):
        return segment_items(CALLS[door], *items_of(body), lambda items: None)
    if door > 12:
        head, _, body = body.partition(b"\n\n")
        lines = [line.partition(b":") for line in head.split(b"\n")]
        sent = [(b"ce-" + name.lower(), value) for name, _, value in lines] + [(b"ce-specversion", b"1.0")]
    else:
        media_type = {8: b"application/cloudevents+json", 9: b"application/cloudevents-batch+json"}.get(door)
        sent = [(b"content-type", media_type)] if media_type else []
    events, _, wrong_in = events_of(Headers(raw=sent), body)
    return [Item("cloudevents", event, {}, fault=wrong_in(event)) for event in events]


def live(book: Book, touchpoint: Touchpoint) -> None:
    """What becomes of an accepted touchpoint: it is encoded, read, folded, and shown."""
    header = {
        name: getattr(touchpoint, name)
        for name in ("key", "source", "type", "version", "channel", "occurred_at", "recorded_at")
    }
    read = decode_body(encode_body(touchpoint), **header)
    assert same(read.data, touchpoint.data)
    assert same(read.extra, touchpoint.extra)
    subject = book.journal.id_of(touchpoint.subject)
    record = Record(1, touchpoint.key, SOURCE, touchpoint.type, touchpoint.version, touchpoint.channel, subject, "k",
                    touchpoint.occurred_at, NOON, b"")  # fmt: skip
    changes = Changes()
    fold_touchpoint(changes, record, read, book.catalogue, book.journal.id_of)
    for row in changes.entries:
        for language in LANGUAGES:
            shown: Any = item_of(entry_of(row), language, 0, "j1.1")
            json.dumps(shown, ensure_ascii=False, allow_nan=False).encode()
            assert same(shown["data"], touchpoint.data)


def same(one: Any, other: Any) -> bool:
    """To the type of a number and the sign of nothing; the order of fields says nothing."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


if __name__ == "__main__":
    said = sys.argv[1:]
    if said and not said[0].isdecimal():
        again(Path(said[0]))
    else:
        sys.exit(main(int(said[0]) if said else 60, Path(said[1]) if said[1:] else None))

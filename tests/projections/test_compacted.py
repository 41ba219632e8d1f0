"""What is told of rows on the compacted topics is what they are."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchbook.contacts import ContactRow
from touchbook.errors import FormatUnknown
from touchbook.projections.changes import ClaimRow, IdentifierRow, RegisterRow, entry_of, entry_row
from touchbook.projections.compacted import (
    CLAIMS,
    KINDS,
    LEDGERS,
    REGISTERS,
    Claimed,
    Contacted,
    Erased,
    Head,
    LedgerDay,
    Marker,
    Message,
    Register,
    Seen,
    Told,
    decode,
    encode,
    marker,
)
from touchbook.projections.context import topic_in
from touchbook.projections.rows import Gone, Rows
from touchbook.registers import ThreadMessage
from touchbook.schemas.touchpoint import Claim, Identifier
from touchbook.timeline import Entry

names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
hashes = st.text("0123456789abcdef", min_size=32, max_size=32)
times = st.integers(-(2**62), 2**62)
counts = st.integers(0, 2**62)
identifiers = st.builds(Identifier, st.sampled_from(["user_id", "email", "device"]), names)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=5,
)
stamps = st.tuples(times, hashes)
claims = st.builds(Claim, identifiers, identifiers, st.integers(1, 3), st.booleans(), times, hashes, names)
bodies = st.fixed_dictionaries(
    {}, optional={"data": st.dictionaries(st.sampled_from(["topic", "n"]), values)}
)
entries = st.builds(
    Entry,
    hashes,
    hashes,
    times,
    times,
    times,
    names,
    names,
    names,
    names,
    names,
    names,
    st.booleans(),
    bodies,
).map(entry_row)
claim_keys = st.tuples(hashes, hashes, hashes, st.integers(1, 3), st.booleans(), names)


@st.composite
def stretches(draw: st.DrawFn) -> Rows:
    rows = Rows(
        position=draw(st.integers(0, 2**62)),
        recorded_at=draw(times),
        entries=draw(st.lists(entries, max_size=3)),
        ledger=draw(
            st.dictionaries(
                st.tuples(hashes, st.integers(-(10**6), 10**6)),
                st.dictionaries(names, st.tuples(counts, times), max_size=3),
                max_size=3,
            )
        ),
        registers=draw(
            st.dictionaries(
                st.tuples(hashes, names, names), st.builds(RegisterRow, values, stamps), max_size=3
            )
        ),
        messages=draw(
            st.lists(
                st.builds(
                    ThreadMessage,
                    hashes,
                    names,
                    times,
                    hashes,
                    names,
                    st.booleans(),
                    names,
                    *[st.none() | names] * 3,
                    st.booleans(),
                ),
                max_size=3,
            )
        ),
        contacts=draw(
            st.lists(
                st.builds(
                    ContactRow,
                    hashes,
                    times,
                    hashes,
                    names,
                    st.none() | names,
                    names,
                    st.none() | names,
                    st.lists(names, max_size=2).map(tuple),
                    st.none() | names,
                    st.none() | st.booleans(),
                    st.none() | times,
                ),
                max_size=3,
            )
        ),
        claims=draw(st.dictionaries(claim_keys, st.builds(ClaimRow, claims, counts, times), max_size=3)),
        identifiers=draw(
            st.dictionaries(
                st.tuples(hashes, hashes),
                st.builds(IdentifierRow, identifiers, times, times, counts, counts),
                max_size=3,
            )
        ),
        erased=draw(st.lists(hashes, max_size=2, unique=True)),
    )
    if rows.erased:
        [subject, *_] = rows.erased
        rows.gone = Gone(
            ledger=[(subject, draw(st.integers(-(10**6), 10**6)))],
            registers=[(subject, draw(names), draw(names))],
            messages=[(subject, draw(names), draw(times), draw(hashes))],
            contacts=[(subject, draw(times), draw(hashes))],
            heads=[(subject, draw(times), draw(hashes))],
            claims=[(subject, *draw(claim_keys)[1:])],
            identifiers=[(subject, draw(hashes))],
        )
    return rows


def told(rows: Rows) -> Iterator[tuple[str, Told | None]]:
    for kind, records in encode(rows).items():
        for key, value in records:
            yield kind, decode(kind, key, value)


def expected(rows: Rows) -> Iterator[tuple[str, Told | None]]:
    at = rows.position
    for kind in KINDS:
        yield from ((kind, Erased(subject, at)) for subject in rows.erased)
    if rows.erased:
        yield from ((kind, None) for kind in (LEDGERS, *[REGISTERS] * 4, CLAIMS, CLAIMS))
    for (subject, day), signals in rows.ledger.items():
        yield LEDGERS, LedgerDay(subject, day, {name: [*row] for name, row in signals.items()}, at)
    for (subject, kind, key), register in rows.registers.items():
        value = json.dumps(register.value, ensure_ascii=False, sort_keys=True)
        yield REGISTERS, Register(subject, kind, key, value, *register.stamp, at)
    for one in rows.messages:
        yield (
            REGISTERS,
            Message(
                one.subject,
                one.thread,
                one.occurred_at,
                one.key,
                one.role,
                one.public,
                one.channel,
                one.agent,
                one.team,
                one.purpose,
                one.closes,
                position=at,
            ),
        )
    for contact in rows.contacts:
        *header, tags, campaign, counts, until = contact
        spelled = json.dumps(tags, ensure_ascii=False)
        yield REGISTERS, Contacted(*header, spelled, campaign, counts, until, at)
    for entry in map(entry_of, rows.entries):
        if entry.for_customer:
            head = entry.key, entry.type, topic_in(entry.body)
            yield REGISTERS, Head(entry.subject, entry.occurred_at, *head, at)
    for (subject, id), seen in rows.identifiers.items():
        yield (
            CLAIMS,
            Seen(subject, id, *seen.identifier, seen.first_seen, seen.last_seen, seen.touchpoints, at),
        )
    for claimed, row in rows.claims.items():
        first = row.first
        yield (
            CLAIMS,
            Claimed(*claimed, first.occurred_at, first.touchpoint, first.source, row.times, row.last_at, at),
        )


@given(stretches())
def test_what_is_told_of_rows_is_what_they_are(rows: Rows) -> None:
    assert sorted(told(rows), key=str) == sorted(expected(rows), key=str)


@given(st.integers(0, 2**62), times)
def test_a_marker_says_how_far_was_told(position: int, recorded_at: int) -> None:
    key, value = marker(position, recorded_at)
    assert {decode(kind, key, value) for kind in KINDS} == {Marker(position, recorded_at)}


@given(stretches())
def test_an_erasure_comes_before_what_is_told_anew_and_identifiers_before_claims_on_them(rows: Rows) -> None:
    beside = dict.fromkeys((LedgerDay, Register, Message, Contacted, Head, Seen), 2)
    ranks = {Erased: 0, type(None): 1, **beside, Claimed: 3}
    for kind in KINDS:
        order = [ranks[type(one)] for where, one in told(rows) if where == kind]
        assert order == sorted(order)


def test_what_is_told_takes_the_memory_that_its_bytes_need() -> None:
    days = 20_000
    rows = Rows(1, 1, ledger={("a" * 32, day): {"page_view": (1, 0)} for day in range(days)})
    encode(rows)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    told = encode(rows)[LEDGERS]
    pages = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert len(told) == days
    assert pages < days / 4, "encoders may hand out bytes that hold on to a page each"


def test_rows_cannot_be_gone_of_a_subject_that_was_not_erased() -> None:
    with pytest.raises(ValueError, match="erased"):
        encode(Rows(1, 1, gone=Gone(ledger=[("a" * 32, 1)])))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"", b"{}"),
        (b"x", b"1"),
        (b"[]", b"[]"),
        (b'["a","z"]', b'{"p":1}'),
        (b'["a","e"]', b"[]"),
        (b"a:b:c", b'{"p":1,"rows":{}}'),
        (b"a:1", b"{}"),
        (b'["a","i","b"]', b"[]"),
        (b'["a","c"]', b"[1]"),
        (b"position", b"null"),
        (b"\xff", b"\xff"),
    ],
)
def test_a_record_that_no_worker_of_this_version_writes_is_named_and_not_shown(
    kind: str, key: bytes, value: bytes
) -> None:
    with pytest.raises(FormatUnknown, match=f"topic of {kind}"):
        decode(kind, key, value)

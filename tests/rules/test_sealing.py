from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.streams.touchpoints import touchpoint
from touchbook.errors import BodyUnreadable
from touchbook.schemas.touchpoint import Identifier, Touchpoint
from touchbook.sealing import (
    IdentityKey,
    canonical,
    decode_body,
    digest_in,
    digest_of,
    encode_body,
    new_key,
    new_key_id,
    seal,
    unseal,
    unwrap,
    wrap,
)

INTEGERS = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text() | st.text('абвгдежзиёъЯ 🙂\ud800\udc00\0"\\', max_size=20)
SCALARS = st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=15,
)
OBJECTS = st.dictionaries(TEXT, JSON, max_size=5)
IDENTIFIERS = st.builds(Identifier, st.sampled_from(["user_id", "email", "device"]), TEXT)
BODIES = st.builds(
    touchpoint,
    id=TEXT,
    subject=IDENTIFIERS,
    identifiers=st.lists(IDENTIFIERS, min_size=1, max_size=4).map(tuple),
    data=OBJECTS,
    extra=OBJECTS,
    received_at=INTEGERS,
    said_at=st.none() | INTEGERS,
    sent_at=st.none() | INTEGERS,
    strength=st.sampled_from([1, 2, 3]),
    key=st.just("k"),
)


def decoded(body: bytes, header: Touchpoint) -> Touchpoint:
    return decode_body(
        body,
        key=header.key,
        source=header.source,
        type=header.type,
        version=header.version,
        channel=header.channel,
        occurred_at=header.occurred_at,
        recorded_at=header.recorded_at,
    )


def exactly(value: Any) -> str:
    """1, 1.0 and True are equal in Python and different in JSON; 0.0 and -0.0 too."""
    return repr(value)


@given(BODIES)
def test_what_is_read_back_is_what_was_put_in(said: Touchpoint) -> None:
    read = decoded(encode_body(said), said)

    assert read == said
    assert exactly(read) == exactly(said)


@given(BODIES)
def test_the_digest_is_found_in_the_body(said: Touchpoint) -> None:
    assert digest_in(encode_body(said)) == said.digest


def test_a_body_holds_nothing_that_the_header_says() -> None:
    said = touchpoint(
        source="the-source", type="the_type", channel="the_channel", occurred_at=1234567, key="the-key"
    )

    body = encode_body(said).decode()

    assert not [
        word for word in ("the-source", "the_type", "the_channel", "1234567", "the-key") if word in body
    ]


def test_a_body_of_an_unknown_format_is_not_guessed_at() -> None:
    said = touchpoint()
    body = json.dumps(json.loads(encode_body(said)) | {"format": 999}).encode()

    with pytest.raises(BodyUnreadable, match="999"):
        decoded(body, said)


def test_cyrillic_is_stored_as_such() -> None:
    assert "Здравствуйте".encode() in encode_body(touchpoint(data={"text": "Здравствуйте"}))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_does_not_know_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical({"x": number})
    with pytest.raises(ValueError, match="JSON"):
        encode_body(touchpoint()._replace(data={"x": number}))


@given(OBJECTS, st.randoms())
def test_the_order_of_fields_does_not_change_the_digest(payload: dict[str, Any], random: Any) -> None:
    shuffled = list(payload.items())
    random.shuffle(shuffled)

    assert digest_of(dict(shuffled)) == digest_of(payload)


@given(JSON, JSON)
def test_two_payloads_have_one_digest_only_if_they_say_the_same(one: Any, other: Any) -> None:
    assert json.loads(canonical(one).decode("utf-8", "surrogatepass")) == one
    if canonical(one) == canonical(other):
        assert one == other
        assert digest_of(one) == digest_of(other)
    else:
        assert digest_of(one) != digest_of(other)


def test_canonical_json_has_one_spelling() -> None:
    assert (
        canonical({"б": [1, 2.5, None], "a": {"z": True, "y": "ё"}})
        == '{"a":{"y":"ё","z":true},"б":[1,2.5,null]}'.encode()
    )


@given(st.binary(max_size=300), st.binary(max_size=40))
def test_what_was_sealed_opens_with_the_same_key_and_associated_data(plain: bytes, associated: bytes) -> None:
    key = new_key()

    assert unseal(seal(plain, key, associated), key, associated) == plain


@given(st.binary(max_size=100), st.data())
def test_one_changed_bit_anywhere_is_noticed(plain: bytes, data: st.DataObject) -> None:
    key = new_key()
    sealed = bytearray(seal(plain, key, b"key"))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8

    with pytest.raises(BodyUnreadable):
        unseal(bytes(sealed), key, b"key")


def test_another_key_or_another_touchpoint_opens_nothing() -> None:
    key = new_key()
    sealed = seal(b"said", key, b"one")

    for other_key, associated in ((new_key(), b"one"), (key, b"two")):
        with pytest.raises(BodyUnreadable):
            unseal(sealed, other_key, associated)


@pytest.mark.parametrize("stump", [b"", b"short", bytes(12), bytes(27)])
def test_a_stump_is_no_body(stump: bytes) -> None:
    with pytest.raises(BodyUnreadable):
        unseal(stump, new_key(), b"")


def test_the_same_words_are_never_sealed_alike() -> None:
    key = new_key()

    assert len({seal(b"said", key, b"one") for _ in range(100)}) == 100


def test_a_wrapped_key_opens_under_its_master_key_and_its_own_name_only() -> None:
    key, master, name = new_key(), new_key(), new_key_id()
    wrapped = wrap(key, master, name)

    assert unwrap(wrapped, master, name) == key
    for other_master, other_name in ((new_key(), name), (master, new_key_id())):
        with pytest.raises(BodyUnreadable):
            unwrap(wrapped, other_master, other_name)


def test_a_permanent_id_is_a_keyed_hash_of_type_and_value() -> None:
    identity_key = IdentityKey(bytes(range(32)))

    # printf 'email:ann@example.test' | openssl dgst -sha256 -mac HMAC -macopt hexkey:000102…1f, first 32
    # digits
    assert identity_key.id_of(Identifier("email", "ann@example.test")) == "e822f369517591816c55d38d58137ed4"
    assert identity_key.id_of(Identifier("user_id", "ann@example.test")) != "e822f369517591816c55d38d58137ed4"
    assert (
        IdentityKey(new_key()).id_of(Identifier("email", "ann@example.test"))
        != "e822f369517591816c55d38d58137ed4"
    )


@given(TEXT, TEXT)
def test_two_identifiers_have_two_permanent_ids(one: str, other: str) -> None:
    identity_key = IdentityKey(bytes(32))
    ids = {identity_key.id_of(Identifier("user_id", value)) for value in (one, other)}

    assert len(ids) == len({one, other})


def test_a_secret_is_not_shown_with_its_object() -> None:
    assert repr(IdentityKey(b"secret" * 5)) == "IdentityKey()"


def test_each_purpose_has_a_key_of_its_own_the_same_wherever_the_identity_key_is() -> None:
    one, same, other = IdentityKey(bytes(32)), IdentityKey(bytes(32)), IdentityKey(bytes([1] * 32))
    keys = {one.key_for("desk session"), one.key_for("something else"), other.key_for("desk session")}
    assert len(keys) == 3
    assert {len(key) for key in keys} == {32}
    assert same.key_for("desk session") == one.key_for("desk session")
    assert one.key_for("email:ann@example.test").hex()[:32] != one.id_of(
        Identifier("email", "ann@example.test")
    )

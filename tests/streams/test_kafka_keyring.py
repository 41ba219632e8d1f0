"""What the keyring promises where several processes share it, each with a file of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.servers.kafka import Kafka
from tests.streams.sharing import LEASE_SECONDS, Shared
from tests.streams.touchpoints import Clock, touchpoint
from touchbook.errors import (
    FormatUnknown,
    JournalUnavailable,
    KeyDestroyed,
    StoreUnavailable,
    TopicsMissing,
    WrongMasterKey,
)
from touchbook.positions import part_of
from touchbook.schemas.touchpoint import Identifier
from touchbook.sealing import new_key
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_follower import AWAY_MS
from touchbook.streams.backends.kafka_journal import KafkaJournal
from touchbook.streams.backends.kafka_keyring import KafkaKeyring
from touchbook.streams.backends.kafka_producer import Row
from touchbook.streams.backends.sqlite_keyring import MASTER_KEY_FILE, opened

pytestmark = pytest.mark.server

PATIENCE = 60.0


@pytest.fixture
def shared(kafka: KafkaPlace, tmp_path: Path) -> Iterator[Shared]:
    with closing(Shared(kafka, tmp_path)) as shared:
        yield shared


@contextmanager
def held(keyring: KafkaKeyring) -> Iterator[None]:
    """What the topic brings does not reach this process, as if it were paused just before it read on."""
    go_on, apply = threading.Event(), keyring.apply

    def later(*given: object) -> None:
        go_on.wait(PATIENCE)
        apply(*given)  # type: ignore[arg-type]

    keyring.apply = later  # type: ignore[method-assign]
    try:
        yield
    finally:
        keyring.apply = apply  # type: ignore[method-assign]
        go_on.set()


def files_of(directory: Path) -> bytes:
    return b"".join(file.read_bytes() for file in directory.rglob("*") if file.is_file())


def is_gone(keyring: KafkaKeyring, key_id: str) -> bool:
    try:
        keyring.key(key_id)
    except KeyDestroyed:
        return True
    return False


def eventually(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


# Reading


def test_a_key_made_elsewhere_a_moment_ago_is_waited_for_and_never_taken_for_destroyed(
    shared: Shared,
) -> None:
    here, elsewhere = shared.keyring(), shared.keyring()
    with ThreadPoolExecutor(1) as threads:
        with held(here):
            [made] = elsewhere.data_keys(["ann"])
            found = threads.submit(here.key, made.key_id)
            time.sleep(0.3)
            assert not found.done()

        assert found.result(PATIENCE) == made.key


def test_a_key_that_cannot_be_waited_for_is_unknown_and_not_destroyed(shared: Shared) -> None:
    here, elsewhere = shared.keyring(patience=0.3), shared.keyring()
    with held(here):
        [made] = elsewhere.data_keys(["ann"])
        with pytest.raises(StoreUnavailable):
            here.key(made.key_id)

    assert eventually(lambda: here.follower.caught_up(1.0))
    assert here.key(made.key_id) == made.key


def test_two_doors_that_make_a_customer_s_first_key_at_once_both_made_one_that_counts(shared: Shared) -> None:
    one, other = shared.keyring(), shared.keyring(lease_seconds=PATIENCE)
    with held(other):
        [first] = one.data_keys(["ann"])
        [second] = other.data_keys(["ann"])

    for keyring in (one, other, shared.keyring()):
        assert keyring.key_ids(["ann"]) == sorted([first.key_id, second.key_id])
        assert (keyring.key(first.key_id), keyring.key(second.key_id)) == (first.key, second.key)
        assert keyring.data_keys(["ann"])[0] in (first, second)
    assert one.destroy(["ann"]) == sorted([first.key_id, second.key_id])


@pytest.mark.thorough
def test_known_keys_open_while_the_broker_is_away_and_none_is_given_to_seal_with(
    shared: Shared, kafka_server: Kafka
) -> None:
    keyring = shared.keyring(patience=0.5)
    [ann] = keyring.data_keys(["ann"])
    kafka_server.kill()
    time.sleep(2 * LEASE_SECONDS)

    assert keyring.key(ann.key_id) == ann.key
    for refused in (lambda: keyring.data_keys(["ann"]), lambda: keyring.confirm([ann.key_id]), keyring.probe):
        with pytest.raises(StoreUnavailable):
            refused()

    kafka_server.start()
    assert eventually(lambda: keyring.follower.caught_up(1.0))
    assert keyring.data_keys(["ann"]) == [ann]


# Erasing


class Time:
    """Seconds that a test sets, for all processes."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.passing: Callable[[], None] = lambda: None
        """Called at every step of `sleep`: what others do meanwhile."""

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        for _ in range(8):
            self.now += seconds / 8
            self.passing()


LEASE = 1.0
steps = st.lists(
    st.one_of(
        st.tuples(st.just("seal"), st.integers(0, 1)),
        st.tuples(st.just("erase"), st.integers(0, 1)),
        st.tuples(st.just("wait"), st.floats(0, 3 * LEASE)),
        st.tuples(st.just("hold"), st.booleans()),
    ),
    max_size=12,
)


def test_no_key_seals_longer_than_a_lease_after_another_process_retired_it(shared: Shared) -> None:
    clock = Time()
    eraser, door = (
        shared.keyring(lease_seconds=LEASE, clock=clock, sleep=clock.sleep, patience=PATIENCE) for _ in "12"
    )
    door._patience = 0.02  # who is held is not waited for
    retired_at: dict[str, float] = {}
    sealed = 0

    def seal(owner: str) -> None:
        nonlocal sealed
        try:
            [key] = door.data_keys([owner])
        except StoreUnavailable:
            return
        sealed += 1
        assert clock.now <= retired_at.get(key.key_id, clock.now) + LEASE

    numbers = iter(range(1_000))

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @example([("seal", 0), ("erase", 0)])  # the others may erase nobody who was sealed for
    @given(steps)
    def held_true(history: list[tuple[str, float]]) -> None:
        turn = next(numbers)
        holding = None
        try:
            for what, number in history:
                owner = f"{turn}-{number}"
                if what == "seal":
                    seal(owner)
                elif what == "wait":
                    clock.now += number
                elif what == "erase":
                    key_ids = eraser.key_ids([owner])

                    def passing(owner: str = owner, key_ids: list[str] = key_ids) -> None:
                        for key_id in key_ids:  # acknowledged before the first step, so at the latest then
                            retired_at.setdefault(key_id, clock.now - LEASE / 4)
                        seal(owner)

                    clock.passing = passing
                    eraser.destroy_keys(key_ids)
                    clock.passing = lambda: None
                elif number and holding is None:
                    holding = held(door)
                    holding.__enter__()
                elif not number and holding is not None:
                    holding.__exit__(None, None, None)
                    holding = None
        finally:
            if holding is not None:
                holding.__exit__(None, None, None)
        assert door.follower.caught_up(PATIENCE)
        before = sealed
        seal(f"{turn}-0")
        assert sealed == before + 1  # nobody is kept from sealing for good
        assert not set(retired_at) & {door.data_keys([f"{turn}-{n}"])[0].key_id for n in (0, 1)}

    held_true()
    assert retired_at


def test_what_was_sealed_before_a_pause_in_which_the_customer_was_erased_is_not_acknowledged(
    shared: Shared,
) -> None:
    paused, eraser = shared.keyring(), shared.keyring()
    ann, bob = paused.data_keys(["ann", "bob"])
    paused.confirm([ann.key_id, bob.key_id])

    eraser.destroy(["ann"])
    paused.heed()

    with pytest.raises(StoreUnavailable, match="retired"):
        paused.confirm([ann.key_id, bob.key_id])
    paused.confirm([bob.key_id])


def test_a_door_does_not_acknowledge_what_it_sealed_with_a_key_that_went_while_it_was_paused(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused, eraser = shared.keyring(), shared.keyring()
    with closing(KafkaJournal.at(shared.place, paused, Clock(), shared.producer)) as journal:
        subject = journal.id_of(touchpoint().subject)
        taken = paused.data_keys([subject])
        eraser.destroy([subject])
        paused.heed()
        with monkeypatch.context() as patched:
            patched.setattr(paused, "data_keys", lambda owners: taken)  # it goes on from where it was

            with pytest.raises(JournalUnavailable, match="retired"):
                journal.append([touchpoint()]).result(PATIENCE)

        [again] = journal.append([touchpoint()]).result(PATIENCE)
        assert again.outcome == "accepted"
        [*_, record] = journal.read(part=part_of(again.position))
        assert journal.open(record).data == touchpoint().data


def test_who_was_held_acknowledges_nothing_until_he_knows_what_happened(shared: Shared) -> None:
    clock = Time()
    keyring = shared.keyring(lease_seconds=LEASE, clock=clock)
    [ann] = keyring.data_keys(["ann"])
    with held(keyring):
        shared.keyring().data_keys(["bob"])  # something to be held before
        clock.now += 2 * LEASE
        with pytest.raises(StoreUnavailable, match="away"):
            keyring.confirm([ann.key_id])

    keyring.heed()
    keyring.confirm([ann.key_id])


def test_a_retired_key_still_opens_what_it_sealed_and_seals_nothing(shared: Shared) -> None:
    one, other = shared.keyring(), shared.keyring()
    [ann] = one.data_keys(["ann"])

    one.retire([ann.key_id])

    for keyring in (one, other, shared.keyring()):
        assert keyring.key(ann.key_id) == ann.key
        assert keyring.data_keys(["ann"]) != [ann]
    assert ann.key_id in other.destroy(["ann"])
    assert eventually(lambda: is_gone(one, ann.key_id))


def test_what_was_destroyed_leaves_no_copy_in_the_files_of_any_process(shared: Shared) -> None:
    one, other = shared.keyring("one"), shared.keyring("other")
    ann, bob = one.data_keys(["ann", "bob"])
    assert other.key(ann.key_id) == ann.key
    wrapped = {
        key_id: bytes(blob) for key_id, blob in one._db.execute("SELECT key_id, wrapped FROM data_keys")
    }
    assert wrapped[ann.key_id] in files_of(shared.folder("other"))

    one.destroy(["ann"])
    other.heed()

    for process in ("one", "other"):
        files = files_of(shared.folder(process))
        assert wrapped[ann.key_id] not in files
        assert wrapped[bob.key_id] in files
        assert not [key for key in (ann.key, bob.key) if key in files or key.hex().encode() in files]
        assert ann.key_id.encode() in files  # on the list of destroyed keys


def test_a_key_that_a_copy_of_the_topic_brings_back_stays_destroyed(shared: Shared) -> None:
    keyring = shared.keyring("one")
    ann, bob = keyring.data_keys(["ann", "bob"])
    keyring.destroy(["ann"])
    topic = shared.place.topic("keys")
    said = b'{"owner": "ann", "wrapped": "%s"}' % (b"00" * 60)
    fresh = shared.keyring("fresh", destroyed_keys=shared.folder("one") / "destroyed-keys.txt")

    shared.producer.send([Row(topic, 0, ann.key_id.encode(), said)]).result(PATIENCE)

    for one in (keyring, fresh):
        assert is_gone(one, ann.key_id)
        assert ann.key_id not in one.key_ids(["ann"])
        assert one.key(bob.key_id) == bob.key
    assert eventually(lambda: shared.keyring().key_ids(["ann"]) == [])  # gone for who never knew of it, too


@pytest.mark.parametrize("nothing_was_read", [False, True])
def test_a_process_that_was_away_when_a_key_went_has_lost_it_when_it_is_back(
    shared: Shared, nothing_was_read: bool
) -> None:
    """Also one that ended before it read what it had made itself."""
    keyring = shared.keyring("one")
    [bob] = keyring.data_keys(["bob"])
    lost = "f" * 32
    keyring.close()  # or its follower may say again that it is in step
    file = opened(shared.folder("one"))
    file.execute("INSERT INTO data_keys (key_id, owner, wrapped) VALUES (?, 'ann', ?)", (lost, new_key() * 2))
    file.execute("UPDATE followed_at SET in_step = in_step - ?", (AWAY_MS + 60_000,))
    if nothing_was_read:
        file.execute("DELETE FROM followed")
    file.close()
    assert b"ann" in files_of(shared.folder("one"))

    again = shared.keyring("one")

    assert is_gone(again, lost)
    assert again.data_keys(["bob"]) == [bob]
    assert again.key_ids(["ann"]) == []


def test_keys_of_items_that_are_set_aside_go_without_a_wait(shared: Shared) -> None:
    waited: list[float] = []
    keyring = shared.keyring(sleep=waited.append)
    keyring.data_keys(["set-aside:1", "ann"])

    keyring.destroy(["set-aside:1"])
    assert waited == []
    keyring.destroy(["ann"])
    assert waited == [2 * LEASE_SECONDS]


# Opening


def test_every_process_gives_the_same_permanent_ids_and_keeps_what_it_followed(shared: Shared) -> None:
    who = Identifier("email", "ann@example.test")
    one, other = shared.keyring("one"), shared.keyring("other")
    keys = one.data_keys([str(n) for n in range(100)])
    assert one.identity_key.id_of(who) == other.identity_key.id_of(who)
    assert eventually(lambda: other.follower.lag() == 0 and other.follower.caught_up(1.0))
    other.close()

    again = shared.keyring("other")
    assert [again.key(key_id) for key_id, _ in keys] == [key for _, key in keys]


def test_another_master_key_is_told_and_so_are_another_journal_s_keys_and_topics_that_are_not_there(
    shared: Shared, tmp_path: Path
) -> None:
    shared.keyring("one").close()
    other_place = KafkaPlace(bootstrap=shared.place.bootstrap, prefix=f"{shared.place.prefix}-other")

    with pytest.raises(TopicsMissing):
        KafkaKeyring.at(shared.folder("one"), other_place, shared.producer)

    wrong = tmp_path / "wrong.key"
    wrong.write_text(new_key().hex())
    with pytest.raises(WrongMasterKey, match="does not open"):
        KafkaKeyring.at(shared.folder("one"), shared.place, shared.producer, wrong)
    with pytest.raises(WrongMasterKey, match="no such file"):
        KafkaKeyring.at(shared.folder("new"), shared.place, shared.producer)

    (tmp_path / "other").mkdir()
    with (
        closing(Shared(other_place, tmp_path / "other")) as other,
        pytest.raises(FormatUnknown, match="another"),
    ):
        KafkaKeyring.at(shared.folder("one"), other_place, shared.producer, other.directory / MASTER_KEY_FILE)


def test_keys_of_another_keyring_are_taken_as_they_are(shared: Shared) -> None:
    keyring = shared.keyring("one")
    [ann] = keyring.data_keys(["ann"])
    wrapped = keyring._db.execute("SELECT wrapped FROM data_keys").fetchone()[0]
    keyring.destroy(["ann"])

    for _ in range(2):
        keyring.take([("e" * 32, "bob", wrapped), (ann.key_id, "ann", wrapped)])

    assert keyring.key_ids(["bob"]) == ["e" * 32]
    assert keyring.key_ids(["ann"]) == []
    assert is_gone(keyring, ann.key_id)

"""Full and failing disks: an errno at the n-th write, fsync, open or rename of the data directory's files."""

from __future__ import annotations

import errno
import json
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import pytest

from tests.books import NOON, SHOP, a_book, event
from tests.faults.check import digests_of, left_over, opened, recorded
from tests.faults.cycles import NEVER, Cycles, wait
from tests.faults.load import Client, Sent, load, send_again
from tests.faults.servers import Command, Directory, Forked
from tests.faults.shim import CHANGES, ERRNOS, FAIL, Faults
from touchbook.projections.stores.sqlite import POINTER, serving

pytestmark = pytest.mark.timeout(600)
ONE = random.Random(0)


@dataclass
class Failing:
    """A server whose disk fails when we say so."""

    cycles: Cycles
    faults: Faults
    server: Command
    url: str
    client: Client

    def ready(self) -> bool:
        return self.client.get("/readyz") == 200

    def recovers(self) -> None:
        """The disk is well again: the server goes on as it is, with nothing done to it."""
        self.faults.clear()
        send_again(self.client, self.cycles.sent)
        assert wait(self.ready, NEVER), self.client.last


@contextmanager
def failing(forked: Forked, tmp_path: Path, *, reference: bool = False) -> Iterator[Failing]:
    """In the end the server is stopped as it should be, and everything is compared."""
    faults = Faults(tmp_path / "book", tmp_path)
    cycles = Cycles(faults.under, tmp_path, replace(forked, environment=faults.environment))
    server, url = cycles.directory.served(cycles.run)
    client = cycles.client(url)
    assert client.publish_new() == 200
    yield Failing(cycles, faults, server, url, client)
    faults.clear()
    assert server.end() == 0
    assert "Traceback" not in server.err.read_text()
    assert not opened(cycles.path, cycles.sent, reference)


def one_of_a_known_customer(at: Failing) -> int:
    return at.client.publish([at.cycles.sent.new(ONE, {"user_id": "u0"})])


def one_of_a_new_customer(at: Failing) -> int:
    return at.client.publish([at.cycles.sent.new(ONE, {"user_id": f"new-{len(at.cycles.sent.items)}"})])


def a_batch(at: Failing) -> int:
    return at.client.publish([at.cycles.sent.new(ONE, {"user_id": f"u{n}"}) for n in range(30)])


def a_broken_one(at: Failing) -> int:
    return at.client.publish_rejected(event("page_viewed", who={}, id=f"broken-{ONE.random()}"))


def an_id_used_before(at: Failing) -> int:
    known = at.cycles.sent.acknowledged[0]
    return at.client.publish_rejected(
        event("page_viewed", {"n": ONE.random()}, who="u1", id=known, days_ago=900)
    )


@pytest.mark.parametrize(
    "doing", [one_of_a_known_customer, one_of_a_new_customer, a_batch, a_broken_one, an_id_used_before]
)
def test_a_door_answers_503_for_what_the_disk_refuses_and_200_when_it_takes_it_again(
    forked: Forked, tmp_path: Path, doing: Callable[[Failing], int]
) -> None:
    """The n-th operation fails, for every n that the publishing comes to; the fold may be hit instead."""
    with failing(forked, tmp_path) as at:
        for error in ERRNOS:
            refused = 0
            for skip in range(12):
                at.faults.set(FAIL, CHANGES, error=error, skip=skip, times=1 if skip % 2 else -1)
                status = doing(at)
                assert status in (200, 422, 503), errno.errorcode[error]
                refused += status == 503
                at.recovers()
            assert refused, errno.errorcode[error]


def test_readiness_says_what_is_wrong_and_what_to_do_until_the_disk_is_well(
    forked: Forked, tmp_path: Path
) -> None:
    with failing(forked, tmp_path) as at:
        for error in ERRNOS:
            with at.faults.failing(error):
                assert one_of_a_known_customer(at) == 503
                assert not at.ready()
                assert not at.ready()  # asking does not mend it
                said = at.client.last["checks"]["journal"]
                assert "disk" in said
                assert "goes on by itself" in said
            # While nobody publishes: a balancer sends nothing to a server that is not ready.
            assert wait(at.ready, NEVER), errno.errorcode[error]


def test_the_fold_waits_for_its_disk_and_readiness_tells_of_it(forked: Forked, tmp_path: Path) -> None:
    with failing(forked, tmp_path) as at:
        for place, skip in enumerate((0, 1, 2, 3, 5, 8, 13)):
            with at.faults.failing(ERRNOS[place % len(ERRNOS)], CHANGES, name="projections-", skip=skip):
                assert a_batch(at) == 200
                if wait(lambda: at.faults.failed > 0, 1.0):
                    assert wait(lambda: not at.ready(), NEVER)
                    assert "disk" in at.client.last["checks"]["follower"]
            at.recovers()


def test_under_load_a_disk_that_fails_now_and_then_loses_nothing(forked: Forked, tmp_path: Path) -> None:
    rnd = random.Random(11)
    with failing(forked, tmp_path, reference=True) as at:
        cycles = at.cycles
        with load(at.url, cycles.key, cycles.agent, cycles.sent, seed=11):
            for _ in range(20):
                error, skip, times = rnd.choice(ERRNOS), rnd.randrange(40), rnd.choice([1, 3, -1])
                at.faults.set(FAIL, CHANGES, error=error, skip=skip, times=times)
                wait(lambda: False, 0.06)
                at.faults.clear()
                wait(lambda: False, 0.03)
        assert cycles.sent.refused
        at.recovers()


def every_failing(faults: Faults, step: int, name: str = "") -> Iterator[int]:
    """Lets the disk fail from the n-th operation on, every `step`-th n, until a run comes to no failure. The errno
    changes every time."""
    skip = 0
    while True:
        faults.set(FAIL, CHANGES, error=ERRNOS[skip // step % len(ERRNOS)], skip=skip, name=name)
        yield skip
        if not faults.failed:
            break
        skip += step
    faults.clear()


def test_a_rebuild_that_the_disk_refuses_leaves_what_serves_and_no_file(
    forked: Forked, tmp_path: Path
) -> None:
    with failing(forked, tmp_path) as at:
        for _ in range(3):
            a_batch(at)
        at.recovers()
    faults, directory = at.faults, at.cycles.directory
    before, served = digests_of(directory.path), serving(directory.path)
    served_before = served
    for _ in chain(every_failing(faults, step=29), every_failing(faults, step=1, name=POINTER)):
        done = directory.command(at.cycles.run, "rebuild", "--json")
        if done.child.wait():
            assert faults.failed
            assert "Traceback" not in done.err.read_text()
            assert serving(directory.path) == served
            assert not left_over(directory.path)
        served_before, served = served, serving(directory.path)
    assert served != served_before
    assert not left_over(directory.path)
    assert digests_of(directory.path) == before


def test_a_first_start_that_the_disk_refuses_is_simply_repeated(forked: Forked, tmp_path: Path) -> None:
    (tmp_path / "control").mkdir()
    faults = Faults(tmp_path / "book", tmp_path / "control")
    run = replace(forked, environment=faults.environment)
    for skip in every_failing(faults, step=31):
        shutil.rmtree(faults.under, ignore_errors=True)
        directory = Directory(faults.under, tmp_path)
        server = directory.serve(run)
        if server.url() is None:
            assert server.child.wait() == 1
            assert "Traceback" not in server.err.read_text()
        else:
            server.kill()
        sent = Sent()
        with a_book(directory.path) as book:
            id = sent.new(ONE)
            [outcome] = book.admission.admit([sent.items[id]], SHOP, NOON).result(NEVER)
            sent.answered([id], [str(outcome.position)])
        assert not recorded(directory.path, sent), skip
        assert not left_over(directory.path)


def test_an_access_key_is_told_only_when_it_is_there_for_good(forked: Forked, tmp_path: Path) -> None:
    faults = Faults(tmp_path / "book", tmp_path)
    cycles = Cycles(faults.under, tmp_path, replace(forked, environment=faults.environment))
    told = set()
    for _ in every_failing(faults, step=3):
        made = cycles.directory.command(
            cycles.run, "keys", "create", "--role", "admin", "--source", "tests", "--json"
        )
        assert made.child.wait() == (0 if made.out.read_text() else 1)
        if said := made.out.read_text():
            told.add(json.loads(said)["id"])
    listed = cycles.directory.command(cycles.run, "keys", "list", "--json")
    assert listed.child.wait() == 0
    assert told
    assert told <= {one["id"] for one in json.loads(listed.out.read_text())["items"]}

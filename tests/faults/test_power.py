"""A loss of power: what was not forced to disk is gone. `kill -9` alone proves nothing about that."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.books import event
from tests.faults.check import Findings
from tests.faults.cycles import Cycles
from tests.faults.load import Client, Sent
from tests.faults.servers import Directory, Forked
from tests.faults.shim import CHANGES, KILL_BEFORE, SYNC, UNLINK, Faults, Power
from touchbook.projections.stores.sqlite import serving

pytestmark = pytest.mark.timeout(600)


def powered(forked: Forked, tmp_path: Path, seed: int) -> tuple[Cycles, Power]:
    power = Power(tmp_path / "book", tmp_path)
    return Cycles(tmp_path / "book", tmp_path, replace(forked, environment=power.environment), seed), power


def losses(cycles: Cycles, power: Power, times: int = 7, torn: random.Random | None = None) -> Findings:
    """So many servers under load, and each time the power goes."""
    for _ in range(times):
        cycles.cycle()
        power.lose(torn)
        cycles.look()
    return cycles.found


@pytest.mark.parametrize("seed", [1, 2])
def test_what_was_acknowledged_survives_the_loss_of_all_that_was_not_forced_to_disk(
    forked: Forked, tmp_path: Path, seed: int
) -> None:
    cycles, power = powered(forked, tmp_path, seed)
    assert not losses(cycles, power), cycles.told()
    assert not cycles.finish(), cycles.told()


@pytest.mark.parametrize("seed", [3, 4])
def test_it_survives_a_disk_that_wrote_any_part_of_the_rest_in_any_order(
    forked: Forked, tmp_path: Path, seed: int
) -> None:
    cycles, power = powered(forked, tmp_path, seed)
    assert not losses(cycles, power, torn=random.Random(seed)), cycles.told()
    assert not cycles.finish(), cycles.told()


def test_the_loss_of_power_bites_without_waiting_for_the_disk_touchpoints_are_lost(
    forked: Forked, tmp_path: Path
) -> None:
    """The same run with PRAGMA synchronous = OFF must lose what it acknowledged, or the tests above prove nothing."""
    cycles, power = powered(forked, tmp_path, 5)
    cycles.cycle()
    power.lose()
    cycles.run = replace(forked, environment=power.environment, loose=True)
    assert losses(cycles, power, 3).lost


def test_an_acknowledged_key_opens_after_a_loss_of_power(forked: Forked, tmp_path: Path) -> None:
    cycles, power = powered(forked, tmp_path, 6)
    power.lose()  # two keys were made, and told, and nothing else ever happened here
    server, url = cycles.directory.served(cycles.run)
    client = cycles.client(url)
    assert client.publish_new() == 200
    assert client.get("/v1/customers/user_id:nobody") == 404
    server.kill()


def a_known_customer(client: Client, sent: Sent) -> int:
    return client.publish(sorted(sent.waiting) or [sent.new(random.Random(1), {"user_id": "known"})])


def a_new_customer(client: Client, sent: Sent) -> int:
    return client.publish(sorted(sent.waiting) or [sent.new(random.Random(1), {"user_id": "new"})])


def a_broken_event(client: Client, sent: Sent) -> int:
    return client.publish_rejected(event("page_viewed", who={}, id="broken"))


@pytest.mark.parametrize(
    ("file", "doing"),
    [("journal", a_known_customer), ("keyring", a_new_customer), ("control", a_broken_event)],
)
def test_what_a_killed_server_left_unforced_is_forced_before_anybody_is_told_of_it(
    forked: Forked, tmp_path: Path, file: str, doing: Callable[[Client, Sent], int]
) -> None:
    """Killed between write and fsync, it leaves a record, a key, an item that its successor finds. The retry is told
    `duplicate`, which promises as much as `accepted`: it has to be on the disk by then."""
    cycles, power = powered(forked, tmp_path, 7)
    server, url = cycles.directory.served(cycles.run)
    assert a_known_customer(cycles.client(url), cycles.sent) == 200
    assert server.end() == 0
    faults = Faults(cycles.path, tmp_path)
    server, url = cycles.directory.served(
        replace(forked, environment={**faults.environment, **power.environment})
    )
    faults.set(KILL_BEFORE, SYNC, skip=1, times=1, name=f"{file}.sqlite-wal")  # after the log's header
    assert doing(cycles.client(url), cycles.sent) == 0
    server.child.wait()
    faults.clear()
    power.survive()
    server, url = cycles.directory.served(cycles.run)
    assert doing(cycles.client(url), cycles.sent) in (200, 422)
    server.kill()
    power.lose()
    assert not cycles.look(), cycles.told()
    assert not cycles.finish(), cycles.told()


def test_a_rebuild_is_on_the_disk_before_it_serves(forked: Forked, tmp_path: Path) -> None:
    cycles, power = powered(forked, tmp_path, 8)
    cycles.cycle()
    cycles.finish(reference=False)
    power.begin()
    old = serving(cycles.path)
    done = cycles.directory.command(cycles.run, "rebuild", "--json")
    assert done.child.wait() == 0, done.err.read_text()
    power.lose()
    assert serving(cycles.path) not in (None, old)
    assert not cycles.finish(reference=False)


def test_a_first_start_survives_a_loss_of_power_at_any_moment(forked: Forked, tmp_path: Path) -> None:
    rnd = random.Random(9)
    power, faults = Power(tmp_path / "book", tmp_path), Faults(tmp_path / "book", tmp_path)
    directory = Directory(power.under, tmp_path)
    both = replace(forked, environment={**faults.environment, **power.environment})
    for _ in range(12):
        faults.set(KILL_BEFORE, CHANGES | UNLINK, skip=rnd.randrange(90), times=1)
        server = directory.serve(both)
        if server.url() is not None:
            server.kill()
        server.child.wait()
        power.lose(rnd if rnd.random() < 0.5 else None)
        if rnd.random() < 0.3:
            shutil.rmtree(power.under)
            power.begin()
    cycles = Cycles(power.under, tmp_path, replace(forked, environment=power.environment))
    assert not losses(cycles, power, 1)
    assert not cycles.finish(reference=False)

"""What is done to a directory at the points of each scenario, and what must be true after every kill."""

from __future__ import annotations

import json
import random
import stat
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

from tests.books import NOON, SHOP, a_book
from tests.faults.check import Findings, at_rest, digests_of, left_over, recorded
from tests.faults.cycles import NEVER, Cycles, wait
from tests.faults.load import Sent
from tests.faults.points import Point, Scenario, arm, points_of
from tests.faults.servers import Command, Directory, Forked
from tests.faults.shim import Faults
from touchbook.projections.fold import projection_version
from touchbook.projections.stores.sqlite import POINTER, serving
from touchbook.schemas.catalogue import Catalogue
from touchbook.schemas.mapping import Mapping
from touchbook.streams.backends.sqlite_journal import LOCK_FILE

NO_SECRETS = {POINTER, LOCK_FILE}


class Points:
    """Kills commands of `forked` at the points of a scenario, in directories of `scratch`."""

    def __init__(self, forked: Forked, scratch: Path, seed: int = 0) -> None:
        self.forked = forked
        self.scratch = scratch
        self.seed = seed
        self.killed: list[Point] = []
        self.directories: list[Cycles] = []

    def go_through(self, scenario: Scenario) -> Findings:
        """Every point of the scenario; what is wrong afterwards. Raises AssertionError for what is wrong at once."""
        return _SCENARIOS[scenario](self, points_of(scenario))

    def cycles(self, name: str) -> Cycles:
        folder = self.scratch / f"{name}-{len(self.directories)}"
        folder.mkdir()
        made = Cycles(folder / "book", folder, self.forked, self.seed + len(self.directories))
        self.directories.append(made)
        return made

    def killed_at(self, point: Point, directory: Directory, *command: object) -> Command:
        """The command, once it killed itself there."""
        with self.armed(point, directory.path) as run:
            done = directory.command(run, *command)
            assert wait(done.gone, NEVER), f"{point}: never reached"
        assert done.child.wait() == -9, f"{point}: never reached; {done.err.read_text()[-1_000:]}"
        self.killed.append(point)
        return done

    def armed(self, point: Point, path: Path) -> _Armed:
        return _Armed(point, self.forked, Faults(path, self.scratch) if point.of_a_file else None)


class _Armed:
    """A way to start the command that does not survive the point."""

    def __init__(self, point: Point, forked: Forked, faults: Faults | None) -> None:
        self._faults = faults
        if faults is None:
            self._run = replace(forked, point=(point.where, point.when, point.hit))
        else:
            arm(point, faults)
            self._run = replace(forked, environment={**forked.environment, **faults.environment})

    def __enter__(self) -> Forked:
        return self._run

    def __exit__(self, *_: object) -> None:
        if self._faults is not None:
            self._faults.clear()


def first_start(points: Points, at: Iterable[Point]) -> Findings:
    """Whatever was made before the kill is gone on with: never a second master key, never a directory that is stuck."""
    found = Findings()
    for point in at:
        folder = points.scratch / f"first-{len(points.killed)}"
        folder.mkdir()
        directory = Directory(folder / "book", folder)
        points.killed_at(point, directory, "serve", "--port", 0, "--log-level", "warning", "--json")
        before = _master_key(directory.path)
        sent = Sent()
        with a_book(directory.path) as book:
            ids = [sent.new(random.Random(points.seed)) for _ in range(3)]
            outcomes = book.admission.admit([sent.items[id] for id in ids], SHOP, NOON).result(NEVER)
            sent.answered(ids, [str(one.position) for one in outcomes])
        assert before in (None, _master_key(directory.path)), f"{point}: another master key"
        found.add(recorded(directory.path, sent))
        found.other += [f"{point}: {one}" for one in [*left_over(directory.path), *unsafe(directory.path)]]
    return found


def keys_create(points: Points, at: Iterable[Point]) -> Findings:
    """A key that was told opens; one that was not told is there whole or not at all, and the next is made."""
    cycles = points.cycles("keys")
    for point in at:
        done = points.killed_at(
            point, cycles.directory, "keys", "create", "--role", "publish", "--source", "shop", "--json"
        )
        assert done.out.read_text() == "", f"{point}: told before the end"
        cycles.key = cycles.directory.key(points.forked, "publish", "shop", "--channel", "web_chat")
        listed = cycles.directory.command(points.forked, "keys", "list", "--json")
        assert listed.child.wait() == 0, listed.err.read_text()
        assert all(one["source"] for one in json.loads(listed.out.read_text())["items"])
    _some_load(cycles)
    return cycles.finish(reference=False)


def publish(points: Points, at: Iterable[Point]) -> Findings:
    """Nothing that was answered is lost, nothing is twice, and the next server opens by itself."""
    cycles = points.cycles("publish")
    for point in at:
        with points.armed(point, cycles.path) as run:
            try:
                cycles.cycle(run=run, until_gone=True)
            except AssertionError as error:
                raise AssertionError(f"{point}: {error}") from None
        points.killed.append(point)
        assert not cycles.look(), f"{point}: {cycles.found}"
    return cycles.finish()


def rebuild(points: Points, at: Iterable[Point]) -> Findings:
    """What served goes on serving, and the next rebuild leaves nothing of those that were killed."""
    cycles = points.cycles("rebuild")
    _some_load(cycles)
    cycles.finish(reference=False)
    before = digests_of(cycles.path)
    for point in at:
        points.killed_at(point, cycles.directory, "rebuild")
        assert digests_of(cycles.path) == before, str(point)
    command = cycles.directory.command(points.forked, "rebuild", "--json")
    assert command.child.wait() == 0, command.err.read_text()
    assert digests_of(cycles.path) == before
    found = cycles.finish(reference=False)
    found.other += left_over(cycles.path)
    return found


def new_version(points: Points, at: Iterable[Point]) -> Findings:
    """The old one serves until the new one is whole; the next start goes on by itself, and clears up."""
    cycles = points.cycles("version")
    _some_load(cycles)
    found = Findings()
    for number, point in enumerate(at):
        mapping = cycles.scratch / f"mapping-{number}.yaml"
        mapping.write_text(f"Bell {number} rung: {{signals: [account_closed]}}\n")
        more = ("--mapping", mapping)
        points.killed_at(
            point, cycles.directory, "serve", "--port", 0, "--json", "--log-level", "error", *more
        )
        assert serving(cycles.path) is not None, str(point)
        server, url = cycles.directory.served(points.forked, *more)
        wanted = f"projections-{projection_version(Catalogue(Mapping.load(mapping)))}-"
        assert wait(partial(_serves, cycles.path, wanted), NEVER), f"{point}: it is not built anew"
        client = cycles.client(url)
        assert wait(lambda client=client: client.get("/readyz") == 200, NEVER), f"{point}: {client.last}"
        client.close()
        assert server.end() == 0
        found.other += [f"{point}: {one}" for one in left_over(cycles.path)]
    found.add(at_rest(cycles.path, cycles.sent))
    return found


def unsafe(path: Path) -> list[str]:
    """Files with personal data or keys that others than their owner can read."""
    return [
        f"{file.name} is open to others"
        for file in path.iterdir()
        if file.name not in NO_SECRETS and stat.S_IMODE(file.stat().st_mode) & 0o077
    ]


def _serves(path: Path, name: str) -> bool:
    current = serving(path)
    return current is not None and current.name.startswith(name)


def _some_load(cycles: Cycles) -> None:
    cycles.cycle()
    assert not cycles.look(), cycles.found


def _master_key(path: Path) -> str | None:
    file = path / "master.key"
    return file.read_text() if file.exists() else None


_SCENARIOS: dict[Scenario, Callable[[Points, Iterable[Point]], Findings]] = {
    "first start": first_start,
    "keys create": keys_create,
    "publish": publish,
    "rebuild": rebuild,
    "new version": new_version,
}

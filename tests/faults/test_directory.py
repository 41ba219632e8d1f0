"""The files of a data directory: whose they are, what is left of what was cut short, and what does not fit together."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.books import a_book, event, folded, publish
from tests.cli.commands import run
from tests.faults.check import left_over
from tests.faults.cycles import NEVER, Cycles, wait
from tests.faults.scenarios import unsafe
from tests.faults.servers import Forked
from tests.faults.shim import FAIL, WRITE, Faults
from touchbook.cli.exits import FAILED
from touchbook.projections.fold import projection_version
from touchbook.projections.stores.sqlite import build, serving
from touchbook.schemas.catalogue import Catalogue
from touchbook.schemas.mapping import Mapping
from touchbook.streams.rebuild import _alone


@pytest.fixture
def open_to_all() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_to_all")
def test_only_their_owner_reads_its_files_whatever_the_directory_and_the_umask_say(tmp_path: Path) -> None:
    (tmp_path / "book").mkdir(mode=0o777)
    with a_book(tmp_path / "book") as book:
        publish(book, [event("page_viewed", id="one"), event("page_viewed", who={}, id="broken")])
        folded(book)
        assert not unsafe(tmp_path / "book")
    assert not unsafe(tmp_path / "book")


def test_the_next_start_deletes_what_a_killed_rebuild_left(tmp_path: Path) -> None:
    with a_book(tmp_path) as book:
        publish(book, [event("page_viewed", id="one")])
        before = folded(book).projections.digest()
        build(tmp_path, book.version)
        (tmp_path / ".master.key.1.abc").write_text("a draft")
    with a_book(tmp_path) as book:
        assert not left_over(tmp_path)
        assert book.projections.digest() == before


def test_a_start_leaves_alone_what_a_running_rebuild_is_making(tmp_path: Path) -> None:
    with a_book(tmp_path) as book:
        version = book.version
    with _alone(tmp_path):
        made = build(tmp_path, version)
        with a_book(tmp_path):
            assert made.exists()


def test_projections_ahead_of_the_journal_are_folded_anew(tmp_path: Path) -> None:
    """As where an older journal was put back: the next records get positions that count as folded already."""
    with a_book(tmp_path) as book:
        publish(book, [event("page_viewed", id="one")])
    kept = (tmp_path / "journal.sqlite").read_bytes()
    with a_book(tmp_path) as book:
        publish(book, [event("page_viewed", id=id) for id in ("two", "three")])
        folded(book)
    (tmp_path / "journal.sqlite").write_bytes(kept)
    with a_book(tmp_path) as book, a_book() as expected:
        for one in (book, expected):
            publish(one, [event("page_viewed", id=id) for id in ("one", "four")])
        assert folded(book).projections.digest() == folded(expected).projections.digest()


def test_projections_that_are_gone_or_cut_off_before_they_served_are_made_again(tmp_path: Path) -> None:
    with a_book(tmp_path) as book:
        publish(book, [event("page_viewed", id="one")])
        before = folded(book).projections.digest()
    for file in sorted(tmp_path.glob("projections*"), reverse=True):
        file.unlink(missing_ok=True)
        with a_book(tmp_path) as book:
            assert folded(book).projections.digest() == before


def test_a_new_version_that_the_disk_refuses_is_built_by_itself_when_there_is_room(
    forked: Forked, tmp_path: Path
) -> None:
    faults = Faults(tmp_path / "book", tmp_path)
    cycles = Cycles(faults.under, tmp_path, replace(forked, environment=faults.environment))
    server, url = cycles.directory.served(cycles.run)
    assert cycles.client(url).publish_new() == 200
    assert server.end() == 0
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text("Bell rung: {signals: [account_closed]}\n")
    wanted = f"projections-{projection_version(Catalogue(Mapping.load(mapping)))}"
    faults.set(FAIL, WRITE, error=28, name=wanted)
    server, url = cycles.directory.served(cycles.run, "--mapping", mapping)
    client = cycles.client(url)
    assert wait(lambda: client.get("/readyz") == 503, NEVER)
    assert "disk is full" in client.last["checks"]["projections"]
    assert client.publish_new() == 200
    faults.clear()
    assert wait(lambda: client.get("/readyz") == 200, NEVER)
    assert wait(lambda: str(serving(faults.under)).find(wanted) > 0, NEVER)
    assert server.end() == 0
    assert not left_over(faults.under)


def test_a_file_system_that_is_really_full_refuses_and_goes_on_when_there_is_room(
    forked: Forked, small_disk: Path
) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(2**20))
    (small_disk / "scratch").mkdir()
    cycles = Cycles(small_disk / "book", small_disk.parent, forked)
    server, url = cycles.directory.served(cycles.run)
    client = cycles.client(url)
    assert wait(lambda: client.publish_new(most=60) == 503, NEVER)
    assert wait(lambda: client.get("/readyz") == 503, NEVER)
    assert "disk" in client.last["detail"]
    assert "free space there" in client.last["detail"]
    ballast.unlink()
    assert wait(lambda: client.get("/readyz") == 200, NEVER), client.last
    assert wait(lambda: client.publish_waiting() == 200, NEVER)
    assert server.end() == 0
    shutil.copytree(small_disk / "book", small_disk.parent / "roomy")
    cycles.path = small_disk.parent / "roomy"
    cycles.directory.path = cycles.path
    assert not cycles.finish(reference=False)


def test_a_file_system_that_is_read_only_is_said_to_be(
    small_disk: Path, sealed_disk: Callable[[], None], tmp_path: Path
) -> None:
    data = small_disk / "book"
    with a_book(data) as book:
        publish(book, [event("page_viewed")])
    sealed_disk()
    for asked in (
        ("serve", "--data", data, "--port", 0),
        ("timeline", "user_id:ann", "--data", data),
        ("backup", tmp_path / "backup", "--data", data),
        ("backup", small_disk / "backup", "--data", data),
        ("keys", "create", "--role", "agent", "--source", "desk", "--data", small_disk / "new"),
    ):
        refused = run(*asked)
        assert refused.exit_code == FAILED
        assert "mount it for writing, or name another directory" in refused.stderr


def test_files_that_must_not_grow_refuse_and_go_on_when_they_may(forked: Forked, tmp_path: Path) -> None:
    """A limit of the process stands for the full file system where nobody may mount one."""
    cycles = Cycles(tmp_path / "book", tmp_path, forked)
    server, url = cycles.directory.served(cycles.run)
    client = cycles.client(url)
    assert client.publish_new() == 200
    largest = max(file.stat().st_size for file in cycles.path.iterdir())
    _, hard = resource.prlimit(server.child.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.child.pid, resource.RLIMIT_FSIZE, (largest + 2**16, hard))
    assert wait(lambda: client.publish_new(most=60) == 503, NEVER)
    assert wait(lambda: client.get("/readyz") == 503, NEVER)
    assert "disk" in client.last["detail"]
    resource.prlimit(server.child.pid, resource.RLIMIT_FSIZE, (hard, hard))
    assert wait(lambda: client.get("/readyz") == 200, NEVER), client.last
    assert wait(lambda: client.publish_waiting() == 200, NEVER)
    assert server.end() == 0
    assert not cycles.finish(reference=False)

"""`touchbook doctor`: is it well? Every hop of a touchpoint timed, and clock, disk, keys and limits looked at."""

from __future__ import annotations

import os
import random
import resource
import secrets
import shutil
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

import typer

from touchbook.cli.exits import (
    DONE,
    FAILED,
    REFUSED,
    UNREACHABLE,
    RefusedByServer,
    Unreachable,
    code_of,
    message_of,
)
from touchbook.cli.options import AsJson, Config, Data, Key, To, one_machine, settings_of
from touchbook.cli.output import show_json, show_rows

if TYPE_CHECKING:
    from touchbook.cli.remote import Server
    from touchbook.settings import Settings
    from touchbook.wiring import Book

PROBE = "doctor_probe"
"""The type of the touchpoint it sends; no score reads it."""
PROBED = "touchbook-doctor"
"""The user_id it is sent under, a customer for nothing else."""

OF_AN_AGENT = "tb_agent_"
A_BETTER_KEY = "use a key of role channel, which may publish and read, or --no-probe"
A_NEW_KEY = "`touchbook keys create --role channel` where the server's data is; it may have been revoked"

BUSY = "the server is busy: look at its processor, and at other load on its machine"

SLOW_SECONDS = 1.0
"""What accepted requests keep to even under overload; a hop that takes longer is told."""
VISIBLE_WITHIN = 10
SKEW_SECONDS, TOO_MUCH_SKEW_SECONDS = 2, 300
"""From five minutes on the server moves the times that clients send."""
STEPPED_SECONDS = 0.05
LAG, TOO_MUCH_LAG = 1_000, 50_000
FREE_SHARE, FREE_BYTES, TOO_FEW_BYTES = 0.1, 2 * 2**30, 256 * 2**20
FSYNCS, SLOW_FSYNC_SECONDS = 20, 0.02
SAMPLE = 50
FILES_BESIDE_CONNECTIONS = 200
MEMORY_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `next` is what to do about it, empty where there is nothing to do."""

    check: str
    status: Literal["ok", "warn", "fail"]
    found: str
    next: str = ""
    milliseconds: float | None = None
    exit: int = FAILED


def doctor(
    data: Data = None,
    to: To = None,
    key: Key = None,
    probe: Annotated[
        bool, typer.Option("--probe/--no-probe", help="With --to: send a touchpoint and follow it.")
    ] = True,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="With a data directory: also let SQLite check every page of its files."),
    ] = False,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Look whether everything is well, and say what to do where it is not.

    With --to and a key of role channel: sends a touchpoint of type doctor_probe under user_id:touchbook-doctor, which
    stays in the journal, and times each hop until a score is read. With --data, or without --to: the disk, the keys and
    the projections of a data directory, beside a running server. Both may be given where they are the same.
    """
    began = time.time(), time.monotonic()
    findings: list[Finding] = []
    if to is not None:
        from touchbook.cli.remote import Server

        with Server(to, key) as server:
            findings += _examined(_server(server, probe, str(key)), "server")
    if to is None or data is not None:
        settings = settings_of(config, data=data)
        one_machine(settings, "ask a replica: touchbook doctor --to URL --key KEY")
        findings += _examined(_directory(settings, deep), "data directory")
    findings.append(_steady(*began))
    worst = max((("ok", "warn", "fail").index(one.status) for one in findings), default=0)
    if as_json:
        checks = [{name: value for name, value in asdict(one).items() if name != "exit"} for one in findings]
        show_json({"status": ("ok", "warn", "fail")[worst], "checks": checks})
    else:
        show_rows(
            ("status", "check", "found", "what to do"),
            [(one.status, one.check, one.found, one.next) for one in findings],
        )
    if code := max((one.exit for one in findings if one.status == "fail"), default=DONE):
        raise typer.Exit(code)


def _examined(examination: Iterator[Finding], what: str) -> list[Finding]:
    """What it finds; an error that ends it is the last finding."""
    found: list[Finding] = []
    try:
        for one in examination:
            found.append(one)
    except Exception as error:
        code = code_of(error)
        if code not in (FAILED, REFUSED, UNREACHABLE):
            raise
        found.append(
            Finding(what, "fail", message_of(error), "the rest of it could not be looked at", exit=code)
        )
    return found


def _steady(system: float, monotonic: float) -> Finding:
    """Durations are taken from one clock and times of touchpoints from the other."""
    apart = (time.time() - system) - (time.monotonic() - monotonic)
    if abs(apart) > STEPPED_SECONDS:
        found = f"the system clock was moved by {apart:+.2f} s while this ran"
        return Finding(
            "clock steady", "warn", found, "look at this machine's time service; it should slew, not step"
        )
    return Finding("clock steady", "ok", "system and monotonic clock went alike")


# A server


def _server(server: Server, probe: bool, key: str) -> Iterator[Finding]:
    yield _connect(server)
    answer, seconds = _timed(lambda: server.raw("/healthz"))
    yield _hop(
        "answer", seconds, "the server is busy: look at its processor, and at other load on its machine"
    )
    yield _version(answer.json()["version"])
    yield _clock(answer.headers.get("date"), time.time() - seconds, time.time())
    yield _ready(server)
    yield from _levels(server.raw("/metrics").text)
    if probe and key.startswith(OF_AN_AGENT):
        yield Finding("probe", "warn", "not sent: agents publish only what they decide", A_BETTER_KEY)
    elif probe:
        yield from _probed(server)


def _connect(server: Server) -> Finding:
    """To whom the address belongs, without a word of HTTP."""
    parts = urlsplit(server.address)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        connection, seconds = _timed(
            lambda: socket.create_connection((parts.hostname or "", port), timeout=10)
        )
    except OSError as error:
        raise Unreachable(server.address, error.strerror or type(error).__name__) from None
    connection.close()
    return _hop("connect", seconds, "look at the network, and at what stands before the server")


def _version(theirs: str) -> Finding:
    import touchbook

    if theirs == touchbook.__version__:
        return Finding("version", "ok", theirs)
    found = f"the server is {theirs}, this command {touchbook.__version__}"
    return Finding("version", "warn", found, "install the same version here")


def _clock(date: str | None, sent: float, answered: float) -> Finding:
    """The server's Date says whole seconds, and may be a second old."""
    if date is None:
        return Finding(
            "clock", "warn", "the server's answer has no Date", "something between takes it away; look there"
        )
    theirs = parsedate_to_datetime(date).timestamp()
    skew = max(theirs - answered, 0.0) or min(theirs + 1 - sent, 0.0)
    if abs(skew) <= SKEW_SECONDS:
        return Finding("clock", "ok", f"the server's agrees with this one within {SKEW_SECONDS} s")
    found = f"the server's is {skew:+.0f} s beside this one"
    status: Literal["warn", "fail"] = "warn" if abs(skew) <= TOO_MUCH_SKEW_SECONDS else "fail"
    return Finding("clock", status, found, "set the clocks of both machines by one time service")


def _ready(server: Server) -> Finding:
    try:
        server.raw("/readyz")
    except RefusedByServer as error:
        return Finding("ready", "fail", error.said, "the server's log says more", exit=FAILED)
    return Finding("ready", "ok", "the server says it is ready")


def _levels(metrics: str) -> Iterator[Finding]:
    from prometheus_client.parser import text_string_to_metric_families

    samples = [one for family in text_string_to_metric_families(metrics) for one in family.samples]

    def level(name: str) -> int:
        return int(max((one.value for one in samples if one.name == f"touchbook_{name}"), default=0))

    yield _lag(level("lag_touchpoints"))
    yield _set_aside(level("set_aside"))
    yield _unreadable(level("unreadable"), "since the server's start")


def _probed(server: Server) -> Iterator[Finding]:
    """Sends a touchpoint and follows it: durable, visible to a channel, and the scores that a channel is told."""
    id = f"doctor-{secrets.token_hex(8)}"
    item = {
        "type": "track",
        "event": PROBE,
        "userId": PROBED,
        "messageId": id,
        "timestamp": datetime.now(UTC).isoformat(),
        "context": {"channel": "doctor"},
        "properties": {"sent_by": "touchbook doctor"},
    }
    try:
        sent, seconds = _timed(lambda: server.post("/v1/track", item))
        yield _hop("durable", seconds, "look at touchbook_append_seconds, and at the disk with doctor --data")
        if sent["rejected"]:
            told = sent["rejected"][0]["message"]
            yield Finding(
                "probe", "fail", f"set aside: {told}", "correct what the reason names; see set-aside list"
            )
            return
        query = {"audience": "customer", "type": PROBE, "limit": 1, "min_position": sent["positions"][0]}
        path, wait = f"/v1/customers/user_id:{PROBED}", {"Prefer": f"wait={VISIBLE_WITHIN}"}
        shown, seconds = _timed(lambda: server.raw(f"{path}/timeline", query, wait).json()["items"])
        if not any(one["id"] == id for one in shown):
            found = f"the touchpoint sent is not visible after {seconds:.0f} s"
            yield Finding(
                "visible", "fail", found, "look at `lag` and at the log of the server: its follower is behind"
            )
            return
        yield _hop("visible", seconds, "look at `lag`: the follower is behind")
        _, seconds = _timed(lambda: server.get(f"{path}/context", {"purpose": "service"}))
        yield _hop("scores read", seconds, BUSY)
    except RefusedByServer as error:
        if error.status == 401:
            yield Finding("key", "fail", "the server does not know it", A_NEW_KEY, exit=REFUSED)
            return
        if error.status != 403:
            raise
        yield Finding("probe", "warn", f"not followed to its end: {error.said}", A_BETTER_KEY)


def _hop(check: str, seconds: float, advice: str) -> Finding:
    found, milliseconds = f"{seconds * 1000:.1f} ms", round(seconds * 1000, 3)
    if seconds < SLOW_SECONDS:
        return Finding(check, "ok", found, milliseconds=milliseconds)
    return Finding(check, "warn", f"{found}, expected less than {SLOW_SECONDS:.0f} s", advice, milliseconds)


def _timed(act: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    return act(), time.perf_counter() - began


# What both kinds of examination tell


def _lag(touchpoints: int) -> Finding:
    if touchpoints <= LAG:
        return Finding("lag", "ok", f"reads are {touchpoints} touchpoints behind the journal")
    status: Literal["warn", "fail"] = "warn" if touchpoints <= TOO_MUCH_LAG else "fail"
    advice = "wait if the number falls; if not, the log says why the follower stands still"
    return Finding("lag", status, f"reads are {touchpoints} touchpoints behind the journal", advice)


def _set_aside(items: int) -> Finding:
    if not items:
        return Finding("set aside", "ok", "nothing")
    return Finding(
        "set aside",
        "warn",
        f"{items} waiting",
        "see why with `touchbook set-aside list`, correct and redrive",
    )


def _unreadable(records: int, where: str) -> Finding:
    if not records:
        return Finding("unreadable", "ok", f"no record {where}")
    advice = "the log names them; install a version that reads them, then `touchbook rebuild`"
    return Finding("unreadable", "fail", f"{records} records {where} cannot be read", advice)


# A data directory


def _directory(settings: Settings, deep: bool) -> Iterator[Finding]:
    from touchbook.cli.upkeep import reading
    from touchbook.errors import NotATouchbook
    from touchbook.streams.backends.sqlite_journal import FILE
    from touchbook.streams.backends.sqlite_keyring import MASTER_KEY_FILE

    if not (settings.data / FILE).is_file():
        raise NotATouchbook(str(settings.data))
    yield _space(settings.data)
    yield _fsync(settings.data)
    master = settings.master_key or settings.data / MASTER_KEY_FILE
    yield _private("directory rights", settings.data)
    yield _private("master key rights", master)
    server = _server_of(settings.data)
    found = (
        "no server runs on it" if server is None else f"process {server or 'of another container'} serves it"
    )
    yield Finding("server", "ok", found)
    yield _open_files(settings, server)
    yield _memory(settings)
    if deep:
        yield from _sound(settings.data)
    with reading(settings) as book:
        yield Finding("master key", "ok", "it opens the keyring")
        yield from _sampled(book)
        yield from _followed(book, server)
        yield _set_aside(book.control.count_set_aside())


def _space(data: Path) -> Finding:
    disk = shutil.disk_usage(data)
    found = f"{_size(disk.free)} free of {_size(disk.total)}"
    roomy, enough = disk.free >= disk.total * FREE_SHARE, disk.free >= TOO_FEW_BYTES
    if disk.free >= FREE_BYTES or (roomy and enough):
        return Finding("disk space", "ok", found)
    status: Literal["warn", "fail"] = "warn" if roomy or enough else "fail"
    advice = "give it a larger disk: a full one refuses touchpoints, and a rebuild takes the projections' size again"
    return Finding("disk space", status, found, advice)


def _fsync(data: Path) -> Finding:
    """What a commit waits for: a small write forced to the disk, in the directory itself."""
    file = data / f".doctor-{secrets.token_hex(4)}"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)

    def commit() -> None:
        os.write(descriptor, bytes(4096))
        os.fsync(descriptor)

    try:
        seconds = [_timed(commit)[1] for _ in range(FSYNCS)]
    finally:
        os.close(descriptor)
        file.unlink()
    usual = statistics.median(seconds)
    found = f"write and fsync take {usual * 1000:.2f} ms, {max(seconds) * 1000:.2f} ms at worst of {FSYNCS}"
    if usual < SLOW_FSYNC_SECONDS:
        return Finding("disk", "ok", found, milliseconds=round(usual * 1000, 3))
    advice = "put the data directory on a local disk that other programs do not keep busy"
    return Finding("disk", "warn", found, advice, round(usual * 1000, 3))


def _private(check: str, path: Path) -> Finding:
    rights = path.stat().st_mode & 0o777
    if rights & 0o077:
        wanted = "700" if path.is_dir() else "600"
        return Finding(check, "warn", f"{rights:o}: others may open it", f"chmod {wanted} {path}")
    return Finding(check, "ok", f"{rights:o}")


def _server_of(data: Path) -> int | None:
    """The process that holds the journal's lock, 0 for one of another container; None where there is none, or this
    system does not tell. Taking the lock to find out could stop a server that starts in that moment."""
    from touchbook.streams.backends.sqlite_journal import LOCK_FILE

    try:
        inode = (data / LOCK_FILE).stat().st_ino
        locks = [line.split() for line in Path("/proc/locks").read_text("ascii").splitlines()]
    except OSError:
        return None
    held = [line for line in locks if "FLOCK" in line and "->" not in line]
    return next((max(int(line[4]), 0) for line in held if line[5].rpartition(":")[2] == str(inode)), None)


def _open_files(settings: Settings, server: int | None) -> Finding:
    most, whose = resource.getrlimit(resource.RLIMIT_NOFILE)[0], "a server started here"
    if server is not None and (limit := _limit_of(server)) is not None:
        most, whose = limit, "the server"
    needed = settings.max_connections + FILES_BESIDE_CONNECTIONS
    found = f"{whose} may open {most}, and needs {needed} for `max_connections`"
    if most >= needed or most == resource.RLIM_INFINITY:
        return Finding("open files", "ok", found)
    return Finding(
        "open files", "warn", found, f"ulimit -n {needed}, or LimitNOFILE= of its unit, or fewer connections"
    )


def _limit_of(process: int) -> int | None:
    try:
        lines = Path(f"/proc/{process}/limits").read_text("ascii").splitlines()
        return int(next(line for line in lines if line.startswith("Max open files")).split()[3])
    except (OSError, StopIteration, ValueError):
        return None


def _memory(settings: Settings) -> Finding:
    """The most that requests under way and the queue could hold, against what the machine has."""
    held = settings.max_receiving + settings.max_queue * settings.max_item
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found = f"requests and queue may hold {_size(held)} of {_size(machine)}"
    if held <= machine * MEMORY_SHARE:
        return Finding("memory", "ok", found)
    return Finding(
        "memory", "warn", found, "lower max_queue, max_item or max_receiving: `touchbook config show`"
    )


def _sampled(book: Book) -> Iterator[Finding]:
    """A sample opened and folded as the follower would; nothing of it is kept or shown."""
    from touchbook.projections.changes import entry_of
    from touchbook.timeline import UNREADABLE

    head = book.journal.head()
    positions = sorted(random.sample(range(head), min(SAMPLE, head)))
    records = [record for after in positions for record in book.journal.read(after, 1)]
    types = [entry_of(row).type for row in book.folder.fold(records).entries]
    yield _unreadable(types.count(UNREADABLE), f"in a sample of {len(records)} of {head}")
    newest = max((one.recorded_at for one in book.journal.read(max(head - 1, 0), 1)), default=0)
    ahead = newest / 1000 - time.time()
    if ahead > SKEW_SECONDS:
        found = f"the last touchpoint was recorded {ahead:.0f} s from now"
        yield Finding("journal's clock", "fail", found, "this clock went back: set it by a time service")
    else:
        yield Finding("journal's clock", "ok", "no touchpoint was recorded after now")


def _followed(book: Book, server: int | None) -> Iterator[Finding]:
    with book.projections.reading() as reader:
        lag, serving = book.journal.head() - reader.position(), book.projections.version()
    if server is None and lag:
        yield Finding("lag", "ok", f"{lag} touchpoints wait for a server, or for the next command that reads")
    else:
        yield _lag(lag)
    if serving == book.version:
        yield Finding("projections", "ok", f"version {serving}")
        return
    found = f"what serves is of version {serving}, these settings make {book.version}"
    yield Finding(
        "projections",
        "warn",
        found,
        "`touchbook rebuild` with the server's settings; it does so when it starts",
    )


def _sound(data: Path) -> Iterator[Finding]:
    from touchbook.projections.stores.sqlite import serving
    from touchbook.streams.backends import sqlite
    from touchbook.streams.backup import FILES, KEYRING

    files = [*(data / name for name in (*FILES, KEYRING)), serving(data)]
    for file in files:
        if file is None or not file.exists():
            continue
        wrong = sqlite.quick_check(file)
        check = f"pages of {file.name.partition('-')[0]}"
        if not wrong:
            yield Finding(check, "ok", "every page is sound")
            continue
        anew = "delete it and start again" if file == files[-1] else "restore the last backup"
        yield Finding(check, "fail", f"{len(wrong)} faults", f"look after the disk, then {anew}")


def _size(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"

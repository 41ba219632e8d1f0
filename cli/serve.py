"""`touchbook serve`: the one-machine shape. Book, follower, HTTP application and housekeeping in one process."""

from __future__ import annotations

import gc
import logging
import resource
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MethodType
from typing import TYPE_CHECKING, Annotated

import typer

from touchbook.cli.exits import Failed
from touchbook.cli.options import AsJson, Config, Data, JournalAt, ProjectionsAt, settings_of
from touchbook.cli.output import say, show_json

if TYPE_CHECKING:
    import uvicorn

    from touchbook.settings import Settings
    from touchbook.wiring import Book

log = logging.getLogger(__name__)

GRACE_SECONDS = 5
"""How long requests under way may take once the server is told to stop; live streams never end by themselves."""
STOP_SECONDS = 9.5
"""Then the process ends whatever still hangs in it. Nothing acknowledged is lost so, as with `kill -9`."""
OTHER_FILES = 256
"""Files that the server needs beside its connections."""
ACCEPTORS = 16
"""The event loop takes in one new connection each time it looks at a listening socket. When it is busy it looks but
some twenty times a second, and who connects then must not wait for minutes: so it is given the socket many times."""
KEEP_ALIVE_SECONDS = 65
"""Longer than the pauses of usual pools of connections, so that it is the client who closes one."""
HOUSEKEEPING_SECONDS = 24 * 3600
HOUSEKEEPING_AGAIN_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers at `url`, and the book it serves."""

    url: str
    book: Book


def serve(
    data: Data = None,
    host: Annotated[
        str | None, typer.Option(help="The address to listen on.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.", show_default="8750")
    ] = None,
    master_key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="File of the master key.", show_default="master.key in the data directory"
        ),
    ] = None,
    phone_region: Annotated[
        str | None, typer.Option(metavar="XX", help="Country of phone numbers without +, fixed at creation.")
    ] = None,
    mapping: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A mapping file; may be repeated.")
    ] = None,
    scorecards: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of scorecards.", show_default="those shipped")
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error.", show_default="info")
    ] = None,
    journal: JournalAt = None,
    projections: ProjectionsAt = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Serve the HTTP API over a data directory, making it on first use; with --journal and --projections over those,
    as one of any number of replicas, the directory then being its own store.

    Stops on SIGTERM or Ctrl-C after answering what is under way. With --json, one line {"url": …} on stdout says
    that it listens. All other settings: `touchbook config show`.
    """
    settings = settings_of(
        config,
        data=data,
        host=host,
        port=port,
        master_key=master_key,
        phone_region=phone_region,
        mappings=tuple(mapping) if mapping else None,
        scorecards=scorecards,
        log_level=log_level,
        journal=journal,
        projections=projections,
    )
    log_to_stderr(settings.log_level)
    with _opened(settings) as (server, listening, running):
        _stop_on_signals(server)
        _allow_files(settings.max_connections)
        gc.freeze()  # what was loaded stays for good; not looking through it again and again saves 5 to 9 % per event
        if as_json:
            show_json({"url": running.url})
        say(f"Touchbook listens on {running.url}")
        server.run(sockets=_often(listening))
    say("Touchbook has stopped")


@contextmanager
def running(settings: Settings) -> Iterator[Running]:
    """A server in a thread of this process for as long as the block runs; it answers when the block begins."""
    with _opened(settings) as (server, listening, served):
        thread = threading.Thread(target=server.run, args=(_often(listening),), name="server", daemon=True)
        thread.start()
        try:
            yield served
        finally:
            server.should_exit = True
            thread.join()


def log_to_stderr(level: str) -> None:
    logging.basicConfig(
        stream=sys.stderr, level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # of its own start and stop it need not tell


@contextmanager
def _opened(settings: Settings) -> Iterator[tuple[uvicorn.Server, socket.socket, Running]]:
    """A server about to run, its socket (connections already wait there), and the book, followed and kept in order."""
    from touchbook.wiring import open_book

    with closing(_listening(settings.host, settings.port)) as listening:
        book = open_book(settings)
        stopping = threading.Event()
        try:
            server = _server(book)
            book.start()
            threading.Thread(
                target=_keep_in_order, args=(book, stopping), name="housekeeping", daemon=True
            ).start()
            yield server, listening, Running(_url(listening), book)
        finally:
            stopping.set()
            book.close()


def _server(book: Book) -> uvicorn.Server:
    import uvicorn

    from touchbook.api.app import create_app
    from touchbook.api.protocol import Protocol

    app = create_app(book)
    config = uvicorn.Config(
        app,
        loop="auto",  # uvloop wherever it is installed, which is everywhere but on Windows
        http=partial(Protocol, limits=app.state.limits),  # type: ignore[arg-type]
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,  # it would log whole paths; the application logs route templates
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    return uvicorn.Server(config)


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise Failed(
            f"cannot listen on {host} port {port} ({error.strerror}); choose another --host or --port"
        ) from None


def _often(listening: socket.socket) -> list[socket.socket]:
    return [listening, *(listening.dup() for _ in range(ACCEPTORS - 1))]


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _stop_on_signals(server: uvicorn.Server) -> None:
    """Told to stop, the server stops, and told again it goes on stopping: by itself a second signal would make it drop
    what is under way. The same handler stands before it runs and afterwards, until the book is closed."""
    server.handle_exit = MethodType(_stop, server)  # type: ignore[method-assign]
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, server.handle_exit)


def _stop(server: uvicorn.Server, *_: object) -> None:
    if not server.should_exit:
        server.should_exit = True
        signal.setitimer(signal.ITIMER_REAL, STOP_SECONDS)  # its signal, SIGALRM, ends the process


def _allow_files(connections: int) -> None:
    """Each connection is an open file, of which a process may have few unless it asks for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        log.warning(
            "this process may open %d files, too few for max_connections = %d; raise `ulimit -n` to %d",
            allowed,
            connections,
            wanted,
        )


def _keep_in_order(book: Book, stopping: threading.Event) -> None:
    """At the start and every day: what was set aside too long ago is removed."""
    pause = 0.0
    while not stopping.wait(pause):
        pause = HOUSEKEEPING_SECONDS
        try:
            expired = expire_set_aside(book)
        except Exception as error:  # a store that is busy now will not be for ever
            log.warning(
                "what was set aside could not be expired (%s); trying again later", type(error).__name__
            )
            pause = HOUSEKEEPING_AGAIN_SECONDS
        else:
            if expired:
                log.info(
                    "%d items set aside longer than %d days are gone", expired, book.settings.set_aside_days
                )


def expire_set_aside(book: Book) -> int:
    """Removes what was set aside longer ago than the settings say; how many those were."""
    from touchbook.ledger import MILLISECONDS_A_DAY
    from touchbook.streams.now import now

    return book.control.expire(now() - book.settings.set_aside_days * MILLISECONDS_A_DAY)

"""`touchbook serve`: the one-machine shape. Book, follower, HTTP application and housekeeping in one process."""

from __future__ import annotations

import gc
import logging
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from touchbook.cli.exits import Failed
from touchbook.cli.options import AsJson, Config, Data, settings_of
from touchbook.cli.output import say, show_json

if TYPE_CHECKING:
    import uvicorn

    from touchbook.settings import Settings
    from touchbook.wiring import Book

log = logging.getLogger(__name__)

GRACE_SECONDS = 5
"""How long requests under way may take once the server is told to stop; live streams never end by themselves."""
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
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Serve the HTTP API over a data directory, making it on first use.

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
    )
    log_to_stderr(settings.log_level)
    with _opened(settings) as (server, listening, running):
        _stop_on_signals(server)
        gc.freeze()  # what was loaded stays for good; not looking through it again and again saves 5 to 9 % per event
        if as_json:
            show_json({"url": running.url})
        say(f"Touchbook listens on {running.url}")
        server.run(sockets=[listening])
    say("Touchbook has stopped")


@contextmanager
def running(settings: Settings) -> Iterator[Running]:
    """A server in a thread of this process for as long as the block runs; it answers when the block begins."""
    with _opened(settings) as (server, listening, served):
        thread = threading.Thread(target=server.run, args=([listening],), name="server", daemon=True)
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

    config = uvicorn.Config(
        create_app(book),
        loop="auto",  # uvloop wherever it is installed, which is everywhere but on Windows
        http="httptools",
        ws="none",
        lifespan="off",
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


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _stop_on_signals(server: uvicorn.Server) -> None:
    """The server installs its own handlers while it runs, and on its way out raises what it caught once more: that
    must find these, not the default that would end the process before the book is closed."""

    def stop(*_: object) -> None:
        server.should_exit = True

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, stop)


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
    from touchbook.wiring import now

    return book.control.expire(now() - book.settings.set_aside_days * MILLISECONDS_A_DAY)

"""The scores route as FastAPI's manual writes one: a plain function and a response model, over the same book. Beside it
one that answers from memory, so that what it costs is what the framework costs. Neither asks for a key or logs."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from touchbook.api import models
from touchbook.ledger import day_of
from touchbook.settings import settings_from
from touchbook.wiring import Book, now, open_book


def app_of(book: Book) -> FastAPI:
    app, held = FastAPI(), dict[str, Any]()

    @app.get("/readyz")
    async def ready() -> dict[str, str]:
        return {"status": "ready"}

    @app.get("/v1/customers/{ref}/scores", response_model=models.Scores)
    def read_scores(ref: str) -> Any:
        return book.customers.scores(book.customers.find(ref), day_of(now()))

    @app.get("/memory/{ref}/scores", response_model=models.Scores)
    async def read_memory(ref: str) -> Any:
        if ref not in held:
            held[ref] = read_scores(ref)
        return held[ref]

    return app


def main(directory: str) -> None:
    """Serves a data directory on a free port, and tells which as `touchbook serve --json` does."""
    book = open_book(settings_from(data=Path(directory)), read_only=True)
    config = uvicorn.Config(app_of(book), http="httptools", access_log=False, log_level="warning", ws="none")
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    sys.stdout.write(json.dumps({"url": f"http://127.0.0.1:{listening.getsockname()[1]}"}) + "\n")
    sys.stdout.flush()
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        book.close()


if __name__ == "__main__":
    main(sys.argv[1])

"""Live pages are open all day: they must not take the places of those who read."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import httpx

from tests.books import event, publish
from touchbook.api.desk.session import COOKIE, Session, Sessions
from touchbook.cli.serve import running
from touchbook.settings import settings_from
from touchbook.wiring import now


def test_however_many_customers_are_watched_live_there_is_room_to_read(tmp_path: Path) -> None:
    with (
        running(settings_from(data=tmp_path, port=0, max_reads=2, log_level="error")) as server,
        ExitStack() as open,
    ):
        book = server.book
        publish(book, [event("page_viewed", who="42")])
        book.follower.wait(book.journal.head(), 20)
        customer = book.customers.find("user_id:42").id
        key, _ = book.control.create_key("agent", "support")
        session = Sessions(book.keyring.identity_key, book.control).seal(Session.begin(key, now()))
        client = open.enter_context(
            httpx.Client(base_url=server.url, headers={"Cookie": f"{COOKIE}={session}"}, timeout=20)
        )
        for _ in range(4):
            watched = open.enter_context(client.stream("GET", f"/desk/customers/{customer}/live"))
            assert watched.status_code == 200
        assert client.get("/desk/scorecards").status_code == 200

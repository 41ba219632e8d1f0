"""The hot route of scores: it answers as every other read does, however it was reached and whoever asks at once."""

from __future__ import annotations

import asyncio
from unittest.mock import patch

from tests.api.serving import Server
from tests.books import TODAY, a_book, event, folded, publish
from touchbook.api.scores import Looks, ref_of

PATH = "/v1/customers/user_id:42/scores"


def test_what_is_remembered_is_answered_as_what_was_computed(server: Server) -> None:
    server.event(event("page_viewed", {"name": "Home"}, who="42", source="web-shop"))
    computed, remembered, encoded = (server.get(path) for path in (PATH, PATH, PATH.replace(":", "%3A")))
    assert computed.status_code == 200
    assert (remembered.content, remembered.headers["etag"]) == (computed.content, computed.headers["etag"])
    assert encoded.content == computed.content
    again = server.get(PATH, headers={"If-None-Match": computed.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_whoever_asks_at_once_shares_a_look() -> None:
    with a_book() as book:
        publish(book, [event("page_viewed", {"name": "Home"}, who=f"u{n}") for n in range(40)])
        asked = [(f"user_id:u{n}", TODAY) for n in range(40)]
        standings = folded(book).customers.standings(asked)
        with patch.object(book.customers, "remembered", wraps=book.customers.remembered) as look:
            looks = Looks(book)

            async def all_at_once() -> list[object]:
                return await asyncio.gather(*(looks.of(*one) for one in asked))

            assert asyncio.run(all_at_once()) == standings
            assert look.call_count == 1


def test_a_look_that_fails_leaves_each_to_ask_by_himself() -> None:
    with a_book() as book, patch.object(book.customers, "remembered", side_effect=OSError):
        assert asyncio.run(Looks(book).of("user_id:u1", TODAY)) is None


def test_only_the_scores_of_one_segment_are_found_by_their_path() -> None:
    assert ref_of(b"/v1/customers/user_id:a%2Fb/scores") == "user_id:a%2Fb"
    for other in (
        b"/v1/customers//scores",
        b"/v1/customers/a/b/scores",
        b"/v1/customers/a/scores/",
        b"/scores",
        b"",
    ):
        assert ref_of(other) is None

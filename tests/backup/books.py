"""What is backed up in these tests."""

from __future__ import annotations

from pathlib import Path

from tests.books import NOON, SHOP, a_book, event, folded, publish
from touchbook.streams.admission import Item


def filled(data: Path, people: int = 5) -> dict[str, str]:
    """A book about some people, with one item set aside; its digests."""
    with a_book(data) as book:
        who = [{"user_id": f"p{n}", "email": f"p{n}@example.test"} for n in range(people)]
        publish(
            book,
            [
                event("walk_taken", {"text": f"words of p{n}"}, who=one, id=f"w{n}")
                for n, one in enumerate(who)
            ],
        )
        book.admission.admit(
            [Item("segment", {"type": "no_such_call", "messageId": "m"}, {})], SHOP, NOON
        ).result(30)
        return folded(book).projections.digest()

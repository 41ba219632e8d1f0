"""One fixed history, every type in it, and the digests it gives in this version of the projections.

If this fails, the fold gives other rows for the same journal. If that is meant, raise `PROJECTION_VERSION`, so that
every installation rebuilds, and write the file anew: `python -m tests.projections.test_golden`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.books import a_book, event, folded, publish
from tests.projections.histories import PEOPLE, samples
from touchbook.projections.fold import PROJECTION_VERSION
from touchbook.streams.admission import OURS_ALONE, Publisher
from touchbook.streams.control import OURS

GOLDEN = Path(__file__).with_name("golden.json")


def golden_history() -> list[dict[str, Any]]:
    happened = [
        event(
            type,
            data,
            who=PEOPLE[place % len(PEOPLE)],
            days_ago=place % 300,
            id=f"g{place}",
            channel="web",
            source=OURS if type in OURS_ALONE else "shop",
        )
        for place, (type, data) in enumerate(samples(ours=True))
    ]
    decided = [
        event("link", {"link": ["user_id:u1", "anonymous_id:a2"]}, who={}, days_ago=9, id="link"),
        event(
            "unlink",
            {"apart": ["user_id:u2"], "from": ["email:bo@example.test"]},
            who={},
            days_ago=8,
            id="unlink",
        ),
        event("Wheel spun", {"prize": "колесо", "n": 3}, days_ago=7, id="unknown"),
    ]
    return [*happened, *decided]


def digests_now() -> dict[str, Any]:
    with a_book() as book:
        events = golden_history()
        said = [one for one in events if one["source"] == OURS]
        told = [
            *publish(book, [one for one in events if one not in said]),
            *publish(book, said, Publisher(OURS)),
        ]
        assert {one.outcome for one in told} == {"accepted"}
        return {"version": PROJECTION_VERSION, **folded(book).projections.digest()}


def test_the_same_journal_gives_the_same_rows_unless_the_version_says_otherwise() -> None:
    assert digests_now() == json.loads(GOLDEN.read_text("utf-8"))


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(digests_now(), indent=2) + "\n", "utf-8")

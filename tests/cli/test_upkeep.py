"""`touchbook rebuild` and `touchbook digest`."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.books import TODAY, a_book, event, publish
from tests.cli.commands import answer, call, json_file, lines
from tests.cli.conftest import Shop

PROJECTIONS = ["entries", "ledger", "registers", "claims"]


def published(path: Path, calls: list[dict[str, object]], *options: object) -> Path:
    path.mkdir(exist_ok=True)
    answer(
        "publish",
        json_file(path / "calls.jsonl", calls),
        "--data",
        path / "book",
        "--source",
        "shop",
        *options,
    )
    return path / "book"


def digest_of(data: Path) -> dict[str, str]:
    return dict(answer("digest", "--data", data))


def test_a_digest_is_one_object_with_a_digest_per_projection(tmp_path: Path) -> None:
    digest = digest_of(published(tmp_path, [call("one")]))
    assert list(digest) == PROJECTIONS
    assert all(len(value) == 64 and int(value, 16) >= 0 for value in digest.values())
    assert dict(lines("digest", "--data", tmp_path / "book")) == digest


@settings(max_examples=5, deadline=None)
@given(st.permutations(range(7)), st.integers(1, 4))
def test_the_digest_is_the_same_for_any_order_and_batching_in_any_directory(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], most: int
) -> None:
    calls = [call(f"c-{number}", str(number % 3), anonymousId=f"a-{number % 2}") for number in range(7)]
    plain, other = tmp_path_factory.mktemp("plain"), tmp_path_factory.mktemp("other")
    shuffled = [calls[place] for place in order]
    assert digest_of(published(plain, calls)) == digest_of(published(other, shuffled, "--batch", most))


def test_another_touchpoint_gives_another_digest(tmp_path: Path) -> None:
    before = digest_of(published(tmp_path, [call("one")]))
    after = digest_of(published(tmp_path, [call("two")]))
    assert before["entries"] != after["entries"]


def test_two_rebuilds_give_the_same_digest(tmp_path: Path) -> None:
    data = published(tmp_path, [call(str(number), str(number % 3)) for number in range(20)])
    before = digest_of(data)
    for _ in range(2):
        made = answer("rebuild", "--data", data)
        assert (made["touchpoints"], made["unreadable"]) == (20, 0)
        assert digest_of(data) == before


def test_a_rebuild_leaves_one_build_and_no_other_file(tmp_path: Path) -> None:
    data = published(tmp_path, [call("one")])
    before = {path.name for path in data.iterdir() if not path.name.startswith("projections-")}
    answer("rebuild", "--data", data)
    assert {path.name for path in data.iterdir() if not path.name.startswith("projections-")} == before
    assert len(list(data.glob("projections-*.sqlite"))) == 1


def test_a_rebuild_beside_a_running_server_is_noticed_by_it(shop: Shop, tmp_path: Path) -> None:
    first, second = json_file(tmp_path / "1", [call("first")]), json_file(tmp_path / "2", [call("second")])
    answer("publish", first, *shop.asked_with("publish"))
    answer("rebuild", "--data", shop.data)
    answer("publish", second, *shop.asked_with("publish"))
    answer("digest", "--data", shop.data)
    assert len(answer("timeline", "user_id:42", *shop.asked_with("agent"))["items"]) == 2


def test_a_digest_covers_what_nobody_has_folded_yet(tmp_path: Path) -> None:
    """As after a crash: the journal has it, the projections have not."""
    with a_book(tmp_path / "book") as book:
        publish(book, [event("page_viewed", id="one")], received_at=(TODAY + 1) * 86_400_000)
    folded = digest_of(tmp_path / "book")
    answer("rebuild", "--data", tmp_path / "book")
    assert folded == digest_of(tmp_path / "book")
    assert folded["entries"] != digest_of(published(tmp_path / "empty", []))["entries"]


def test_plain_lines_name_what_a_rebuild_did(tmp_path: Path) -> None:
    data = published(tmp_path, [call("one")])
    assert dict(lines("rebuild", "--data", data))["touchpoints"] == "1"

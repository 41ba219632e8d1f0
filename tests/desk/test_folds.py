"""Whatever is folded, and wherever a page ends: every touchpoint is told once, in its place."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from touchbook.api.desk.folds import Card, cards_of
from touchbook.ledger import MILLISECONDS_A_DAY
from touchbook.timeline import Entry

TYPES = (
    "chat_message_sent", "bot_answered", "page_viewed", "product_viewed", "case_opened", "case_stage_changed",
    "order_placed", "promise_made", "emotion_observed", "note_added", "erased", "a type of their own",
)  # fmt: skip
FAMILIES = {"chat_message_sent": "conversation", "bot_answered": "conversation", "order_placed": "commerce"}


def day_at(at: int) -> date:
    return datetime.fromtimestamp(at / 1000, UTC).date()


def entry(n: int, type: str, thread: str | None = None, at: int | None = None, **data: Any) -> Entry:
    at = n * 60_000 if at is None else at
    body = {"id": f"id-{n}", "data": data, "signals": []}
    family = FAMILIES.get(type, "service")
    return Entry(f"{n:032x}", "s", at, at, n, type, family, "web", "shop", "in", thread, True, body)


@st.composite
def histories(draw: st.DrawFn) -> list[Entry]:
    """Newest first."""
    made = []
    for n in range(draw(st.integers(0, 30))):
        at = draw(st.integers(0, 3 * MILLISECONDS_A_DAY))
        type, thread = draw(st.sampled_from(TYPES)), draw(st.sampled_from((None, "t-1", "t-2")))
        named = {"in_reply_to": f"id-{draw(st.integers(0, 30))}"} if type == "emotion_observed" else {}
        made.append(entry(n, type, thread, at, **named))
    return sorted(made, key=lambda one: (one.occurred_at, one.key), reverse=True)


@given(histories(), st.integers(1, 31))
def test_every_touchpoint_is_in_one_card_whatever_the_borders_of_pages(
    history: list[Entry], size: int
) -> None:
    pages = [history[start : start + size] for start in range(0, len(history), size)]
    for page in [history, *pages]:
        cards = cards_of(page, day_at)
        keys = [key for card in cards for key in card.keys]
        assert sorted(keys) == sorted(one.key for one in page)
        assert all(card.entries for card in cards)
        for card in cards:
            assert list(card.entries) == [one for one in page if one in card.entries]
            assert card.kind in ("one", "talk", "steps") or len(card.entries) > 1
        places = [page.index(card.newest) for card in cards]
        assert places == sorted(places)


def test_a_conversation_of_a_day_is_one_card_and_goes_on_in_another_the_day_after() -> None:
    said = [entry(n, "chat_message_sent", "t-1", text="Hello?") for n in (1, 2)]
    later = entry(3, "chat_message_sent", "t-1", MILLISECONDS_A_DAY + 1)
    note = entry(4, "note_added", "t-1", 90_000)
    cards = cards_of([later, said[1], note, said[0]], day_at)
    assert [card.kind for card in cards] == ["talk", "talk", "one"]
    assert [one.key for one in cards[1].entries] == [said[1].key, said[0].key]


def test_steps_of_a_case_lie_together_however_long_it_took_and_a_promise_for_itself() -> None:
    steps = [
        entry(9, "case_stage_changed", "C-7", 9 * MILLISECONDS_A_DAY),
        entry(5, "promise_made", "C-7", 5 * MILLISECONDS_A_DAY),
        entry(1, "case_opened", "C-7", MILLISECONDS_A_DAY),
    ]
    case, promise = cards_of(steps, day_at)
    assert case.kind == "steps"
    assert case.keys == [steps[0].key, steps[2].key]
    assert promise.entries == (steps[1],)


def test_views_lie_together_only_one_after_another_on_one_day() -> None:
    def kinds(*entries: Entry) -> list[tuple[str, int]]:
        return [(card.kind, len(card.entries)) for card in cards_of(list(entries), day_at)]

    views = [entry(n, "page_viewed") for n in (3, 2, 1)]
    assert kinds(*views) == [("views", 3)]
    assert kinds(views[0], entry(7, "note_added", at=150_000), *views[1:]) == [
        ("one", 1),
        ("one", 1),
        ("views", 2),
    ]
    assert kinds(entry(8, "page_viewed", at=MILLISECONDS_A_DAY), *views[:1]) == [("one", 1), ("one", 1)]
    assert kinds(entry(8, "product_viewed", at=200_000), *views[:1]) == [("one", 1), ("one", 1)]


def test_an_emotion_is_a_mark_on_what_it_was_noticed_in_and_else_a_card() -> None:
    complaint = entry(1, "complaint_raised", "C-7")
    named = entry(2, "emotion_observed", "C-7", in_reply_to="id-1")
    said, heard = entry(3, "chat_message_sent", "t-1"), entry(4, "emotion_observed", "t-1")
    alone = entry(5, "emotion_observed", in_reply_to="somewhere else")
    cards = cards_of([alone, heard, said, named, complaint], day_at)
    assert [(card.newest.key, card.feelings) for card in cards] == [
        (alone.key, ()),
        (said.key, (heard,)),
        (complaint.key, (named,)),
    ]
    assert isinstance(cards[0], Card)

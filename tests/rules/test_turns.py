"""Turns: what a customer wrote until our first public word."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rules.reference_verdicts import asks_for_nothing
from tests.rules.talks import AGENT, BOT, CUSTOMER, ENDED, MINUTE, NOTE, SOLVED, Heard, talks, word
from tests.thorough import examples
from touchbook.registers import ThreadMessage, open_requests
from touchbook.turns import Turn, turns_of


def turns(*said: tuple[str, int]) -> list[Turn]:
    return turns_of([word(kind, minute) for kind, minute in said])


def test_a_turn_lasts_until_our_first_public_word() -> None:
    (one, two) = turns((CUSTOMER, 1), (CUSTOMER, 2), (AGENT, 5), (AGENT, 6), (CUSTOMER, 9))
    assert (one.opening, one.messages, one.replied_at, one.reply) == ("customer-1", 2, 5 * MINUTE, "agent-5")
    assert (one.by, one.agent, one.first) == ("agent", "Ada", True)
    assert (two.opening, two.replied_at, two.first) == ("customer-9", None, False)


def test_an_internal_note_is_no_answer() -> None:
    (one,) = turns((CUSTOMER, 1), (NOTE, 2))
    assert one.replied_at is None


def test_who_answers_first_and_when_a_person_did_are_told_apart() -> None:
    (one,) = turns((CUSTOMER, 1), (BOT, 2), (BOT, 3), (AGENT, 30))
    assert (one.by, one.bot_at, one.human_at) == ("bot", 2 * MINUTE, 30 * MINUTE)


def test_a_person_who_answers_two_turns_late_is_the_first_person_of_both() -> None:
    found = turns((CUSTOMER, 1), (BOT, 2), (CUSTOMER, 5), (BOT, 6), (AGENT, 9))
    assert [(one.bot_at, one.human_at) for one in found] == [
        (2 * MINUTE, 9 * MINUTE),
        (6 * MINUTE, 9 * MINUTE),
    ]


def test_a_case_opened_again_starts_a_new_clock() -> None:
    one, two = turns((CUSTOMER, 1), (BOT, 2), (SOLVED, 5), (CUSTOMER, 60), (AGENT, 70))
    assert (one.human_at, one.ended_at) == (5 * MINUTE, 5 * MINUTE)
    assert (two.first, two.opened_at, two.replied_at) == (True, 60 * MINUTE, 70 * MINUTE)


def test_a_thread_that_we_began_has_no_first_response() -> None:
    assert [one.first for one in turns((AGENT, 1), (CUSTOMER, 2), (AGENT, 3), (CUSTOMER, 4))] == [
        False,
        False,
    ]


def test_a_word_of_ours_after_the_end_begins_the_thread_anew() -> None:
    one, two = turns((CUSTOMER, 1), (BOT, 2), (SOLVED, 3), (AGENT, 9), (CUSTOMER, 10))
    assert (one.human_at, two.first) == (3 * MINUTE, False)


def test_who_was_not_answered_before_the_chat_ended_has_waited_since_he_asked() -> None:
    (one,) = turns((CUSTOMER, 1), (ENDED, 20), (CUSTOMER, 600), (AGENT, 602))
    assert (one.messages, one.ended_at, one.replied_at) == (2, 20 * MINUTE, 602 * MINUTE)


def test_thanks_before_the_end_of_a_chat_that_a_person_answered_ask_for_nothing() -> None:
    (one,) = turns((CUSTOMER, 1), (AGENT, 2), (CUSTOMER, 3), (ENDED, 4))
    assert (one.replied_at, one.messages) == (2 * MINUTE, 1)
    one, two = turns((CUSTOMER, 1), (AGENT, 2), (CUSTOMER, 3), (ENDED, 4), (CUSTOMER, 600))
    assert (two.opened_at, two.messages, two.first) == (600 * MINUTE, 1, True)
    of_a_bot = turns((CUSTOMER, 1), (BOT, 2), (CUSTOMER, 3), (ENDED, 4))
    assert [turn.replied_at for turn in of_a_bot] == [2 * MINUTE, None]


@given(talks(), st.randoms(use_true_random=False))
@settings(max_examples=examples(80), deadline=None)
def test_turns_are_the_same_in_any_order_of_arrival_and_however_often_it_comes(
    heard: list[Heard], any
) -> None:  # type: ignore[no-untyped-def]
    once = {one.message.key: one.message for one in heard}
    shuffled = [one.message for one in heard] * 2
    any.shuffle(shuffled)
    assert turns_of(shuffled) == turns_of(once.values())


@given(talks())
@settings(max_examples=examples(80), deadline=None)
def test_every_word_that_asks_for_something_is_in_one_turn_and_the_open_ones_are_the_open_requests(
    heard: list[Heard],
) -> None:
    messages = list({one.message.key: one.message for one in heard}.values())
    found = turns_of(messages)
    said = sorted(key for turn in found for key in turn.customer_keys)
    threads = [[one for one in messages if one.thread == thread] for thread in ("t", "u")]
    assert said == sorted(
        one.key
        for thread in threads
        for one in thread
        if one.role == "customer" and not asks_for_nothing(thread, one)
    )
    still_open = {(turn.thread, turn.opening, turn.messages) for turn in found if turn.replied_at is None}
    assert still_open == {(one.thread, one.touchpoint, one.messages) for one in open_requests(messages)}


@given(talks())
@settings(max_examples=examples(80), deadline=None)
def test_first_words_of_each_kind_are_found_by_looking_at_every_message(heard: list[Heard]) -> None:
    messages = list({one.message.key: one.message for one in heard}.values())
    for turn in turns_of(messages):
        thread = sorted(
            (one for one in messages if one.thread == turn.thread), key=lambda one: (one.occurred_at, one.key)
        )
        opening = next(n for n, one in enumerate(thread) if one.key == turn.opening)
        later = thread[opening + 1 :]
        assert turn.first == _opens(thread[:opening])
        assert turn.ended_at == next((one.occurred_at for one in later if one.closes), None)
        before = _until_opened_anew(later, answered=False)
        bots = [one.occurred_at for one in before if one.answers and one.role == "bot"]
        people = [one.occurred_at for one in before if one.answers and one.role == "agent"]
        assert (turn.bot_at, turn.human_at) == (next(iter(bots), None), next(iter(people), None))


def _opens(before: list[ThreadMessage]) -> bool:
    """Whether nobody spoke since the thread was closed last, or ever."""
    closed = max((n for n, one in enumerate(before) if one.closes), default=-1)
    return not any(one.role == "customer" or one.answers for one in before[closed + 1 :])


def _until_opened_anew(later: list[ThreadMessage], answered: bool) -> list[ThreadMessage]:
    """Up to where, after an answer and an end, somebody speaks again."""
    ended = False
    for n, one in enumerate(later):
        speaks = one.role == "customer" or one.answers
        if ended and answered and speaks:
            return later[:n]
        if ended and speaks:
            ended = False
        answered = answered or one.answers
        ended = ended or one.closes
    return later

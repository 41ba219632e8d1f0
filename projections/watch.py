"""The watch: what is to be known of all customers at any moment, kept in one file that can be deleted.

Whoever was touched is looked at again, and after each midnight (UTC) everybody, as scores move without events. What it
keeps are rows of one customer each, that follow from his touchpoints, the scorecards, the policies and the day alone.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import Any

from touchbook.errors import Refused, StoreUnavailable
from touchbook.ledger import Day
from touchbook.policy import Policies, Usual
from touchbook.projections.customers import Customers
from touchbook.projections.noticing import Notice
from touchbook.projections.response import named_by, response_of
from touchbook.projections.stores.port import ReadProjections
from touchbook.projections.stores.sqlite import sql
from touchbook.projections.stores.watch_file import Described, Kept, WatchFile, kept_in
from touchbook.projections.watched import (
    By,
    Change,
    Due,
    Listing,
    Matter,
    Order,
    Ranked,
    Response,
    State,
    Stood,
    TierChange,
    Tiers,
    TurnState,
    WatchedTurn,
)
from touchbook.projections.watching import Steps
from touchbook.scorecard import ScorecardSet
from touchbook.scoring import Mark

log = logging.getLogger(__name__)

FILE = "watch.sqlite"

LOOK_SECONDS = 0.5
"""Between two looks where nobody waits."""
SLACK_SECONDS = 0.1
"""At most so much of the time it had to wait for others is made up for at once."""
AGAIN_SECONDS = 5.0
"""After a look that failed."""
OTHERS_MARGIN_MS = 60_000
"""A token of another replica goes on so long before its time: that one may have seen less, or later."""


class Watch:
    """Methods may be called from any thread; everything told is as of the last look."""

    def __init__(
        self,
        projections: ReadProjections,
        customers: Customers,
        scorecards: ScorecardSet,
        policies: Policies,
        now: Callable[[], int],
        path: Path,
        share: float = 0.2,
    ) -> None:
        """`now` gives milliseconds UTC; its thread takes at most this `share` of a core. Nothing is opened before it is
        needed."""
        self._projections, self._cards, self._policies = projections, scorecards, policies
        self._now = now
        self._share = share
        self._file = WatchFile(path)
        notice = Notice(policies, now, self._usual)
        self._steps = Steps(projections, scorecards, policies.fingerprint, notice, self._file, self._roughly)
        self._names = sorted(scorecards)
        self._tiers = [[tier for tier, _ in scorecards[name].tiers] for name in self._names]
        self._one = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._listeners: list[Callable[[], None]] = []
        self._told: Tiers | None = None
        self._stays: tuple[int, dict[str, Usual]] | None = None
        customers.forgets(self.forget, only_here=True)  # its steps see another version

    def start(self) -> None:
        """Begins to look again and again, in a thread; after `close` anew."""
        self._closing.clear()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
        self._file.close()

    def look(self) -> None:
        """Looks in this thread until nobody waits to be looked at; the day is that of `now`."""
        more, began, spent = True, time.monotonic(), time.thread_time()
        while more and not self._closing.is_set():
            last = self._file.steps
            with self._one:
                more = self._steps.step(self._now())
            if self._file.steps != last:
                self._tell()
            early = (time.thread_time() - spent) / self._share - (time.monotonic() - began)
            began -= min(early + SLACK_SECONDS, 0)
            if more and early > 0:
                self._closing.wait(early)

    def forget(self) -> None:
        """Takes away what is kept of everybody who was erased; see `Customers.forget`."""
        with self._one:
            self._steps.forget()
        self._tell()

    def _tell(self) -> None:
        self._told = None
        for listener in list(self._listeners):
            listener()

    def _run(self) -> None:
        pause = 0.0
        while not self._closing.wait(pause):
            try:
                self.look()
                pause = LOOK_SECONDS
            except Exception as error:  # what was found before goes on being told, with its age
                log.warning("the watch over all customers failed: %s: %s", type(error).__name__, error)
                pause = AGAIN_SECONDS

    # How far it is

    @property
    def lag(self) -> int:
        """Customers who wait to be looked at, as far as that is known."""
        found = self._described()
        left = 0 if found is None or found.after is None else max(found.customers - found.counted, 0)
        return self._steps.waiting + left

    @property
    def as_of(self) -> int | None:
        """When it was last in step with all that the projections show, milliseconds UTC; None before it ever was."""
        found = self._described()
        return None if found is None or found.as_of is None else self._steps.as_of or found.as_of

    @property
    def swept(self) -> Day | None:
        """The last day on which everybody was looked at."""
        found = self._described()
        return None if found is None else found.swept

    @property
    def counted(self) -> int:
        """Customers seen in the walk over everybody that is under way, or in the last one."""
        found = self._described()
        return 0 if found is None else found.counted

    @property
    def forgot(self) -> str | None:
        """Another once rows of somebody went without a change that tells it: he was erased, or all was made anew."""
        found = self._described()
        return None if found is None else f"{found.salt} {found.version}"

    def _described(self) -> Described | None:
        try:
            return self._file.described()
        except StoreUnavailable:
            return None

    # How customers stand

    def tiers(self) -> Tiers | None:
        """None until everybody was looked at once."""
        if (as_of := self.as_of) is None:
            return None
        if self._told is None:
            with self._file.reading() as rows:
                found = self._file.described_in(rows)
                counted = {(score, tier): n for score, tier, n in rows.execute(sql("watch_tallies"))}
            scores = {
                name: {
                    (None if tier < 0 else tiers[tier]): counted.get((score, tier), 0)
                    for tier in (*range(len(tiers)), -1)
                }
                for score, (name, tiers) in enumerate(zip(self._names, self._tiers, strict=True))
            }
            self._told = Tiers(0 if found is None else found.customers, as_of, scores)
        return replace(self._told, as_of=as_of)

    def standing(
        self,
        score: str,
        tier: str | None = None,
        order: Order = "-value",
        cursor: str | None = None,
        limit: int = 100,
    ) -> Listing:
        """Customers with a value of this score (in this tier), by value and then id. Raises `ScorecardUnknown`;
        `Refused` (400) for a tier it does not have or a cursor not ours."""
        self._cards.named(score)
        number = self._names.index(score)
        ranks = range(len(self._tiers[number])) if tier is None else [self._rank(number, tier)]
        down = order == "-value"
        value, customer = (101 if down else -1, "") if cursor is None else _place_in(cursor)
        place = {"score": number, "value": value, "customer": bytes.fromhex(customer), "limit": limit + 1}
        statement = sql("watch_ranked_down" if down else "watch_ranked_up")
        with self._file.reading() as rows:
            found = merge(
                *(rows.execute(statement, {**place, "tier": rank}).fetchall() for rank in ranks),
                key=lambda row: (-row[0] if down else row[0], row[1]),
            )
            page = [(value, name.hex()) for value, name in islice(found, limit + 1)]
            kept = {one.customer: one for one in kept_in(rows, [name for _, name in page[:limit]])}
        items = [self._ranked(kept[name], number) for _, name in page[:limit]]
        beyond = f"{page[limit - 1][0]}.{page[limit - 1][1]}" if len(page) > limit else None
        return Listing(items, beyond)

    def _rank(self, score: int, tier: str) -> int:
        if tier not in (known := self._tiers[score]):
            name, expected = self._names[score], ", ".join(known)
            raise Refused(400, "tier_unknown", f"tier: expected one of {expected} for the score {name}")
        return known.index(tier)

    def _ranked(self, kept: Kept, score: int) -> Ranked:
        stood = self._stood(score, kept.standing[score])
        assert stood.value is not None  # he would have no place
        return Ranked(kept.customer, stood.value, stood.tier, stood.milli_points or 0, kept.day)

    def _stood(self, score: int, mark: Mark) -> Stood:
        value, tier, points = mark
        return Stood(value, None if tier < 0 else self._tiers[score][tier], points)

    def of(self, customer: str) -> State | None:
        """How one customer stands, by the permanent id that is shown; None for others."""
        kept = self._file.kept([customer]).get(customer)
        return None if kept is None else self._state(kept)

    def states(self, after: str = "", limit: int = 500) -> list[State]:
        """The next customers beyond one, in order of id."""
        with self._file.reading() as rows:
            found = rows.execute(sql("watch_states"), (bytes.fromhex(after), limit)).fetchall()
        return [self._state(Kept.of(row)) for row in found]

    def _state(self, kept: Kept) -> State:
        scores = {name: self._stood(n, kept.standing[n]) for n, name in enumerate(self._names)}
        return State(kept.customer, kept.version, kept.day, scores, [Matter(*one) for one in kept.matters])

    def tier_changes(self, day: Day, after: tuple[str, str] = ("", ""), limit: int = 500) -> list[TierChange]:
        """Tiers that were others at the end of `day` than the day before, in order of (customer, score)."""
        customer, score = after
        number = self._names.index(score) if score in self._names else -1
        asked = {"day": day, "customer": bytes.fromhex(customer), "score": number, "limit": limit}
        return self._tier_changes("watch_tier_changes", asked)

    def tier_days(self) -> Sequence[Day]:
        """The days of which `tier_changes` tells, oldest first, up to the one before `swept`; more than one where no
        sweep ended on some day. Empty until everybody was looked at on the last day there was."""
        found = self._described()
        done = found is not None and found.swept == found.day
        return range(found.since, found.day) if found is not None and done else ()

    def became(self, score: str, tier: str, since: Day, limit: int = 500) -> list[TierChange]:
        """Who came into this tier on a day from `since` on (kept for as long as changes are), the latest first."""
        self._cards.named(score)
        number = self._names.index(score)
        asked = {"score": number, "tier": self._rank(number, tier), "since": since, "limit": limit}
        return self._tier_changes("watch_became", asked)

    def _tier_changes(self, statement: str, asked: dict[str, Any]) -> list[TierChange]:
        with self._file.reading() as rows:
            found = rows.execute(sql(statement), asked).fetchall()
        return [
            TierChange(
                name.hex(), self._names[score], day,
                self._stood(score, json.loads(before)), self._stood(score, json.loads(now)),
                self._cards[self._names[score]].version,
            )
            for name, day, score, before, now in found
        ]  # fmt: skip

    # What is due

    def due(self, now: int, limit: int = 500) -> list[Due]:
        """Whom the clock has to look at, the longest due first."""
        with self._file.reading() as rows:
            found = rows.execute(sql("watch_due"), (now, limit)).fetchall()
        return [Due(customer.hex(), at, mark) for customer, at, mark in found]

    def put_off(self, due: Due, until: int | None) -> None:
        """Nothing is due of this customer before then, by what the watch knew when it told `due`."""
        self._file.put_off(due.customer, due.mark, due.at, until)

    def stays(self) -> dict[str, Usual]:
        """How long cases and orders stay in each stage, of all finished stays: see `verdicts.usual_stays`."""
        with self._file.reading() as rows:
            return {
                stage: Usual(
                    known, *rows.execute(sql("watch_median_stay"), (stage, (known - 1) // 2)).fetchone()
                )
                for stage, known in rows.execute(sql("watch_stays")).fetchall()
            }

    def _usual(self) -> dict[str, Usual]:
        """As of the walk under way: what is usual moves slowly."""
        walk = self._steps.walk
        if self._stays is None or self._stays[0] != walk:
            self._stays = walk, self.stays()
        return self._stays[1]

    def _roughly(self) -> str:
        """What is usual, to an eighth: what moved less makes nothing due that was not."""
        return json.dumps(
            {stage: [_rough(known), _rough(median)] for stage, (known, median) in self.stays().items()}
        )

    # How soon we answered

    def turns(
        self,
        from_ms: int,
        to_ms: int,
        by: By = "channel",
        of: str | None = None,
        *,
        first: bool = False,
        state: TurnState | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> tuple[list[WatchedTurn], str | None]:
        """The turns opened in that time, oldest first, and where to go on; of one channel, team or agent ("" for those
        that name none) or of all, and only those that `first`, and a state of `Waited`, count."""
        at, now = (-(2**62), "") if cursor is None else _turn_in(cursor), self._now()
        found = (
            turn
            for turn in self._turns(from_ms, to_ms, at)
            if (of is None or (named_by(turn, by) or "") == of)
            and (turn.first or not first)
            and (state is None or state in turn.states(now))
        )
        page = list(islice(found, limit + 1))
        last = page[limit - 1] if len(page) > limit else None
        return page[:limit], None if last is None else f"{last.opened_at}.{last.opening}"

    def turns_of(self, customer: str) -> list[WatchedTurn]:
        """All of one customer's turns, oldest first."""
        with self._file.reading() as rows:
            return [_turn(row) for row in rows.execute(sql("watch_turns_of"), (bytes.fromhex(customer),))]

    def response(self, from_ms: int, to_ms: int, by: By = "channel") -> list[Response]:
        """Of the turns opened in that time, exact; the most turns first."""
        return response_of(self._turns(from_ms, to_ms, (-(2**62), "")), by, self._now())

    def about_to_be_late(self, now: int, limit: int = 100) -> list[WatchedTurn]:
        """Open turns that are not late yet, the soonest first."""
        with self._file.reading() as rows:
            return [_turn(row) for row in rows.execute(sql("watch_turns_soon_late"), (now, limit))]

    def _turns(self, from_ms: int, to_ms: int, after: tuple[int, str]) -> Iterator[WatchedTurn]:
        """One by one, so that they may be many; in one look."""
        asked = {"from_at": from_ms, "to_at": to_ms, "after_at": after[0], "after": after[1]}
        with self._file.reading() as rows, closing(rows.execute(sql("watch_turns"), asked)) as found:
            yield from map(_turn, found)

    # What changed

    def last(self, told: str | None = None) -> str:
        """The token behind everything that was told so far; to who has come as far as the token `told`, if anybody has.
        Raises `Refused` (400) for text that is no token."""
        with self._file.reading() as rows:
            found = self._file.described_in(rows)
            (seq,) = rows.execute(sql("watch_last_change")).fetchone()
        if found is None:
            raise StoreUnavailable("the watch has not looked yet")
        reached = 0 if told is None else min(_in_token(told)[2], self._now())
        return _token(found.salt, seq, max(self._steps.as_of or found.as_of or 0, reached))

    def changes(self, token: str, limit: int = 500) -> list[Change] | None:
        """The changes behind a token, in order. One of another replica goes on at its time less a minute; None where it
        is not ours, or what it stands for is no longer kept: the reader begins anew. Raises `Refused` (400) for text
        that is no token.

        Of a change that may have been told before, the token keeps the time that was reached, so that who is cut off
        meanwhile is not put back further; and it says how the customer stands now, as later ones may have been told
        elsewhere."""
        salt, seq, at = _in_token(token)
        reached = min(at, self._now())
        with self._file.reading() as rows:
            found = self._file.described_in(rows)
            if found is None or found.as_of is None:
                return None
            if salt != found.salt:
                if at - OTHERS_MARGIN_MS < found.kept_from:
                    return None
                (seq,) = rows.execute(sql("watch_changes_since"), {"at": at - OTHERS_MARGIN_MS}).fetchone()
            else:
                (first,) = rows.execute(sql("watch_first_change")).fetchone()
                if seq < first - 1:
                    return None
            told = rows.execute(sql("watch_changes"), (seq, limit)).fetchall()
            again = {name.hex() for _, _, sure, name, _ in told if sure < reached}
            stand = {one.customer: one for one in kept_in(rows, sorted(again))}
        return [
            self._change(
                _token(found.salt, seq, max(sure, reached)), seq, at, name.hex(),
                self._as_of_now(json.loads(body), stand.get(name.hex())) if sure < reached else json.loads(body),
            )
            for seq, at, sure, name, body in told
        ]  # fmt: skip

    def _as_of_now(self, told: dict[str, Any], stands: Kept | None) -> dict[str, Any]:
        if stands is None:
            return {"v": told["v"], "g": 1}
        moved = told.get("s", {})
        scores = range(len(self._names)) if told.get("g") else map(int, moved)
        now = {
            n: [moved[str(n)][0] if str(n) in moved else mark, mark]
            for n in scores
            for mark in [stands.standing[n]]
        }
        return {"v": stands.version, "s": now, "o": told.get("o", ()), "c": told.get("c", ())}

    def _change(self, token: str, seq: int, at: int, customer: str, told: dict[str, Any]) -> Change:
        scores = {
            self._names[int(n)]: (self._stood(int(n), before), self._stood(int(n), after))
            for n, (before, after) in told.get("s", {}).items()
        }
        return Change(
            seq, token, at, customer, told["v"], scores,
            tuple(told.get("o", ())), tuple(told.get("c", ())), bool(told.get("g")),
        )  # fmt: skip

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Calls `listener()` from another thread after changes were kept; call what is returned to end it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)


def is_ahead(token: str, last: str) -> bool:
    """Whether a token is of what has not been yet by the `last` one there is, as after a backup was restored: what its
    holder knows is not what there is here. Another replica's clock may be ahead a little. Raises `Refused` (400) for
    text that is no token."""
    (salt, seq, at), (ours, last_seq, reached) = _in_token(token), _in_token(last)
    return (salt == ours and seq > last_seq) or at > reached + OTHERS_MARGIN_MS


def _rough(number: int) -> int:
    """Its highest three bits."""
    least = max(number.bit_length() - 3, 0)
    return number >> least << least


def _turn(row: tuple[Any, ...]) -> WatchedTurn:
    turn = [*row]
    turn[0], turn[5] = row[0].hex(), bool(row[5])
    turn[-1] = None if row[-1] is None else bool(row[-1])
    return WatchedTurn(*turn)


def _turn_in(cursor: str) -> tuple[int, str]:
    if (found := re.fullmatch(r"(-?[0-9]{1,18})\.([0-9a-f]{32})", cursor)) is None:
        raise Refused(400, "cursor_invalid", "cursor: expected a value that an earlier answer gave")
    return int(found[1]), found[2]


def _token(salt: str, seq: int, at: int) -> str:
    return f"{salt}.{seq}.{at}"


def _in_token(token: str) -> tuple[str, int, int]:
    if (found := re.fullmatch(r"([0-9a-f]{12})\.([0-9]{1,18})\.([0-9]{1,18})", token)) is None:
        raise Refused(400, "after_invalid", "after: expected the id of an event of this stream")
    return found[1], int(found[2]), int(found[3])


def _place_in(cursor: str) -> tuple[int, str]:
    if (found := re.fullmatch(r"([0-9]{1,3})\.([0-9a-f]{32})", cursor)) is None:
        raise Refused(400, "cursor_invalid", "cursor: expected a value that an earlier answer gave")
    return int(found[1]), found[2]

"""How the watch gets on: a step at a time, each of some milliseconds and in one transaction, so that it can be ended,
or killed, at any moment and goes on from there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from touchbook.errors import StoreUnavailable
from touchbook.ledger import MILLISECONDS_A_DAY, Day, day_of
from touchbook.projections.stores.port import Reader, ReadProjections
from touchbook.projections.stores.watch_file import Batch, Described, WatchFile, new_salt
from touchbook.projections.sweep import Notices, Sweep
from touchbook.projections.touched import DECISIONS
from touchbook.scorecard import ScorecardSet
from touchbook.scoring import Marking

PAGE = 8
"""Groups of identifiers in one step of a walk over everybody, and touched identifiers looked at in one. While it takes
one, requests wait for the interpreter: with 32 answers took up to 20 ms. The first look at everybody costs a tenth to a
fifth more processor time for it; a new day costs no more."""
DAY_PAGE = 128
"""Rows to which a day is added in one step."""
LEFT_PAGE = 500
"""Rows of those whom a walk did not meet, in one step."""
MOST_TOUCHED = 200_000
"""Identifiers that wait in memory; were more touched, it costs less to walk over everybody."""
KEPT_DAYS = 7
"""For so long changes are told; and so far back tiers are compared where no walk ended meanwhile."""


class Steps:
    """Takes them, one at a time."""

    def __init__(
        self,
        projections: ReadProjections,
        cards: ScorecardSet,
        policies: str,
        notice: Notices,
        file: WatchFile,
        usual: Callable[[], str],
    ) -> None:
        """`policies` is the fingerprint of what `notice` goes by, and `usual` tells what stages usually last."""
        self._projections, self._cards, self._policies = projections, cards, policies
        self._marking = Marking(cards)
        self._heeds_decisions = not DECISIONS.isdisjoint(cards.signals)
        self._notice, self._file, self._usual = notice, file, usual
        self._waiting: dict[str, None] = {}
        self._heard: int | None = None
        """Up to where those who were touched are among those who wait."""
        self._walks_next = False
        self._log_holds_erased = False
        self.walk = 0
        """The number of the walk that is under way, or was last."""
        self.as_of: int | None = None
        """When all that was to be seen had been looked at."""

    @property
    def waiting(self) -> int:
        """Identifiers that were touched and not looked at since."""
        return len(self._waiting)

    def step(self, at: int) -> bool:
        """Looks at some who were touched, or at the next in a walk over everybody; whether there is more to do."""
        try:
            return self._step(at)
        except BaseException:
            self._heard = None  # what was not written is asked for again
            raise

    def _step(self, at: int) -> bool:
        known = self._hear()
        batch = Batch()
        with self._projections.reading() as reader:
            found = self._described(reader, at)
            stand = replace(found, as_of=self.as_of or found.as_of)
            if not (known and self._heard is not None):
                self._hear_of(reader, stand)
            if stand.version != reader.version():
                stand.version, stand.again = reader.version(), True
            self._begin_walk(stand, day_of(at))
            self.walk = stand.walk
            days = range(stand.since, stand.day + 1)
            aloud = stand.as_of is not None
            sweep = Sweep(reader, self._marking, self._notice, stand.walk, days, aloud, stand.anew)
            done = self._one_step(reader, sweep, stand, batch)
        left = len(self._waiting) - len(done)
        if not left and self._heard is not None:
            stand.position = self._heard
        more = bool(left) or stand.after is not None or stand.again
        if not more:
            stand.as_of = at
            if not aloud:  # from now on changes are told, and none was before
                stand.salt, stand.kept_from = new_salt(), at
        written = self._is_idle(found, stand, batch) or self._file.write(batch, stand, at)
        if not written:  # another process took a step
            self._heard = None
            return True
        self.as_of = stand.as_of
        for id in done:
            del self._waiting[id]
        if self._log_holds_erased:
            self._log_holds_erased = not self._file.truncated()
        return more

    def forget(self) -> None:
        """Takes away what is kept of everybody who was erased; all of it where the file is damaged."""
        if not self._file.path.exists():
            return
        try:
            if self._file.described() is not None:
                with self._projections.reading() as reader:
                    self._purge(reader)
                return
        except StoreUnavailable:
            if not self._file.damaged:
                raise
        self._file.discard()

    def _purge(self, reader: Reader) -> None:
        self._notice.forget()
        erased = reader.all_erased()
        self._log_holds_erased = not self._file.purge(erased)
        self._waiting.update((one.id, None) for one in reader.known(erased))  # those who came back

    @staticmethod
    def _is_idle(found: Described, stand: Described, batch: Batch) -> bool:
        return not batch.kept and found.as_of is not None and replace(stand, as_of=found.as_of) == found

    # Where it stands

    def _described(self, reader: Reader, at: int) -> Described:
        """What is there, without those who were erased since; anew if it is damaged, or was made of something else."""
        made_of = f"{reader.made_by()} {self._cards.fingerprint} {self._policies}"
        found = None if self._file.damaged else self._file.described()
        if found is None or found.made_of != made_of or found.position > reader.position():
            self._waiting.clear()
            self._heard = self.as_of = None
            found = self._file.make(made_of, reader.version(), reader.position(), day_of(at), at)
        if found.version != reader.version():
            self._purge(reader)
            found = self._file.described() or found
        return found

    def _hear(self) -> bool:
        """Asked before the look begins, which then sees as much at least; False where this process does not know."""
        if self._heard is None:
            return False
        touched, position = self._projections.touched_since(self._heard, self._heeds_decisions)
        if touched is None:
            return False
        self._waiting.update(dict.fromkeys(sorted(touched)))
        self._heard = position
        return True

    def _hear_of(self, reader: Reader, stand: Described) -> None:
        since = stand.position if self._heard is None else self._heard
        touched = reader.touched_after(since, MOST_TOUCHED)
        self._heard = reader.position()
        if touched is None:
            stand.again = True
        else:
            self._waiting.update(dict.fromkeys(sorted(touched)))

    def _begin_walk(self, stand: Described, day: Day) -> None:
        """One that is under way on another day need not be ended: the new one compares the days that it missed."""
        whole = stand.again or stand.swept is None or (stand.after is not None and stand.whole)
        if day > stand.day:
            last = day - 1
            stand.since = last if stand.swept is None else max(min(stand.swept, last), day - KEPT_DAYS)
            stand.day, before = day, stand.usual
            stand.usual = self._usual()
            stand.anew = stand.usual != before or (stand.anew and stand.after is not None)
        elif stand.after is not None or not stand.again:
            return
        stand.walk, stand.after, stand.whole, stand.again, stand.counted = stand.walk + 1, "", whole, False, 0

    # What is done in it

    def _one_step(self, reader: Reader, sweep: Sweep, stand: Described, batch: Batch) -> set[str]:
        """Those who waited and are looked at now; by turns with the walk, if both are to go on."""
        walks = stand.after is not None and (self._walks_next or not self._waiting)
        self._walks_next = not walks
        if walks and stand.whole:
            self._walk(reader, sweep, stand, batch)
            return set()
        if walks:
            self._add_day(reader, sweep, stand, batch)
            return set()
        asked = {id for id, _ in zip(self._waiting, range(PAGE), strict=False)}
        members = reader.groups_of(asked) if asked else []
        sweep.look(members, self._file.kept, batch)
        return asked | {one.id for one in members if one.id in self._waiting}

    def _walk(self, reader: Reader, sweep: Sweep, stand: Described, batch: Batch) -> None:
        assert stand.after is not None
        if members := reader.groups_after(stand.after, PAGE):
            stand.after = members[-1].group
            stand.counted += sweep.look(members, self._file.kept, batch)
        elif left := self._file.left(stand.walk, LEFT_PAGE):
            sweep.leave(left, batch)
        else:
            self._end_walk(stand)

    def _add_day(self, reader: Reader, sweep: Sweep, stand: Described, batch: Batch) -> None:
        """To rows alone: who has none, or another now, was touched and waits. Rows of nobody are taken away."""
        assert stand.after is not None
        if page := self._file.page(stand.after, PAGE if stand.anew else DAY_PAGE):
            stand.after = page[-1].customer.hex()
            stand.counted += len(page)
            known = {one.id for one in reader.known([one.customer.hex() for one in page])}
            sweep.leave(self._file.kept({one.customer.hex() for one in page} - known).values(), batch)
            if anew := sweep.due_anew(page):
                sweep.look(reader.groups_of(anew), self._file.kept, batch)
            sweep.add_day(page, batch)
        else:
            self._end_walk(stand)

    def _end_walk(self, stand: Described) -> None:
        stand.after, stand.swept = None, stand.day
        before = stand.day * MILLISECONDS_A_DAY - KEPT_DAYS * MILLISECONDS_A_DAY
        self._file.prune(before, stand.day - KEPT_DAYS)
        stand.kept_from = max(stand.kept_from, before)

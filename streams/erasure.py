"""Erasing a customer, step by step, so that a kill at any moment leaves something that is completed by itself.

1. In the writer's turn, while nothing is recorded: the receipt is begun (it names every key that will go); the keys are
   destroyed, their names on the disk first; an erasure is recorded in the journal. What was appended before can no
   longer be opened, what comes afterwards is sealed under new keys: the person returned.
2. Whoever folds the journal takes his rows away where he meets the erasure, and makes anew what others said of him.
3. What was set aside and names him is destroyed.
4. The projections are replaced by a copy without anything that was ever deleted; other builds are removed.

Keys are destroyed by name and never by owner once the receipt is begun, so completing an erasure cannot touch somebody
who has returned since.
"""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Protocol

from touchbook.errors import CustomerUnknown, ErasureUnknown, RebuildRunning, Refused
from touchbook.positions import position_of, token_of
from touchbook.projections.customers import Customers
from touchbook.projections.fold import Folder
from touchbook.projections.stores.port import ReadProjections
from touchbook.projections.who import Customer
from touchbook.schemas.times import rfc3339
from touchbook.sealing import new_key_id
from touchbook.streams.backends.sqlite_keyring import SqliteKeyring
from touchbook.streams.control import Control, SetAside
from touchbook.streams.journal import Journal
from touchbook.streams.naming import Named
from touchbook.streams.rebuild import scrub
from touchbook.streams.receipts import Receipt, Receipts

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 30.0
"""How long whoever asks waits for the last steps; they go on without him."""
AGAIN_SECONDS = 2.0
ATTEMPTS = 5
"""How often his members are looked up anew because something of his was recorded meanwhile."""
PAGE = 500

NOT_REACHED = (
    "the clear headers of his records: a key, source, type, channel, times and the keyed hash of an identifier",
    "what other customers' touchpoints say of him, such as an address that two people gave: it is sealed under their "
    "keys, and an identifier they carry stays known as theirs (named_by_others)",
    "backups of the projections or of the whole disk, and what the disk keeps of files that were removed",
    "copies of the keyring that are opened without the list of destroyed keys",
    "whatever else other systems were told: streams, exports, logs of what called this API",
)


class Erases(Protocol):
    """Erases customers for good. Methods may be called from any thread."""

    receipts: Receipts

    def erase(self, member: str, by: str | None = None, id: str | None = None) -> Receipt: ...

    def finish(self, patience: float = PATIENCE_SECONDS) -> list[Receipt]: ...

    def start(self) -> None: ...

    def close(self) -> None: ...


class Erasing(ABC):
    """See `Erases`. Erases customers, one at a time, and keeps a receipt of each; where the journal is decides how keys
    and rows go."""

    def __init__(
        self,
        journal: Journal,
        keyring: SqliteKeyring,
        control: Control,
        projections: ReadProjections,
        customers: Customers,
        receipts: Receipts,
        clock: Callable[[], int],
    ) -> None:
        self._journal = journal
        self._keyring = keyring
        self._control = control
        self._projections = projections
        self._customers = customers
        self._clock = clock
        self.receipts = receipts
        self._one = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    @abstractmethod
    def _settled(self, deadline: float) -> int | None:
        """Waits until all that is recorded by now is folded, and answers how far that is; None if it is not by then."""

    @abstractmethod
    def _strike(self, receipt: Receipt, since: int | None) -> bool:
        """Begins the receipt, with the keys that will go, and destroys them. False, and nothing is begun, where
        something of his was recorded since `since`: it may have brought another member."""

    @abstractmethod
    def _destroy(self, receipt: Receipt) -> None:
        """Destroys the keys that the receipt names and records the erasure. May be called again."""

    @abstractmethod
    def _taken_away(self, receipt: Receipt, deadline: float) -> bool:
        """Whether his rows are gone by then, for all who read."""

    @abstractmethod
    def _scrubbed(self, receipt: Receipt, deadline: float) -> bool:
        """Whether no file of the projections holds a byte of him by then, or when that will be is known."""

    @abstractmethod
    def _stores(self) -> list[dict[str, str]]:
        """What was done where."""

    def erase(self, member: str, by: str | None = None, id: str | None = None) -> Receipt:
        """Erases the customer whom this permanent id belongs to, all members; the receipt says whether it is done.

        Asked again, also after a crash, it answers the same receipt, unless he has returned since. With an `id` that
        the caller drew (32 hex letters) that holds whatever has happened since. `by` is the access key that asked.
        Raises CustomerUnknown; Refused, 409 for an `id` under which somebody else was erased and 503 while the journal
        is not folded up to now; JournalUnavailable if the store failed, and then what was begun is completed later.
        """
        with self._one:
            receipt = self._known(id, member) or self._begun(member, by, id or new_key_id())
            if receipt["state"] != "done":
                try:
                    self._finish(receipt, PATIENCE_SECONDS)
                finally:
                    self._wake.set()
        return receipt

    def finish(self, patience: float = PATIENCE_SECONDS) -> list[Receipt]:
        """Completes what is under way, as far as it goes; the receipts of what still is."""
        with self._one:
            for receipt in self.receipts.open():
                self._finish(receipt, patience)
        return self.receipts.open()

    def start(self) -> None:
        """From now on a thread completes what is under way."""
        self._wake.set()
        self._thread = threading.Thread(target=self._run, name="erasures", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """What is under way is left at its next step; the next start completes it. May be called again."""
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        with self._one:
            self.receipts.close()

    def _run(self) -> None:
        waiting = False
        while True:
            self._wake.wait(AGAIN_SECONDS if waiting else None)
            self._wake.clear()
            if self._closing:
                return
            try:
                waiting = bool(self.finish(AGAIN_SECONDS))
            except (
                Exception
            ) as error:  # a store that fails now will not for ever, and nothing is lost by waiting
                log.warning("an erasure is not completed yet (%s); trying again", type(error).__name__)
                waiting = True

    # The steps

    def _known(self, id: str | None, member: str) -> Receipt | None:
        try:
            receipt = None if id is None else self.receipts.get(id)
        except ErasureUnknown:
            return None
        if receipt is not None and member not in receipt["members"]:
            raise Refused(
                409, "erasure_id_reused", "id: it names the erasure of another customer; draw a new one"
            )
        return receipt

    def _begun(self, member: str, by: str | None, id: str) -> Receipt:
        last = self.receipts.last_of(member)
        if last is not None and last["state"] != "done":
            return last
        for attempt in range(1, ATTEMPTS + 1):
            settled = self._settled(time.monotonic() + PATIENCE_SECONDS)
            if settled is None:
                raise Refused(503, "not_visible", "the journal is not folded up to now; try again", 5)
            try:
                customer = self._customers.find(member)
            except CustomerUnknown:
                if last is None:
                    raise
                return last
            if last is not None and self._unchanged(customer, member):
                return last
            receipt = self._receipt(customer, by, id)
            if self._strike(receipt, settled if attempt < ATTEMPTS else None):
                return receipt
        raise AssertionError("the last attempt does not look back")

    def _unchanged(self, customer: Customer, member: str) -> bool:
        """Whether nothing named him again since his last erasure. What is known under his identifier then is another's
        who gave the same one, and asking once more must not erase that other."""
        own = next(one for one in customer.members if one.id == member)
        with self._projections.reading() as reader:
            return any(own.changed < position for _, position in reader.erased([member]))

    def _receipt(self, customer: Customer, by: str | None, id: str) -> Receipt:
        with self._projections.reading() as reader:
            rows = reader.rows_of(customer.ids)
        return {
            "erasure": id,
            "state": "begun",
            "requested_at": rfc3339(self._clock()),
            "requested_by": by,
            "finished_at": None,
            "customer": customer.id,
            "members": customer.ids,
            "position": None,
            "touchpoints": sum(member.touchpoints for member in customer.members),
            "destroyed_keys": [],
            "rows": rows,
            "set_aside": [],
            "named_by_others": [],
            "files": [],
            "destroyed_list": self._list(),
            "not_reached": list(NOT_REACHED),
        }

    def _list(self) -> dict[str, str]:
        return {"file": str(self._keyring.list.file), "sha256": self._keyring.list.digest()}

    def _finish(self, receipt: Receipt, patience: float) -> None:
        deadline = time.monotonic() + patience
        if receipt["state"] == "begun":
            self._destroy(receipt)
        if not self._taken_away(receipt, deadline):
            return
        self._customers.forget()
        self._clear_set_aside(receipt)
        if not self._scrubbed(receipt, deadline):
            return
        with self._projections.reading() as reader:
            receipt["named_by_others"] = sorted(one.id for one in reader.known(receipt["members"]))
        receipt["files"] = self._stores()
        receipt["finished_at"] = rfc3339(self._clock())
        receipt["state"] = "done"
        self.receipts.change(receipt)

    def _clear_set_aside(self, receipt: Receipt) -> None:
        with self._projections.reading() as reader:
            keys = set(reader.keys_of(receipt["members"]))
        named = Named(receipt["members"], self._journal.id_of, keys.__contains__, self._journal.rules)
        found = [item.key for item in self._set_aside() if named.by(item)]
        receipt["set_aside"] = sorted({*receipt["set_aside"], *found})
        self.receipts.change(receipt)  # before they go: what is gone is not found again after a crash
        self._control.remove(found)

    def _set_aside(self) -> Iterator[SetAside]:
        cursor: str | None = None
        while True:
            items, cursor = self._control.list_set_aside(None, PAGE, cursor)
            yield from items
            if cursor is None:
                return


class Erasures(Erasing):
    """Where one process writes the journal."""

    def __init__(
        self,
        directory: Path,
        journal: Journal,
        keyring: SqliteKeyring,
        control: Control,
        projections: ReadProjections,
        folder: Folder,
        customers: Customers,
        receipts: Receipts,
        visible: Callable[[int, float], bool],
        clock: Callable[[], int],
    ) -> None:
        """`visible` waits until a position is folded, at most so many seconds, and says whether it is."""
        super().__init__(journal, keyring, control, projections, customers, receipts, clock)
        self._directory = directory
        self._folder = folder
        self._visible = visible

    def strike_again(self) -> None:
        """Destroys what an erasure had begun to destroy when the process ended. Before anything new is recorded."""
        for receipt in self.receipts.open():
            if receipt["state"] == "begun":
                self._destroy(receipt)

    def _settled(self, deadline: float) -> int | None:
        head = self._journal.head()
        return head if self._folded(head, deadline) else None

    def _strike(self, receipt: Receipt, since: int | None) -> bool:
        return self._journal.alone(partial(self._strike_now, receipt, since)).result()

    def _destroy(self, receipt: Receipt) -> None:
        self._journal.alone(partial(self._destroy_now, receipt)).result()

    def _strike_now(self, receipt: Receipt, since: int | None) -> bool:
        """In the writer's turn."""
        if since is not None and any(subject in receipt["members"] for subject in self._subjects(since)):
            return False
        receipt["destroyed_keys"] = self._keyring.key_ids(receipt["members"])
        self.receipts.begin(receipt)
        self._destroy_now(receipt)
        return True

    def _destroy_now(self, receipt: Receipt) -> None:
        self._keyring.destroy_keys(receipt["destroyed_keys"])
        at = self._journal.mark_erased(receipt["erasure"], receipt["customer"], receipt["members"])
        receipt["position"] = token_of(at)
        receipt["state"] = "struck"
        receipt["destroyed_list"] = self._list()
        self.receipts.change(receipt)

    def _subjects(self, after: int) -> Iterator[str]:
        while records := self._journal.read(after):
            yield from (record.subject for record in records)
            after = records[-1].position

    def _taken_away(self, receipt: Receipt, deadline: float) -> bool:
        return self._folded(position_of(receipt["position"]), deadline)

    def _stores(self) -> list[dict[str, str]]:
        return _files()

    def _folded(self, position: int, deadline: float) -> bool:
        while not self._visible(position, 0.5):
            if self._closing or time.monotonic() > deadline:
                return False
        return True

    def _is_closing(self) -> bool:
        return self._closing

    def _scrubbed(self, receipt: Receipt, deadline: float) -> bool:
        """Once more where a rebuild that was only about to meet the erasure began to serve just before."""
        position = position_of(receipt["position"])
        while True:
            try:
                if scrub(self._directory, self._journal, self._folder.anew(), self._is_closing) >= position:
                    return True
            except RebuildRunning:
                if time.monotonic() > deadline or self._closing:
                    return False
                time.sleep(0.1)


def _files() -> list[dict[str, str]]:
    return [
        {"file": "keyring.sqlite", "done": "his keys were overwritten in place, and the log truncated"},
        {"file": "journal.sqlite", "done": "nothing was changed: no key opens his bodies any more"},
        {
            "file": "projections-*.sqlite",
            "done": "replaced by a copy without his rows; all older ones removed",
        },
        {"file": "control.sqlite", "done": "what was set aside of him was removed, after its keys"},
    ]

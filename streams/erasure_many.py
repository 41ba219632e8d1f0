"""Erasing a customer where many processes write the journal and many fold it.

1. No process seals anything with his keys any more: they are retired, and every process is given the time to notice.
   Then the receipt is begun (it names every key that will go), the keys are destroyed, and the erasure is recorded in
   each part of the journal that holds touchpoints of his.
2. Whichever worker meets it there takes his rows away, in ClickHouse and in the compacted topics, and makes anew what
   can still be opened: he returned while he was being erased.
3. Every replica takes them out of its own store where it reads that they are gone.
4. What was set aside and names him is destroyed.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from touchbook.errors import CustomerUnknown
from touchbook.positions import part_of, position_of, token_of
from touchbook.projections.customers import Customers
from touchbook.projections.stores.port import ReadProjections
from touchbook.streams.backends.kafka_keyring import KafkaKeyring
from touchbook.streams.control import Control
from touchbook.streams.erasure import Erasing
from touchbook.streams.follow import Following
from touchbook.streams.journal import Journal
from touchbook.streams.receipts import Receipt, Receipts

LOOK_SECONDS = 0.5


class ManyErasures(Erasing):
    """See `Erasing`. Any replica erases; one whose process ended is completed by the next replica that starts."""

    def __init__(
        self,
        journal: Journal,
        keyring: KafkaKeyring,
        control: Control,
        projections: ReadProjections,
        customers: Customers,
        receipts: Receipts,
        follower: Following,
        clock: Callable[[], int],
        erased_within_ms: int,
    ) -> None:
        """`erased_within_ms` is how long brokers keep what was taken out of a compacted topic at most."""
        super().__init__(journal, keyring, control, projections, customers, receipts, clock)
        self._keys = keyring
        self._follower = follower
        self._erased_within_ms = erased_within_ms

    def _settled(self, deadline: float) -> int | None:
        heads = [self._journal.head(part) for part in range(self._journal.parts)]
        return self._follower.folded if self._shown([head for head in heads if head], deadline) else None

    def _strike(self, receipt: Receipt, since: int | None) -> bool:
        keys = self._keys.key_ids(receipt["members"])
        self._keys.retire(keys)
        if since is not None and not self._still_all(receipt):
            return False
        receipt["destroyed_keys"] = keys
        self.receipts.begin(receipt)
        self._destroy(receipt)
        return True

    def _still_all(self, receipt: Receipt) -> bool:
        """Whether nothing that was recorded until his keys were retired brought another member."""
        if self._settled(time.monotonic() + LOOK_SECONDS * 20) is None:
            return False
        try:
            return set(self._customers.find(receipt["customer"]).ids) <= set(receipt["members"])
        except CustomerUnknown:
            return True

    def _destroy(self, receipt: Receipt) -> None:
        self._keys.destroy_keys(receipt["destroyed_keys"])
        at = [
            self._journal.mark_erased(receipt["erasure"], member, [member]) for member in receipt["members"]
        ]
        receipt["positions"] = [token_of(position) for position in at]
        receipt["position"] = receipt["positions"][receipt["members"].index(receipt["customer"])]
        receipt["state"] = "struck"
        receipt["destroyed_list"] = self._list()
        self.receipts.change(receipt)

    def _taken_away(self, receipt: Receipt, deadline: float) -> bool:
        return self._shown([position_of(token) for token in receipt["positions"]], deadline)

    def _scrubbed(self, receipt: Receipt, deadline: float) -> bool:
        return True  # when the last byte goes is the stores' own doing, and the receipt says by when

    def _stores(self) -> list[dict[str, str]]:
        hours = self._erased_within_ms / 3_600_000
        within = (
            f"brokers remove the bytes within {hours:g} hours of the next write there (max.compaction.lag.ms)"
        )
        return [
            {"file": "topic keys", "done": f"his keys were destroyed; {within}"},
            {"file": "topic journal", "done": "nothing was changed: no key opens his bodies any more"},
            {"file": "topic decisions", "done": "nothing was changed: no key opens his bodies any more; brokers remove "
             "them after a month"},
            {"file": "topics ledgers, registers, claims", "done": f"his records were taken out; {within}"},
            {"file": "ClickHouse", "done": "his rows are invisible, and deleted by a mutation that it runs by itself"},
            {"file": "keyring.sqlite, projections of each replica", "done": "his keys and rows were overwritten where "
             "the replica read that they are gone"},
            {"file": "topic set-aside", "done": f"what was set aside of him was taken out, after its keys; {within}"},
        ]  # fmt: skip

    def _shown(self, positions: list[int], deadline: float) -> bool:
        """Whether readers of this replica see all of these in time."""
        furthest: dict[int, int] = {}
        for position in positions:
            furthest[part_of(position)] = max(position, furthest.get(part_of(position), 0))
        while not all(map(self._follower.shows, furthest.values())):
            if self._closing or time.monotonic() > deadline:
                return False
            for position in furthest.values():
                self._follower.wait(position, LOOK_SECONDS)
        return True

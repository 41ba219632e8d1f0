"""Contacts: where we spoke to a customer, are about to, or did not after all, as the journal tells.

What is recorded, not what it comes to: whether a reservation still holds and what counts against which cap is for
those who decide.
"""

from __future__ import annotations

from typing import NamedTuple


class ContactRow(NamedTuple):
    """One of them. `subject` is the permanent id it was recorded under; times are milliseconds UTC.

    `kind`         reserved, confirmed or released; or sent: a message that went out
    `reservation`  which, of the first three; of a message the one it was sent under, None where it asked nobody
    `counts`       whether it takes from what may be said to him, as was decided; None where nobody did
    `until`        how long a reservation holds unless it is confirmed
    """

    subject: str
    occurred_at: int
    key: str
    kind: str
    reservation: str | None
    channel: str
    purpose: str | None = None
    tags: tuple[str, ...] = ()
    campaign: str | None = None
    counts: bool | None = None
    until: int | None = None

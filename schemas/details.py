"""What every touchpoint type declares: its fields, and beside them what it means.

A type is one frozen pydantic model. Next to its fields it says which signals it gives, which registers it sets,
whether it is a message that waits for an answer (or is one), whether the customer himself may see it, and how it
reads on a timeline. Everything downstream is generic: nothing else in the code knows a type by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from threading import RLock
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from touchbook.schemas.display import Display
from touchbook.schemas.numbers import NotBoolean

Text = Annotated[str, StringConstraints(max_length=32_768)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Code = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Count = Annotated[int, Field(ge=0, le=10**12), NotBoolean]
Seconds = Annotated[int, Field(ge=0, le=10**9), NotBoolean]

Direction = Literal["in", "out", "internal"]
Purpose = Literal["welcome", "teach", "support", "offer", "service", "survey", "legal"]
Stance = Literal["praises", "attacks", "defends"]
Role = Literal["customer", "agent", "bot"]
RegisterKind = Literal[
    "trait", "consent", "preference", "case", "case_opened", "case_stage", "stage",
    "promise", "promise_outcome", "promise_overdue", "verdict",
]  # fmt: skip
Family = Literal[
    "conversation", "feedback", "commerce", "service", "recommendation", "immersive",
    "information", "loyalty", "learning", "account", "person", "other",
]  # fmt: skip

INTEREST, VIA, SPEND, REFUND = "interest:", "via:", "spend:", "refund:"
"""Families of signals, by prefix: a category, a channel, or a currency follows."""


class Signal(NamedTuple):
    """Something countable. One touchpoint counts a signal once; `total` adds up money, seconds or points."""

    name: str
    total: int = 0


class Register(NamedTuple):
    """A latest-wins value: `("trait", "name", "Ann")`. `value` is JSON; None clears it.

    The latest (occurred_at, key) wins per (kind, key), so facts that must outlive one another (a case's title
    and its stage, a promise's due time and what became of it) have kinds of their own under one key:

    trait, consent, preference   of the person
    case             "case:C-7" or "order:10482" -> {"kind": "case" | "order", "id": "C-7", "state": …}
                     with the states "open" and "closed"
    case_opened      the same key -> {"title": … | None}, set by what opened it: its time is the case's age
    case_stage       the same key -> {"stage": "packed"}; silent about the state, so no late stage reopens
    stage            the same key, a line break, the stage -> {"case": the key, "stage": "packed"}: its time is when
                     that stage was last entered
    promise          promise id -> {"what": …, "due": milliseconds UTC}
    promise_outcome  promise id -> {"state": "open" | "kept" | "broken"}
    promise_overdue  promise id -> {"due": milliseconds UTC | None}: that due time passed unheard of; what becomes of
                     the promise is said by its outcome alone, however early that was
    verdict          key of the touchpoint that opened a turn -> {"type": "request_late", "waited": seconds | None,
                     "policy": … | None}; of a matter "silent:case:K" -> {"since": milliseconds UTC}, and
                     "stuck:order:K" -> {"stage": …, "since": …}

    A case known only by a later fact has that fact's register alone: a stage without a state is open.
    """

    kind: RegisterKind
    key: str
    value: Any


class Message(NamedTuple):
    """Whose word in a thread it is. A public one of an agent or bot answers the customer's messages before it.

    `closes`: the matter is over with it; what the customer says afterwards opens the thread anew.
    """

    role: Role
    public: bool
    closes: bool = False


ContactKind = Literal["reserved", "confirmed", "released", "sent"]


class Contact(NamedTuple):
    """That we speak to the customer, are about to, or do not after all. See `contacts.ContactRow`.

    `channel`  None is that of the touchpoint
    `counts`   whether it takes from what may be said to him; None where only the contact policy can tell
    `until`    how long a reservation holds unless it is confirmed, milliseconds UTC
    """

    kind: ContactKind
    reservation: str | None
    channel: str | None = None
    purpose: str | None = None
    tags: tuple[str, ...] = ()
    campaign: str | None = None
    counts: bool | None = None
    until: int | None = None


class Actor(BaseModel):
    """Who did it."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: Literal["customer", "agent", "bot", "system"]
    name: Name | None = None
    team: Name | None = None


_BUILDING = RLock()


class Details(BaseModel):
    """The root of every touchpoint type, with the fields that any of them may carry.

    Unknown fields are welcome and kept. Subclasses set the class attributes below:

    `gives`            every signal the type can give besides its own name (which it always gives); a family of
                       signals stands as its prefix
    `for_customer`     whether the customer himself may see it
    `withheld`         fields, at any depth of its data, that he is not shown all the same; `campaign` is always one
    `from_public_key`  whether a key that sits in a web page may publish it
    """

    model_config = ConfigDict(frozen=True, extra="allow", strict=False, allow_inf_nan=False, defer_build=True)

    type: ClassVar[str]
    version: ClassVar[int] = 1
    family: ClassVar[Family]
    display: ClassVar[Display]
    gives: ClassVar[tuple[str, ...]] = ()
    default_direction: ClassVar[Direction] = "in"
    for_customer: ClassVar[bool] = True
    withheld: ClassVar[frozenset[str]] = frozenset({"campaign"})
    from_public_key: ClassVar[bool] = False

    thread: Name | None = Field(None, description="The conversation, case or order it belongs to.")
    in_reply_to: Name | None = Field(None, description="The id of the touchpoint it answers.")
    actor: Actor | None = Field(None, description="Who did it: customer, agent, bot or system.")
    direction: Direction | None = Field(
        None, description="in: from the customer; out: to him; internal: neither."
    )
    purpose: Purpose | None = Field(None, description="Why we speak to him.")
    campaign: Name | None = Field(None, description="The campaign it belongs to.")
    decision: Name | None = Field(
        None, description="The decision (of a recommender or contact policy) behind it."
    )
    content: Name | None = Field(None, description="Id of the content shown or sent.")
    content_version: Name | None = Field(None, description="Version of that content.")
    location: Name | None = Field(None, description="Shop, branch or place.")

    @classmethod
    def model_rebuild(cls, **more: Any) -> bool | None:
        """Built when first used, by one thread at a time: pydantic's own way would now and then show another, for a
        moment, the validator of a base class."""
        with _BUILDING:
            return super().model_rebuild(**{"_types_namespace": {}, **more})

    def signals(self) -> Iterable[Signal]:
        """The signals besides the type's own name. The same name twice counts once, totals added."""
        return ()

    def registers(self) -> Iterable[Register]:
        """The latest-wins values it sets; `Register` lists the kinds, their keys and values."""
        return ()

    def message(self) -> Message | None:
        """The message it is in its thread, or None. Only counted when `thread` is set."""
        return None

    def contact(self) -> Contact | None:
        """What it says of our speaking to him, for those who decide whether we may speak again; mostly nothing."""
        return None

    def marks(self) -> Iterable[str]:
        """What a reader should know about the data, e.g. `money_without_currency`."""
        return ()

    def shown_to_customer(self) -> bool:
        """Whether this very touchpoint may appear on the customer's own page."""
        return self.for_customer

    def taken_direction(self) -> Direction:
        """The direction as said, else by who acted, else the type's default."""
        if self.direction:
            return self.direction
        if self.actor is None or self.default_direction == "internal" or self.actor.kind == "system":
            return self.default_direction
        return "in" if self.actor.kind == "customer" else "out"

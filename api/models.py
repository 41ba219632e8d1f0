"""What requests and answers look like, with an example of each. The answers are written by hand for speed; a test
holds every one of them against its model here."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

from touchbook.schemas.details import Direction, Purpose
from touchbook.schemas.envelope import ID_PATTERN
from touchbook.streams.control import KeyRole

Time = Annotated[
    str,
    Field(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
        description="RFC 3339, UTC, with milliseconds.",
        examples=["2026-03-02T09:15:00.000Z"],
    ),
]
Day = Annotated[
    str, Field(pattern=r"^\d{4}-\d\d-\d\d$", description="A UTC day, YYYY-MM-DD.", examples=["2026-03-02"])
]
Key = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", examples=["9f86d081884c7d659a2feaa0c55ad015"])]
Id = Annotated[str, Field(pattern=ID_PATTERN)]
Position = Annotated[
    str, Field(description="An opaque token: compared only by the server.", examples=["j1.1042"])
]

_KEY = "9f86d081884c7d659a2feaa0c55ad015"
_CUSTOMER = "3a7bd3e2360a3d29eea436fcfb7e44c7"
_TIME = "2026-03-02T09:15:00.000Z"


def _example(*examples: dict[str, Any] | list[Any]) -> dict[str, Any]:
    return {"examples": list(examples)}


class Answer(BaseModel):
    """An answer has exactly these fields. Only descriptions and tests ask for it, so a start builds none."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


class Question(BaseModel):
    """A body that is read by its model has exactly these fields."""

    model_config = ConfigDict(extra="forbid")


class Open(BaseModel):
    """Fields besides these are welcome and kept. Bodies that are so are read by hand."""

    model_config = ConfigDict(extra="allow", defer_build=True)


# Problems


class WrongField(
    Answer,
    json_schema_extra=_example({"in": "query", "field": "at", "message": "expected a UTC day as YYYY-MM-DD"}),
):
    """One parameter or field that is not as documented."""

    in_: str = Field(alias="in", description="Where it stands: path, query, header or body.")
    field: str
    message: str


class Problem(Answer):
    """An error (RFC 9457). `code` is stable; `message` is the same as `detail`."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra=_example(
            {
                "type": "urn:touchbook:problem:customer_unknown",
                "title": "Not Found",
                "status": 404,
                "detail": "no touchpoint was ever recorded for this customer",
                "code": "customer_unknown",
                "message": "no touchpoint was ever recorded for this customer",
            }
        ),
    )

    type: str
    title: str
    status: int
    detail: str
    code: str
    message: str
    field: str | None = Field(None, description="The field it is about, as the sender wrote it.")
    errors: list[WrongField] | None = Field(None, description="Every parameter that is wrong.")
    id: str | None = Field(None, description="Of a failure on our side: the log has it too.")
    set_aside: str | None = Field(None, description="The key under which an item was set aside.")
    checks: dict[str, Any] | None = Field(None, description="What readiness found.")


# Publishing


class Segment(Open):
    """What all of Segment's calls carry. `userId` or `anonymousId` is needed; null equals absent."""

    userId: str | None = None  # noqa: N815  (Segment's own names)
    anonymousId: str | None = None  # noqa: N815
    messageId: Id | None = Field(None, description="A retry has the same.")  # noqa: N815
    timestamp: str | None = Field(None, description="When it happened, RFC 3339.")
    sentAt: str | None = Field(None, description="When it was sent, by the same clock.")  # noqa: N815
    context: dict[str, Any] | None = None
    integrations: dict[str, Any] | None = None


class Track(Segment):
    model_config = ConfigDict(
        json_schema_extra=_example(
            {
                "userId": "42",
                "event": "Order Completed",
                "properties": {"order_id": "A-1001", "total": 12.5, "currency": "EUR"},
                "messageId": "order-a-1001",
                "timestamp": _TIME,
            }
        )
    )

    event: str
    properties: dict[str, Any] | None = None


class Identify(Segment):
    model_config = ConfigDict(
        json_schema_extra=_example(
            {
                "userId": "42",
                "traits": {"name": "Ann", "email": "ann@example.test"},
                "messageId": "identify-42",
            }
        )
    )

    traits: dict[str, Any] | None = None


class Page(Segment):
    model_config = ConfigDict(
        json_schema_extra=_example(
            {
                "anonymousId": "a-77",
                "name": "Pricing",
                "properties": {"path": "/pricing"},
                "messageId": "page-1",
            }
        )
    )

    name: str | None = None
    category: str | None = None
    properties: dict[str, Any] | None = None


class Screen(Page):
    model_config = ConfigDict(
        json_schema_extra=_example({"userId": "42", "name": "Cart", "messageId": "screen-1"})
    )


class Group(Segment):
    model_config = ConfigDict(
        json_schema_extra=_example({"userId": "42", "groupId": "company-9", "traits": {"plan": "gold"}})
    )

    groupId: str  # noqa: N815
    traits: dict[str, Any] | None = None


class Alias(Segment):
    model_config = ConfigDict(
        json_schema_extra=_example({"previousId": "a-77", "userId": "42", "messageId": "alias-1"})
    )

    previousId: str  # noqa: N815


class Batch(Open):
    """Many calls at once, each with its `type`. `context` and `integrations` are inherited by the items."""

    model_config = ConfigDict(
        json_schema_extra=_example(
            {
                "batch": [
                    {
                        "type": "track",
                        "userId": "42",
                        "event": "chat_started",
                        "messageId": "chat-1",
                        "timestamp": _TIME,
                    },
                    {"type": "page", "anonymousId": "a-77", "name": "Pricing", "messageId": "page-1"},
                ],
                "sentAt": _TIME,
            }
        )
    )

    batch: list[Any]
    sentAt: str | None = None  # noqa: N815
    context: dict[str, Any] | None = None
    integrations: dict[str, Any] | None = None


SEGMENT_BODIES: dict[str, type[BaseModel]] = {
    "track": Track,
    "identify": Identify,
    "page": Page,
    "screen": Screen,
    "group": Group,
    "alias": Alias,
    "batch": Batch,
}

_EVENT = {
    "specversion": "1.0",
    "id": "chat-77-1",
    "source": "web-chat",
    "type": "chat_message_sent",
    "time": _TIME,
    "data": {"identifiers": {"user_id": "42"}, "thread": "chat-77", "text": "Where is my order?"},
}


class CloudEvent(Open):
    """A CloudEvent 1.0. `data` holds the type's fields and `identifiers`."""

    model_config = ConfigDict(json_schema_extra=_example(_EVENT))

    specversion: Literal["1.0"]
    id: Id
    source: str = Field(description="The source your key belongs to.")
    type: str = Field(description="One of GET /v1/schemas; others are welcome too.")
    time: str | None = Field(None, description="When it happened, RFC 3339.")
    dataschema: str | None = Field(
        None, description="urn:touchbook:schema:TYPE:VERSION; the newest where absent."
    )
    channel: str | None = Field(None, description="Where it happened, if not on the channel of your key.")
    data: dict[str, Any] | None = None


class CloudEventBatch(RootModel[list[CloudEvent]]):
    """Several events; each is judged alone."""

    model_config = ConfigDict(defer_build=True, json_schema_extra=_example([_EVENT]))


class RejectedItem(
    Answer,
    json_schema_extra=_example(
        {"index": 1, "code": "identifier_missing", "message": "expected userId or anonymousId"}
    ),
):
    index: int = Field(description="Its place in the request, from 0.")
    code: str
    message: str


class Published(Answer):
    """What became of each item. Everything here is durable; what was rejected is set aside."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra=_example(
            {
                "success": True,
                "accepted": 1,
                "duplicates": 0,
                "rejected": [
                    {"index": 1, "code": "identifier_missing", "message": "expected userId or anonymousId"}
                ],
                "positions": ["j1.1042", None],
            }
        ),
    )

    success: Literal[True]
    accepted: int
    duplicates: int
    rejected: list[RejectedItem]
    positions: list[Position | None] = Field(description="One per item, null where it was rejected.")


class BrowserSettings(Open):
    """What Segment's browser SDK starts with."""

    model_config = ConfigDict(
        json_schema_extra=_example(
            {
                "integrations": {"Segment.io": {"apiKey": "KEY", "apiHost": "touchbook.example.test/v1"}},
                "plan": {},
            }
        )
    )

    integrations: dict[str, Any]
    plan: dict[str, Any]


# Customers


class IdentifierOut(
    Answer,
    json_schema_extra=_example(
        {"id": _CUSTOMER, "type": "user_id", "value": "42", "first_seen": _TIME, "last_seen": _TIME}
    ),
):
    id: Key = Field(description="Its permanent id: any member's answers for the customer.")
    type: str
    value: str
    first_seen: Time
    last_seen: Time


class RefusedLinks(
    Answer,
    json_schema_extra=_example(
        {
            "count": 1,
            "items": [
                {
                    "a": {"type": "device", "value": "till-3"},
                    "b": {"type": "user_id", "value": "42"},
                    "reason": "shared_identifier",
                    "strength": 1,
                    "occurred_at": _TIME,
                    "touchpoint": _KEY,
                    "source": "web-shop",
                }
            ],
        }
    ),
):
    count: int
    items: list[dict[str, Any]] = Field(
        description="The first 20: what was claimed, and why it does not hold."
    )


class Card(Answer):
    """Who a customer is."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra=_example(
            {
                "customer": _CUSTOMER,
                "identifiers": [
                    {
                        "id": _CUSTOMER,
                        "type": "user_id",
                        "value": "42",
                        "first_seen": _TIME,
                        "last_seen": _TIME,
                    }
                ],
                "refused_links": {"count": 0, "items": []},
                "traits": {"name": "Ann"},
                "first_seen": _TIME,
                "last_seen": _TIME,
                "touchpoints": 12,
                "version": "5d41402abc4b2a76b9719d911017c592",
            }
        ),
    )

    customer: Key
    identifiers: list[IdentifierOut]
    refused_links: RefusedLinks
    traits: dict[str, Any]
    first_seen: Time
    last_seen: Time
    touchpoints: int
    version: str


class LookupIn(Question):
    """Whom to look up. In a body, so that no e-mail or phone ever stands in a URL."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra=_example({"type": "email", "value": "ann@example.test"})
    )

    type: str = Field(max_length=50)
    value: str = Field(max_length=500)


class Contact(
    Answer,
    json_schema_extra=_example(
        {"allowed": False, "reasons": ["quiet_hours"], "next": "2026-03-19T07:00:00.000Z"}
    ),
):
    allowed: bool
    reasons: list[str]
    next: Time | None = Field(
        description="The earliest time at which nothing denies; null where it is now or never."
    )


class ScoreBrief(Answer, json_schema_extra=_example({"value": 62, "tier": "trusting"})):
    value: int | None
    tier: str | None


class OpenMatters(
    Answer,
    json_schema_extra=_example(
        {
            "cases": [
                {
                    "kind": "case",
                    "id": "C-7",
                    "stage": "in_repair",
                    "title": "Broken cup",
                    "opened_at": _TIME,
                    "age_days": 16,
                    "changed_at": _TIME,
                    "touchpoint": _KEY,
                }
            ],
            "requests": [
                {
                    "thread": "chat-77",
                    "channel": "web_chat",
                    "since": _TIME,
                    "age_days": 16,
                    "messages": 2,
                    "touchpoint": _KEY,
                }
            ],
            "promises": [
                {"id": "P-1", "what": "A new cup", "due": _TIME, "state": "overdue", "touchpoint": _KEY}
            ],
        }
    ),
):
    """Cases not closed, requests nobody answered, promises not kept."""

    cases: list[dict[str, Any]]
    requests: list[dict[str, Any]]
    promises: list[dict[str, Any]]


class Topic(Answer, json_schema_extra=_example({"topic": "delivery", "type": "chat_started", "at": _TIME})):
    topic: str
    type: str
    at: Time


class Context(Answer):
    """What a channel needs before it speaks, in one read. Keys of role read-scores see neither name nor traits, nor
    what anybody wrote: titles and promises' words are null, and there are no topics."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra=_example(
            {
                "name": "Ann",
                "traits": {"name": "Ann"},
                "customer": _CUSTOMER,
                "at": "2026-03-18",
                "version": "5d41402abc4b2a76b9719d91",
                "language": "en",
                "preferences": {"channels": ["email"]},
                "consents": {"offer": True},
                "scores": {"trust": {"value": 62, "tier": "trusting"}},
                "open": {"cases": [], "requests": [], "promises": []},
                "preferred_channel": "email",
                "last_topics": [{"topic": "delivery", "type": "chat_started", "at": _TIME}],
                "purpose": "offer",
                "contact": {"email": {"allowed": True, "reasons": ["consent_granted"], "next": None}},
            }
        ),
    )

    name: str | None = None
    traits: dict[str, Any] | None = None
    customer: Key
    at: Day
    version: str
    language: str | None
    preferences: dict[str, Any]
    consents: dict[str, bool]
    scores: dict[str, ScoreBrief]
    open: OpenMatters
    preferred_channel: str | None
    last_topics: list[Topic]
    purpose: str
    contact: dict[str, Contact] = Field(description="Per channel, for the purpose asked about.")


class ActorOut(Open, json_schema_extra=_example({"kind": "agent", "name": "Bob"})):
    kind: Literal["customer", "agent", "bot", "system"]
    name: str | None = None


_ITEM = {
    "key": _KEY,
    "id": "chat-77-1",
    "type": "chat_message_sent",
    "family": "conversation",
    "channel": "web_chat",
    "source": "web-chat",
    "direction": "in",
    "actor": {"kind": "customer", "name": None},
    "thread": "chat-77",
    "occurred_at": _TIME,
    "recorded_at": _TIME,
    "position": "j1.1042",
    "subject": _CUSTOMER,
    "headline": "Chat message from the customer",
    "detail": "Where is my order?",
    "icon": "message-circle",
    "late": False,
    "data": {"text": "Where is my order?", "thread": "chat-77", "actor": {"kind": "customer"}},
    "marks": [],
}


class TimelineItem(Answer):
    """One touchpoint as it reads on a timeline."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_example(_ITEM))

    key: Key
    id: str | None
    type: str
    family: str
    channel: str
    source: str
    direction: Direction
    actor: ActorOut | None
    thread: str | None
    occurred_at: Time
    recorded_at: Time
    position: Position
    subject: Key
    headline: str
    detail: str
    icon: str
    late: bool = Field(description="It arrived well after it happened.")
    data: dict[str, Any]
    marks: list[str] = Field(
        description="What a reader should know about the data: money_without_currency, money_currency_unknown, "
        "money_unreadable or money_negative, where no money was counted; send_without_purpose; traits_left_out; "
        "low_confidence; and KIND_unreadable for an e-mail or phone in traits that is none."
    )


class Timeline(Answer):
    """One page, newest first."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra=_example({"items": [_ITEM], "next": None, "stream_from": "s1.1042.ab"}),
    )

    items: list[TimelineItem]
    next: str | None
    stream_from: str = Field(description="For ?after= of the stream: no gap and no double.")


# Scores


class NextTierOut(Answer, json_schema_extra=_example({"tier": "loyal", "at": 50, "needs": 13})):
    tier: str
    at: int
    needs: int


_SCORE = {
    "scorecard_version": 1,
    "milli_points": 24000,
    "value": 37,
    "tier": "returning",
    "next_tier": {"tier": "loyal", "at": 50, "needs": 13},
    "evidence": 6,
    "parts": {"comes_back": 16000, "recommends": 8000},
}


class ScoreOut(Answer):
    """`value` is 0–100, or null where there is too little evidence: silence is not distrust."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_example(_SCORE))

    name: str | None = None
    scorecard_version: int
    milli_points: int
    value: int | None = Field(ge=0, le=100)
    tier: str | None
    next_tier: NextTierOut | None
    evidence: int
    parts: dict[str, int]


class Scores(Answer):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra=_example(
            {
                "customer": _CUSTOMER,
                "at": "2026-03-02",
                "version": "5d41402abc4b2a76",
                "scores": {"loyalty": _SCORE},
            }
        ),
    )

    customer: Key
    at: Day
    version: str
    scores: dict[str, ScoreOut]


_LINE = {
    "part": "comes_back",
    "component": "purchases",
    "signal": "purchase",
    "day": "2026-03-02",
    "count": 1,
    "total": 0,
    "milli_points": 10000,
    "touchpoints": [_KEY],
}


_OTHER = "4e07408562bedb8b60ce05c1decfe3ad"
_RECOMMENDED = {
    "part": "recommends",
    "component": "promoter",
    "signal": "nps_promoter",
    "milli_points": 8000,
    "touchpoints": ["4b227777d4dd1fc61c6f884f48641d02"],
}


class ContributionOut(Answer, json_schema_extra=_example(_LINE)):
    part: str
    component: str
    signal: str | None
    day: Day | None
    count: int
    total: int
    milli_points: int
    touchpoints: list[Key]


class WithoutOut(Answer, json_schema_extra=_example({"key": _KEY, "score": _SCORE})):
    key: Key
    score: ScoreOut


class WithOut(Answer, json_schema_extra=_example({"signal": "complaint_resolved", "score": _SCORE})):
    signal: str
    score: ScoreOut


class Explanation(Answer):
    """The lines add up to the score's milli-points exactly."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra=_example(
            {
                "customer": _CUSTOMER,
                "at": "2026-03-02",
                "version": "5d41402abc4b2a76",
                "score": _SCORE,
                "contributions": [
                    _LINE,
                    {**_LINE, "day": "2026-02-20", "milli_points": 6000, "touchpoints": [_OTHER]},
                    {**_LINE, **_RECOMMENDED},
                ],
                "without": None,
                "with": None,
            }
        ),
    )

    customer: Key
    at: Day
    version: str
    score: ScoreOut
    contributions: list[ContributionOut]
    without: WithoutOut | None
    with_: WithOut | None = Field(alias="with")


Ref = Annotated[str, Field(min_length=1, max_length=1000)]
DayIn = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$", examples=["2026-03-02"])]


class RefAt(Question, json_schema_extra=_example({"ref": "user_id:43", "at": "2026-01-31"})):
    ref: Ref
    at: DayIn | None = None


class BatchGetIn(Question):
    """Which scores of whom; `at` is a UTC day, today where absent."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra=_example(
            {
                "customers": ["user_id:42", {"ref": "user_id:43", "at": "2026-01-31"}],
                "scores": ["trust", "fatigue"],
            }
        ),
    )

    customers: list[Ref | RefAt] = Field(max_length=1000)
    scores: list[str] | None = Field(None, max_length=100)
    at: DayIn | None = None


class BatchGetItem(
    Answer,
    json_schema_extra=_example(
        {"ref": "user_id:42", "customer": _CUSTOMER, "at": "2026-03-02", "scores": {"loyalty": _SCORE}}
    ),
):
    ref: str
    customer: Key
    at: Day
    scores: dict[str, ScoreOut]


class BatchGet(Answer):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra=_example(
            {
                "items": [
                    {
                        "ref": "user_id:42",
                        "customer": _CUSTOMER,
                        "at": "2026-03-02",
                        "scores": {"loyalty": _SCORE},
                    }
                ],
                "unknown": ["user_id:44"],
            }
        ),
    )

    items: list[BatchGetItem]
    unknown: list[str]


class Buying(Answer):
    """Purchases of one day count as one purchase day; money in minor units by currency."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra=_example(
            {
                "customer": _CUSTOMER,
                "at": "2026-03-18",
                "first_day": "2026-01-02",
                "last_day": "2026-03-02",
                "purchase_days": 3,
                "repeat_days": 2,
                "recency_days": 59,
                "age_days": 75,
                "purchases": 4,
                "revenue": {"EUR": 12500},
                "refunds": {},
            }
        ),
    )

    customer: Key
    at: Day
    first_day: Day | None
    last_day: Day | None
    purchase_days: int
    repeat_days: int
    recency_days: int | None
    age_days: int | None
    purchases: int
    revenue: dict[str, int]
    refunds: dict[str, int]


class Interest(Answer, json_schema_extra=_example({"category": "tea", "milli_points": 2000, "count": 3})):
    category: str
    milli_points: int
    count: int


class ChannelUse(Answer, json_schema_extra=_example({"channel": "email", "milli_points": 1000, "count": 1})):
    channel: str
    milli_points: int
    count: int


class Interests(Answer):
    """What he looked at, bought and dismissed, decayed, by category; and the channels he uses."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra=_example(
            {
                "customer": _CUSTOMER,
                "at": "2026-03-02",
                "categories": [{"category": "tea", "milli_points": 2000, "count": 3}],
                "channels": [{"channel": "email", "milli_points": 1000, "count": 1}],
                "preferred_channel": "email",
            }
        ),
    )

    customer: Key
    at: Day
    categories: list[Interest]
    channels: list[ChannelUse]
    preferred_channel: str | None


# Response times


_BOT = {"at": "2026-03-02T09:15:02.000Z", "seconds": 2, "working_seconds": 2}
_HUMAN = {"at": "2026-03-02T09:27:00.000Z", "seconds": 720, "working_seconds": 720}
_REPLY = {
    "key": "6b86b273ff34fce19d6b804eff5a3f57",
    "at": "2026-03-02T09:15:02.000Z",
    "by": "bot",
    "agent": None,
    "team": None,
}
_DUE = {"seconds": 900, "time": "calendar", "due": "2026-03-02T09:30:00.000Z", "policy": "standard-1"}
_RECORDED = {"type": "request_answered", "waited": 2, "policy": "standard-1"}
_TURN: dict[str, Any] = {
    "key": _KEY,
    "thread": "chat-77",
    "channel": "web_chat",
    "first": True,
    "opened": _TIME,
    "messages": 2,
    "open": False,
    "seconds": 2,
    "working_seconds": 2,
    "reply": _REPLY,
    "bot": _BOT,
    "human": _HUMAN,
    "target": _DUE,
    "verdict": _RECORDED,
    "known_now": None,
}


class ReplyTime(Answer, json_schema_extra=_example(_BOT)):
    at: Time
    seconds: int = Field(description="From the opening, whole seconds.")
    working_seconds: int = Field(description="Of these those in the company's working hours.")


class FirstReply(Answer, json_schema_extra=_example(_REPLY)):
    key: Key
    at: Time
    by: Literal["bot", "agent"]
    agent: str | None
    team: str | None


class ReplyTarget(Answer, json_schema_extra=_example(_DUE)):
    seconds: int
    time: Literal["calendar", "working"] = Field(description="Whether only working hours count.")
    due: Time
    policy: str = Field(description="The version of the policy in force at the opening.")


class VerdictOut(Answer, json_schema_extra=_example(_RECORDED)):
    type: Literal["request_answered", "request_late", "request_ignored"]
    waited: int | None
    policy: str | None = Field(
        description="The policy it was reached with; null of one that somebody else published."
    )


class RequestOut(Answer):
    """One turn: what he wrote until our first public word. Internal notes never count; a case that was reopened starts
    anew; a thread that we began has no first reply."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_example(_TURN))

    key: Key = Field(description="The touchpoint that opened it.")
    thread: str
    channel: str
    first: bool = Field(description="It opened a thread, or one that was closed.")
    opened: Time
    messages: int
    open: bool = Field(description="Nobody has answered yet; `seconds` run on.")
    seconds: int = Field(description="From the opening to the first reply, or until now.")
    working_seconds: int
    reply: FirstReply | None = Field(description="Our first public word.")
    bot: ReplyTime | None = Field(description="A bot's first.")
    human: ReplyTime | None = Field(description="A person's first.")
    target: ReplyTarget | None
    verdict: VerdictOut | None = Field(description="As it was recorded: what was known then stands.")
    known_now: VerdictOut | None = Field(
        description="What it would be by what is known now, where that differs."
    )


class Requests(Answer):
    """One page, newest first."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_example({"items": [_TURN], "next": None}))

    items: list[RequestOut]
    next: str | None


_ROW: dict[str, Any] = {
    "of": "web_chat",
    "n": 12,
    "answered": 10,
    "ignored": 1,
    "open": 1,
    "median_seconds": 41,
    "p90_seconds": 1_260,
    "median_working_seconds": 41,
    "p90_working_seconds": 1_260,
    "in_target": {"n": 9, "late": 2, "share": 818},
    "by_bot": {"n": 6, "median_seconds": 2, "p90_seconds": 3},
    "by_human": {"n": 4, "median_seconds": 410, "p90_seconds": 1_980},
    "turns": "/v1/metrics/response/turns?from=2026-03-02T00%3A00%3A00.000Z&to=2026-03-09T00%3A00%3A00.000Z"
    "&by=channel&of=web_chat",
}


class InTarget(Answer, json_schema_extra=_example(_ROW["in_target"])):
    n: int = Field(description="Answered in time.")
    late: int = Field(description="Answered late, or not yet and late already.")
    share: int | None = Field(description="Of 1,000; null where there is none.")


class RepliesBy(Answer, json_schema_extra=_example(_ROW["by_bot"])):
    n: int = Field(description="Turns that they answered first.")
    median_seconds: int | None = Field(description="Until their first word, whoever answered first.")
    p90_seconds: int | None


class ResponseRow(Answer, json_schema_extra=_example(_ROW)):
    """Of one channel, team or agent. A percentile is by nearest rank: of n times in order the one at place
    p·n/100, rounded up; so each is a time that somebody really waited."""

    of: str | None = Field(description="Null: of nobody, since nobody answered or it is not known who.")
    n: int = Field(
        description="Turns that were opened in the time asked about: answered, ignored and open ones."
    )
    answered: int
    ignored: int = Field(description="Nobody answered, and a verdict says that none is expected any more.")
    open: int
    median_seconds: int | None
    p90_seconds: int | None
    median_working_seconds: int | None
    p90_working_seconds: int | None
    in_target: InTarget
    by_bot: RepliesBy
    by_human: RepliesBy
    turns: str = Field(
        description="Lists exactly the turns behind `n`; see `verdict` there for those of each number."
    )


class ResponseTimes(Answer):
    """How fast customers were answered: of all turns, and apart of those that open a thread."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra=_example(
            {
                "from": "2026-03-02T00:00:00.000Z",
                "to": "2026-03-09T00:00:00.000Z",
                "by": "channel",
                "as_of": _TIME,
                "all": [_ROW],
                "first": [],
            }
        ),
    )

    from_: Time = Field(alias="from")
    to: Time
    by: Literal["channel", "team", "agent"]
    as_of: Time = Field(description="What happened by then is in it.")
    all: list[ResponseRow]
    first: list[ResponseRow]


_LISTED = {
    "customer": _CUSTOMER,
    "key": _KEY,
    "channel": "web_chat",
    "first": True,
    "opened": _TIME,
    "replied": "2026-03-02T09:15:02.000Z",
    "by": "bot",
    "agent": None,
    "team": None,
    "seconds": 2,
    "working_seconds": 2,
    "bot_seconds": 2,
    "human_seconds": 720,
    "target_seconds": 900,
    "target_time": "calendar",
    "in_target": True,
}


class ListedTurn(Answer, json_schema_extra=_example(_LISTED)):
    customer: Key
    key: Key = Field(description="The touchpoint that opened it.")
    channel: str
    first: bool
    opened: Time
    replied: Time | None
    by: Literal["bot", "agent"] | None
    agent: str | None
    team: str | None
    seconds: int | None
    working_seconds: int | None
    bot_seconds: int | None
    human_seconds: int | None
    target_seconds: int | None
    target_time: Literal["calendar", "working"] | None
    in_target: bool | None = Field(description="Null while nobody answered and it is not late yet.")


class ResponseTurns(Answer):
    """One page, oldest first."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_example({"items": [_LISTED], "next": None}))

    items: list[ListedTurn]
    next: str | None


# How everybody stands


_STANDS = {"customer": _CUSTOMER, "value": 84, "tier": "critical", "milli_points": 31_500, "at": "2026-03-02"}


class Stands(Answer, json_schema_extra=_example(_STANDS)):
    customer: Key
    value: int = Field(ge=0, le=100)
    tier: str | None
    milli_points: int
    at: Day


class StandingList(Answer):
    """One page of everybody, by one score."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra=_example(
            {"items": [_STANDS], "next": None, "as_of": _TIME, "changes_from": "c1.7.1772442900000"}
        ),
    )

    items: list[Stands]
    next: str | None
    as_of: Time = Field(description="What happened by then is in it.")
    changes_from: str = Field(
        description="For ?after= of GET /v1/changes: what changes after this page was read."
    )


_STOOD = {"before": {"value": 58, "tier": "likely"}, "after": {"value": 71, "tier": "critical"}}


class Stood(Answer, json_schema_extra=_example(_STOOD["before"])):
    value: int | None
    tier: str | None


class StoodBeforeAndAfter(Answer, json_schema_extra=_example(_STOOD)):
    before: Stood
    after: Stood


class MattersChanged(Answer, json_schema_extra=_example({"opened": ["request"], "closed": []})):
    opened: list[str]
    closed: list[str]


class ChangeOut(Answer):
    """The data of one `event: change`: whose scores or open matters are others than before."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra=_example(
            {
                "customer": _CUSTOMER,
                "at": _TIME,
                "version": "5d41402abc4b2a76b9719d91",
                "gone": False,
                "scores": {"churn_risk": _STOOD},
                "matters": {"opened": ["request"], "closed": []},
            }
        ),
    )

    customer: Key
    at: Time = Field(description="When it was seen.")
    version: str
    gone: bool = Field(description="No customer has this id any more: he is another's, or erased.")
    scores: dict[str, StoodBeforeAndAfter]
    matters: MattersChanged


# Operators


_ASIDE = {
    "key": _KEY,
    "reason": "type: expected one of track, identify, page, screen, group, alias",
    "code": "type_unknown",
    "source": "web-shop",
    "received_at": _TIME,
    "raw": {"userId": "42", "type": "trakc"},
}


class SetAsideOut(Answer, json_schema_extra=_example(_ASIDE)):
    key: Key
    reason: str
    code: str
    source: str
    received_at: Time
    raw: Any = Field(description="The item as it was sent.")
    topic: str | None = Field(
        None,
        description="The ingress topic it came by; left out, as are the next two, where it came by HTTP.",
    )
    partition: int | None = Field(None, description="The partition of that topic.")
    offset: int | None = Field(None, description="Its offset in that partition.")


class SetAsideList(Answer):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra=_example(
            {
                "items": [_ASIDE],
                "next": None,
            }
        ),
    )

    items: list[SetAsideOut]
    next: str | None


class Redriven(Answer):
    """What became of it. Accepted or a duplicate, it is set aside no longer."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra=_example(
            {"outcome": "accepted", "position": "j1.1050", "code": None, "message": None}
        ),
    )

    outcome: Literal["accepted", "duplicate", "rejected"]
    position: Position | None
    code: str | None
    message: str | None


_CARD = {
    "name": "trust",
    "version": 1,
    "title": {"en": "Trust", "ru": "Доверие"},
    "description": {"en": "Did we do what we said?", "ru": "Сделали ли мы то, что сказали?"},
}


class ScorecardOut(Open, json_schema_extra=_example(_CARD)):
    name: str
    version: int
    title: dict[str, str]
    description: dict[str, str]


class Scorecards(Answer):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra=_example({"items": [_CARD]}),
    )

    items: list[ScorecardOut]


_SCHEMA = {
    "type": "chat_started",
    "family": "conversation",
    "version": 1,
    "description": "The customer began a conversation in chat.",
    "signals": ["chat_started"],
    "shown_to_customer": True,
    "from_public_key": True,
}


class SchemaSummary(Answer, json_schema_extra=_example(_SCHEMA)):
    type: str
    family: str
    version: int
    description: str
    signals: list[str] = Field(description="Every signal it can give; its own name is always one.")
    shown_to_customer: bool
    from_public_key: bool = Field(description="A key that sits in a web page may send it.")


class Schemas(Answer):
    model_config = ConfigDict(extra="forbid", json_schema_extra=_example({"items": [_SCHEMA]}))

    items: list[SchemaSummary]


class SchemaOut(SchemaSummary):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra=_example({**_SCHEMA, "json_schema": {"type": "object"}, "samples": []}),
    )

    json_schema: dict[str, Any]
    samples: list[dict[str, Any]]


class EraseIn(Question):
    """Whom to erase: `ref`, or `type` and `value` where that is an e-mail or a phone number. With an `id` that you drew
    the request can be sent again, whatever has happened since: it stays one erasure."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra=_example({"ref": "user_id:42"}, {"type": "email", "value": "ann@example.test"}),
    )

    ref: Annotated[str, Field(max_length=500)] | None = Field(
        None, description="A permanent id of any member, or type:value where that is no personal data."
    )
    type: Annotated[str, Field(max_length=50)] | None = None
    value: Annotated[str, Field(max_length=500)] | None = None
    id: Key | None = Field(None, description="32 hexadecimal digits, drawn at random for this erasure.")

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.ref is None) == (self.type is None and self.value is None) or (self.type is None) != (
            self.value is None
        ):
            raise ValueError("expected either `ref`, or `type` and `value`")
        return self


_ERASURE: dict[str, Any] = {
    "erasure": "5f0c7b1e9d3a4e2f8a6b0c1d2e3f4a5b",
    "state": "done",
    "requested_at": _TIME,
    "requested_by": "a1b2c3d4e5f60718",
    "finished_at": "2026-03-02T09:15:01.240Z",
    "customer": _CUSTOMER,
    "members": [_CUSTOMER],
    "position": "j1.1051",
    "touchpoints": 12,
    "destroyed_keys": ["75eb1b79ee5123cc54a79adae227ace8"],
    "rows": {
        "entries": 12,
        "ledger": 31,
        "registers": 5,
        "search": 2,
        "thread_messages": 2,
        "unanswered": 0,
        "contacts": 1,
        "claims": 3,
        "identifiers": 1,
    },
    "set_aside": [],
    "named_by_others": [],
    "files": [
        {"file": "keyring.sqlite", "done": "his keys were overwritten in place, and the log truncated"}
    ],
    "destroyed_list": {
        "file": "/var/lib/touchbook/destroyed-keys.txt",
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    },
    "not_reached": ["copies of the keyring that are opened without the list of destroyed keys"],
}


class ErasedRows(Answer, json_schema_extra=_example(_ERASURE["rows"])):
    """How many rows of the projections held something of him. Entries become empty placeholders, the others go."""

    entries: int
    ledger: int
    registers: int
    search: int = 0
    thread_messages: int
    unanswered: int = 0
    contacts: int = 0
    claims: int
    identifiers: int


class ErasedFile(Answer, json_schema_extra=_example(_ERASURE["files"][0])):
    file: str
    done: str


class DestroyedList(Answer, json_schema_extra=_example(_ERASURE["destroyed_list"])):
    """What a backup needs: whoever restores one gives this file, and the erased stay erased."""

    file: str
    sha256: str = Field(description="Of the file right after this erasure; it grows with every further one.")


class ErasureOut(Answer):
    """A receipt. It names nobody but by permanent ids, and is kept for good."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_example(_ERASURE))

    erasure: Key = Field(description="The erasure's own id.")
    state: Literal["begun", "struck", "done"] = Field(
        description="begun: asked for; struck: no key opens anything of his any more, traces are being removed; done."
    )
    requested_at: Time
    requested_by: str | None = Field(description="The id of the access key; null from the command line.")
    finished_at: Time | None
    customer: Key
    members: list[Key] = Field(description="The permanent ids of all identifiers that belonged to him.")
    position: Position | None
    touchpoints: int = Field(description="How many can no longer be read.")
    destroyed_keys: list[Key]
    rows: ErasedRows
    set_aside: list[Key] = Field(description="What was set aside and named him: destroyed too.")
    named_by_others: list[Key] = Field(
        description="Of the members those that stay known, since another customer's touchpoints carry them."
    )
    files: list[ErasedFile]
    destroyed_list: DestroyedList
    not_reached: list[str] = Field(description="What this erasure does not reach.")


class ErasureList(Answer):
    model_config = ConfigDict(extra="forbid", json_schema_extra=_example({"items": [_ERASURE], "next": None}))

    items: list[ErasureOut]
    next: str | None


class KeyIn(Question):
    """Origins make a publishing key public: a web page may hold it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra=_example(
            {"role": "publish", "source": "web-shop", "channel": "web", "origins": []}
        ),
    )

    role: KeyRole
    source: str
    name: str | None = Field(None, description="The person who gets it: the desk shows it.")
    channel: str | None = None
    origins: list[str] = Field(default_factory=list, max_length=50)


_ACCESS_KEY: dict[str, Any] = {
    "id": "a1b2c3d4e5f60718",
    "role": "publish",
    "source": "web-shop",
    "name": None,
    "channel": "web",
    "origins": [],
    "created_at": _TIME,
    "revoked_at": None,
}


class KeyOut(Answer):
    model_config = ConfigDict(extra="forbid", json_schema_extra=_example(_ACCESS_KEY))

    id: str
    role: KeyRole
    source: str
    name: str | None
    channel: str | None
    origins: list[str]
    created_at: Time
    revoked_at: Time | None


class NewKey(KeyOut):
    """The only time that `key` is shown."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra=_example({**_ACCESS_KEY, "key": "tb_publish_SECRET"})
    )

    key: str


class KeyList(Answer):
    model_config = ConfigDict(extra="forbid", json_schema_extra=_example({"items": [_ACCESS_KEY]}))

    items: list[KeyOut]


class Health(Answer):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra=_example({"status": "up", "version": "0.1.0"})
    )

    status: Literal["up"]
    version: str


class Readiness(Answer):
    """Each check says "ok" or what is wrong."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra=_example(
            {
                "status": "ready",
                "checks": {"journal": "ok", "follower": "ok", "lag": "ok", "projections": "ok"},
            }
        ),
    )

    status: Literal["ready"]
    checks: dict[str, str]


BODIES: tuple[type[BaseModel], ...] = (LookupIn, BatchGetIn, EraseIn, KeyIn)
"""Request bodies that routes read themselves."""


# Contacts


ContactName = Annotated[str, Field(max_length=200, pattern=ID_PATTERN)]


class ReserveIn(
    Question,
    json_schema_extra=_example(
        {
            "ref": "user_id:42",
            "channel": "email",
            "purpose": "offer",
            "campaign": "spring",
            "id": "spring-42",
        },
        {"type": "email", "value": "ann@example.test", "channel": "sms", "purpose": "service"},
    ),
):
    """May this be sent? The customer is named by `ref`, or by `type` and `value` as in a lookup."""

    ref: str | None = Field(None, max_length=700)
    type: str | None = Field(None, max_length=50)
    value: str | None = Field(None, max_length=500)
    channel: ContactName
    purpose: Purpose
    campaign: ContactName | None = None
    priority: int = Field(
        0, ge=-1_000_000, le=1_000_000, strict=True, description="Of several the greatest goes first."
    )
    content: ContactName | None = Field(None, description="Id of the content that would be sent.")
    language: Annotated[str, Field(min_length=2, max_length=35, pattern=ID_PATTERN)] | None = Field(
        None, description="The language it is in; where his is known, it must be that."
    )
    tags: list[ContactName] = Field(default_factory=list, max_length=20)
    not_after: str | None = Field(
        None, max_length=64, description="RFC 3339: the last time at which it would still be of use."
    )
    id: ContactName | None = Field(
        None, description="The caller's own; the same question under the same id is decided once."
    )

    @model_validator(mode="after")
    def _names_a_customer(self) -> Self:
        if (self.ref is None) == (self.type is None) or (self.type is None) != (self.value is None):
            raise ValueError("expected ref, or type and value")
        return self


class ReserveManyIn(
    Question,
    json_schema_extra=_example(
        {"items": [{"ref": "user_id:42", "channel": "email", "purpose": "offer", "priority": 5}]}
    ),
):
    """Several questions; those about one customer are weighed against each other."""

    items: list[ReserveIn] = Field(min_length=1, max_length=500)


class ReserveBody(RootModel[ReserveIn | ReserveManyIn]):
    """One question, or up to 500 in `items`."""

    model_config = ConfigDict(
        defer_build=True,
        json_schema_extra=_example(
            {"ref": "user_id:42", "channel": "email", "purpose": "offer", "id": "spring-42"}
        ),
    )


class ContactReason(Answer, json_schema_extra=_example({"code": "cap", "rule": "offers a week"})):
    """`code` says which kind of rule decided, `rule` its name in the policy."""

    code: str
    rule: str | None = None
    detail: str | None = None


_RESERVED = {
    "decision": "reserved",
    "id": f"{_CUSTOMER}9f86d081884c7d65",
    "until": "2026-03-02T09:30:00.000Z",
    "reasons": [{"code": "consent_granted"}],
    "policy": "standard-1",
    "counts": True,
    "due": [],
}


class ContactDecision(Answer, json_schema_extra=_example(_RESERVED)):
    """`until`: of `reserved` how long it holds, of `deferred` the earliest time at which every rule lets it pass."""

    decision: Literal["reserved", "deferred", "suppressed"]
    id: str
    until: Time | None
    reasons: list[ContactReason]
    policy: str
    counts: bool = Field(description="Whether it takes from what the policy lets us say to him.")
    due: list[str] = Field(description="The cadences by which he was to hear from us again.")


class ContactRefusal(
    Answer,
    json_schema_extra=_example({"code": "customer_unknown", "message": "no touchpoint was ever recorded"}),
):
    """Why there is no decision for this one."""

    code: str
    message: str


class ContactDecisions(Answer, json_schema_extra=_example({"items": [_RESERVED]})):
    """One for each question, in their order."""

    items: list[ContactDecision | ContactRefusal]


class ContactAnswer(RootModel[ContactDecision | ContactDecisions]):
    """Of one question its decision, of `items` all of them."""

    model_config = ConfigDict(defer_build=True, json_schema_extra=_example(_RESERVED))


class ConfirmIn(
    Question, json_schema_extra=_example({"reservation": f"{_CUSTOMER}9f86d081884c7d65", "message_id": "m-1"})
):
    """What was reserved went out."""

    reservation: ContactName
    message_id: ContactName | None = None


class ReleaseIn(
    Question,
    json_schema_extra=_example({"reservation": f"{_CUSTOMER}9f86d081884c7d65", "reason": "sold out"}),
):
    """What was reserved is not sent after all."""

    reservation: ContactName
    reason: str | None = Field(None, max_length=1000)


class ReservationState(
    Answer, json_schema_extra=_example({"reservation": f"{_CUSTOMER}9f86d081884c7d65", "state": "confirmed"})
):
    reservation: str
    state: Literal["confirmed", "released"]

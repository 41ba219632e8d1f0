"""Service: cases, requests, promises, steps the customer takes, and what went wrong on our side.

Most types here are the signal themselves: `case_resolved`, `case_reopened`, `request_answered`, `request_late`,
`request_ignored`, `case_silent`, `stage_stuck`, `promise_kept`, `promise_broken`, `promise_overdue`,
`service_failed`, `data_exposed`. Besides: `stage_shown` a stage change the customer could see, `message_in` what he
wrote in opening a case or replying in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import AwareDatetime, Field

from touchbook.schemas.details import Code, Count, Details, Message, Name, Register, Seconds, Signal, Text
from touchbook.schemas.display import Display, Wording
from touchbook.schemas.threads import (
    SPEAKERS_EN,
    SPEAKERS_RU,
    Threaded,
    Written,
    customer_message,
    entered,
    speaker,
)
from touchbook.schemas.times import milliseconds_of
from touchbook.schemas.touchpoints.commerce import ORDER_STAGES_EN, ORDER_STAGES_RU


class _OfCase(Threaded):
    """A touchpoint of one case."""

    thread_from = ("case_id",)

    case_id: Name = Field(description="The case.")

    def _state(self, state: str) -> Register:
        return Register("case", self._key, {"kind": "case", "id": self.case_id, "state": state})

    def _stage(self, stage: str, visible: bool = True) -> Iterable[Register]:
        return entered(self._key, stage, visible)

    @property
    def _key(self) -> str:
        return f"case:{self.case_id}"


class CaseOpened(_OfCase):
    """By the customer, unless the actor is another: then it is a note of ours and waits for no answer."""

    type = "case_opened"
    family = "service"
    gives = ("message_in",)
    display = Display(
        icon="folder-open",
        en=Wording("Case {case_id} opened[: {title|short}]", "[{text|short}][ · {priority|words}]", {
            "low": "low priority", "normal": "", "high": "high priority", "urgent": "urgent",
        }),
        ru=Wording("Открыто обращение {case_id}[: {title|short}]", "[{text|short}][ · {priority|words}]", {
            "low": "низкий приоритет", "normal": "", "high": "высокий приоритет", "urgent": "срочно",
        }),
    )  # fmt: skip

    title: Text | None = Field(None, description="What it is about, in a line.")
    text: Text | None = Field(None, description="What was written.")
    stage: Code | None = Field(None, description="The stage it starts in.")
    priority: Code | None = Field(None, description="low, normal, high, urgent or another word.")

    def signals(self) -> Iterable[Signal]:
        if speaker(self) == "customer":
            yield Signal("message_in")

    def registers(self) -> Iterable[Register]:
        yield self._state("open")
        yield Register("case_opened", self._key, {"title": self.title})
        if self.stage:
            yield from self._stage(self.stage)

    def message(self) -> Message | None:
        return customer_message(self)


_STAGES_EN = {
    "new": "new",
    "assigned": "someone is on it",
    "in_progress": "in work",
    "waiting_for_customer": "waits for the customer",
    "waiting_for_carrier": "with the carrier",
    "waiting_for_supplier": "with the supplier",
    "on_hold": "on hold",
    "escalated": "with a specialist",
    "true": "",
    "false": "not shown to the customer",
}
_STAGES_RU = {
    "new": "новое",
    "assigned": "назначен ответственный",
    "in_progress": "в работе",
    "waiting_for_customer": "ждём клиента",
    "waiting_for_carrier": "у перевозчика",
    "waiting_for_supplier": "у поставщика",
    "on_hold": "отложено",
    "escalated": "у специалиста",
    "true": "",
    "false": "клиенту не показано",
}


class CaseStageChanged(_OfCase):
    """A case moved on. A stage that the customer could not see counts for nothing."""

    type = "case_stage_changed"
    family = "service"
    gives = ("stage_shown",)
    default_direction = "out"
    display = Display(
        icon="milestone",
        en=Wording(
            "Case {case_id} moved to: {stage|words}", "[{note|short}][ · {visible|words}]", _STAGES_EN
        ),
        ru=Wording(
            "Обращение {case_id}, этап: {stage|words}", "[{note|short}][ · {visible|words}]", _STAGES_RU
        ),
    )

    stage: Code = Field(description="assigned, in_progress, waiting_for_customer, escalated or another word.")
    note: Text | None = Field(None, description="More about it.")
    visible: bool = Field(True, description="Whether the customer could see the change.")

    def signals(self) -> Iterable[Signal]:
        if self.visible:
            yield Signal("stage_shown")

    def registers(self) -> Iterable[Register]:
        yield from self._stage(self.stage, self.visible)

    def shown_to_customer(self) -> bool:
        return self.visible


class CaseReplied(Written, _OfCase):
    """A message in a case, ours unless the actor or the direction says it is the customer's."""

    type = "case_replied"
    family = "service"
    gives = ("message_in",)
    default_direction = "out"
    display = Display(
        icon="reply",
        en=Wording(
            "Reply in case {case_id}[ from {actor.kind|words}][, {internal|words}]",
            "[{text|short}][ · {actor.name}]",
            {**SPEAKERS_EN, "true": "internal", "false": ""},
        ),
        ru=Wording(
            "Ответ[ {actor.kind|words}] по обращению {case_id}[, {internal|words}]",
            "[{text|short}][ · {actor.name}]",
            {**SPEAKERS_RU, "true": "внутренний", "false": ""},
        ),
    )


class CaseResolved(_OfCase):
    """We solved it: an answer to him, and an open matter no longer."""

    type = "case_resolved"
    family = "service"
    default_direction = "out"
    display = Display(
        icon="folder-check",
        en=Wording("Case {case_id} solved[: {title|short}]", "[{text|short}]"),
        ru=Wording("Обращение {case_id} решено[: {title|short}]", "[{text|short}]"),
        tone="good",
    )

    title: Text | None = Field(None, description="What it was about, in a line.")
    text: Text | None = Field(None, description="How it was solved, in words for the customer.")

    def registers(self) -> Iterable[Register]:
        yield self._state("closed")

    def message(self) -> Message:
        return Message("agent", public=True, closes=True)


class CaseReopened(_OfCase):
    """A case that was called solved is open again."""

    type = "case_reopened"
    family = "service"
    display = Display(
        icon="folder-sync",
        en=Wording("Case {case_id} opened again[: {title|short}]", "[{text|short}]"),
        ru=Wording("Обращение {case_id} снова открыто[: {title|short}]", "[{text|short}]"),
        tone="bad",
    )

    title: Text | None = Field(None, description="What it is about, in a line.")
    text: Text | None = Field(None, description="What is still wrong.")

    def registers(self) -> Iterable[Register]:
        yield self._state("open")

    def message(self) -> Message | None:
        return customer_message(self)


_TARGET_EN = "[{title|short}][ · target {target|duration}][ {target_time|words}][ · {by|words}]"
_TARGET_RU = "[{title|short}][ · срок ответа {target|duration}][ {target_time|words}][ · {by|words}]"
_VERDICT_EN = {
    "working": "of working time", "calendar": "", "bot": "answered by the bot", "agent": "answered by an agent",
}  # fmt: skip
_VERDICT_RU = {
    "working": "рабочего времени", "calendar": "", "bot": "ответил бот", "agent": "ответил сотрудник",
}  # fmt: skip


class _Verdict(Details):
    """A verdict about time on one request: the customer's messages until the first public reply."""

    default_direction = "internal"
    for_customer = False

    waited: Seconds | None = Field(None, description="How long the customer waited, in seconds.")
    waited_working: Seconds | None = Field(None, description="The same, of our working hours alone.")
    target: Seconds | None = Field(None, description="How long he may have to, in seconds.")
    target_time: Literal["calendar", "working"] | None = Field(
        None, description="Whether the target counts all hours or only working ones."
    )
    turn: Name | None = Field(None, description="Key of the first unanswered message.")
    opened: AwareDatetime | None = Field(None, description="When that was written.")
    replied: AwareDatetime | None = Field(None, description="When the first public reply came.")
    reply: Name | None = Field(None, description="Key of that reply.")
    by: Literal["bot", "agent"] | None = Field(None, description="Whose it was.")
    messages: Count | None = Field(None, description="How many messages of the customer it answered.")
    policy: Name | None = Field(None, description="The version of the policy that set the target.")
    title: Text | None = Field(None, description="What it was about, in a line.")

    def registers(self) -> Iterable[Register]:
        if self.turn:
            said = {"type": self.type, "waited": self.waited, "policy": self.policy}
            yield Register("verdict", self.turn, said)


class RequestAnswered(_Verdict):
    """The first public reply came within the target."""

    type = "request_answered"
    family = "service"
    display = Display(
        icon="message-square-reply",
        en=Wording("Answered in time[: {waited|duration}]", _TARGET_EN, _VERDICT_EN),
        ru=Wording("Ответили вовремя[: через {waited|duration}]", _TARGET_RU, _VERDICT_RU),
        tone="good",
    )


class RequestLate(_Verdict):
    """The first public reply came after the target."""

    type = "request_late"
    family = "service"
    display = Display(
        icon="clock-alert",
        en=Wording("Answered late[: {waited|duration}]", _TARGET_EN, _VERDICT_EN),
        ru=Wording("Ответили с опозданием[: через {waited|duration}]", _TARGET_RU, _VERDICT_RU),
        tone="bad",
    )


class RequestIgnored(_Verdict):
    """There was no public reply for so long that none is expected any more."""

    type = "request_ignored"
    family = "service"
    display = Display(
        icon="message-square-off",
        en=Wording("No reply to a request[: {waited|duration} so far]", _TARGET_EN, _VERDICT_EN),
        ru=Wording("Запрос без ответа[: прошло {waited|duration}]", _TARGET_RU, _VERDICT_RU),
        tone="bad",
    )


class CaseSilent(_OfCase):
    """A verdict about time: an open case in which the customer saw nothing of us for too long."""

    type = "case_silent"
    family = "service"
    default_direction = "internal"
    for_customer = False
    display = Display(
        icon="hourglass",
        en=Wording(
            "Silence in case {case_id}[ for {waited|duration}]",
            "[at most {limit|duration}][ · since {since|datetime}]",
        ),
        ru=Wording(
            "Тишина по обращению {case_id}[: {waited|duration}]",
            "[допустимо {limit|duration}][ · с {since|datetime}]",
        ),
        tone="bad",
    )

    since: AwareDatetime = Field(description="When he last saw something of it.")
    waited: Seconds | None = Field(None, description="How long he had seen nothing then, in seconds.")
    limit: Seconds | None = Field(None, description="How long he may have to, in seconds.")
    policy: Name | None = Field(None, description="The version of the policy that set the limit.")

    def registers(self) -> Iterable[Register]:
        yield Register("verdict", f"silent:{self._key}", {"since": milliseconds_of(self.since)})


class StageStuck(Threaded):
    """A verdict about time: a case or order stays in a stage for much longer than others do."""

    type = "stage_stuck"
    family = "service"
    default_direction = "internal"
    for_customer = False
    thread_from = ("case_id", "order_id")
    display = Display(
        icon="timer",
        en=Wording(
            "Does not move on: {stage|words}[ · order {order_id}][ · case {case_id}]",
            "[for {waited|duration}][ · usually {usual|duration}][ · since {since|datetime}]",
            {**ORDER_STAGES_EN, **_STAGES_EN, "placed": "placed"},
        ),
        ru=Wording(
            "Нет движения, этап: {stage|words}[ · заказ {order_id}][ · обращение {case_id}]",
            "[уже {waited|duration}][ · обычно {usual|duration}][ · с {since|datetime}]",
            {**ORDER_STAGES_RU, **_STAGES_RU, "placed": "оформлен"},
        ),
        tone="bad",
    )

    case_id: Name | None = Field(None, description="The case.")
    order_id: Name | None = Field(None, description="Or the order.")
    stage: Code = Field(description="The stage it is in.")
    since: AwareDatetime = Field(description="When it came into it.")
    waited: Seconds | None = Field(None, description="How long it had been in it then, in seconds.")
    usual: Seconds | None = Field(None, description="How long others stay in it, in seconds: the median.")
    policy: Name | None = Field(None, description="The version of the policy that says how much is too much.")

    def registers(self) -> Iterable[Register]:
        kind, id = ("order", self.order_id) if self.order_id else ("case", self.case_id)
        if id:
            said = {"stage": self.stage, "since": milliseconds_of(self.since)}
            yield Register("verdict", f"stuck:{kind}:{id}", said)


class _OfPromise(Threaded):
    """A touchpoint of one promise."""

    thread_from = ("case_id", "order_id")

    promise_id: Name = Field(description="The promise.")
    what: Text | None = Field(None, description="What was promised.")
    case_id: Name | None = Field(None, description="The case it was made in.")
    order_id: Name | None = Field(None, description="The order it is about.")

    def _outcome(self, state: str) -> Register:
        return Register("promise_outcome", self.promise_id, {"state": state})


class PromiseMade(_OfPromise):
    """We gave our word for a time. The same promise made again, with a new due time, is open again."""

    type = "promise_made"
    family = "service"
    default_direction = "out"
    display = Display(
        icon="handshake",
        en=Wording("Promised: {what|short}", "by {due|datetime}[ · {actor.name}]"),
        ru=Wording("Обещано: {what|short}", "срок: {due|datetime}[ · {actor.name}]"),
    )

    what: Text = Field(description="What was promised.")
    due: AwareDatetime = Field(description="When it is due.")

    def registers(self) -> Iterable[Register]:
        yield Register("promise", self.promise_id, {"what": self.what, "due": milliseconds_of(self.due)})
        yield self._outcome("open")


class PromiseKept(_OfPromise):
    """We did what we had promised."""

    type = "promise_kept"
    family = "service"
    default_direction = "out"
    display = Display(
        icon="badge-check",
        en=Wording("A promise was kept[: {what|short}]", "[{note|short}]"),
        ru=Wording("Обещание выполнено[: {what|short}]", "[{note|short}]"),
        tone="good",
    )

    note: Text | None = Field(None, description="More about it.")

    def registers(self) -> Iterable[Register]:
        yield self._outcome("kept")


class PromiseBroken(_OfPromise):
    """We did not do what we had promised, and know it."""

    type = "promise_broken"
    family = "service"
    default_direction = "out"
    display = Display(
        icon="badge-x",
        en=Wording("A promise was broken[: {what|short}]", "[{reason|short}]"),
        ru=Wording("Обещание нарушено[: {what|short}]", "[{reason|short}]"),
        tone="bad",
    )

    reason: Text | None = Field(None, description="Why it was not kept.")

    def registers(self) -> Iterable[Register]:
        yield self._outcome("broken")


class PromiseOverdue(_OfPromise):
    """A verdict about time: the due time passed and nobody said that it was kept."""

    type = "promise_overdue"
    family = "service"
    default_direction = "internal"
    for_customer = False
    display = Display(
        icon="alarm-clock",
        en=Wording("A promise is past its due time[: {what|short}]", "[due {due|datetime}]"),
        ru=Wording("Срок обещания истёк[: {what|short}]", "[срок был {due|datetime}]"),
        tone="bad",
    )

    due: AwareDatetime | None = Field(None, description="When it was due.")

    def registers(self) -> Iterable[Register]:
        due = None if self.due is None else milliseconds_of(self.due)
        yield Register("promise_overdue", self.promise_id, {"due": due})


class _OfStep(Threaded):
    """A step that the customer takes in a case or order."""

    thread_from = ("case_id", "order_id")

    step: Text = Field(description="Which step, in words: the delivery address, a photo of the damage.")
    case_id: Name | None = Field(None, description="The case it belongs to.")
    order_id: Name | None = Field(None, description="The order it belongs to.")
    note: Text | None = Field(None, description="More about it.")


class StepConfirmed(_OfStep):
    """He confirmed what the matter waited for: an address, a date, a price."""

    type = "step_confirmed"
    family = "service"
    display = Display(
        icon="check",
        en=Wording("Confirmed: {step|short}", "[{note|short}]"),
        ru=Wording("Подтверждено: {step|short}", "[{note|short}]"),
    )


class StepSupplied(_OfStep):
    """He gave what the matter waited for: a photo, a document, a detail."""

    type = "step_supplied"
    family = "service"
    display = Display(
        icon="paperclip",
        en=Wording("Supplied: {step|short}", "[{note|short}][ · {files|join}]"),
        ru=Wording("Предоставлено: {step|short}", "[{note|short}][ · {files|join}]"),
    )

    files: tuple[Name, ...] = Field((), description="Names of the files, if any.")


class ServiceFailed(Details):
    """Something of ours did not work when he needed it."""

    type = "service_failed"
    family = "service"
    default_direction = "out"
    display = Display(
        icon="server-crash",
        en=Wording("Did not work: {service|words}[, for {seconds|duration}]", "[{note|short}]", {
            "payment": "payment", "checkout": "checkout", "sign_in": "signing in", "app": "the app",
            "website": "the website", "delivery_tracking": "tracking a delivery",
            "support_line": "the help line",
        }),
        ru=Wording("Сбой: {service|words}[, {seconds|duration}]", "[{note|short}]", {
            "payment": "оплата", "checkout": "оформление заказа", "sign_in": "вход", "app": "приложение",
            "website": "сайт", "delivery_tracking": "отслеживание доставки", "support_line": "горячая линия",
        }),
        tone="bad",
    )  # fmt: skip

    service: Name = Field(description="payment, checkout, sign_in, app, website or another word.")
    seconds: Seconds | None = Field(None, description="For how long.")
    note: Text | None = Field(None, description="What he met.")


class DataExposed(Details):
    """A breach of confidentiality. Not on the customer's page: how he is told is decided by people."""

    type = "data_exposed"
    family = "service"
    default_direction = "out"
    for_customer = False
    display = Display(
        icon="shield-alert",
        en=Wording(
            "His data came into wrong hands[: {what|join}]",
            "[{note|short}][ · {customer_told|words}]",
            {"true": "he was told", "false": "he was not told yet"},
        ),
        ru=Wording(
            "Утечка данных клиента[: {what|join}]",
            "[{note|short}][ · {customer_told|words}]",
            {"true": "клиенту сообщили", "false": "клиенту ещё не сообщили"},
        ),
        tone="bad",
    )

    what: tuple[Name, ...] = Field((), description="Which kinds of data, never the data itself.")
    note: Text | None = Field(None, description="What happened.")
    incident: Name | None = Field(None, description="The incident it belongs to.")
    customer_told: bool | None = Field(None, description="Whether he was told.")
    severity: Literal["low", "high"] | None = Field(None, description="How much harm it can do.")

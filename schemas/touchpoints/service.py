"""Service: cases, requests, promises, steps the customer takes, and what went wrong on our side.

Most types here are the signal themselves: `case_resolved`, `case_reopened`, `request_answered`,
`request_late`, `request_ignored`, `promise_kept`, `promise_broken`, `promise_overdue`, `service_failed`,
`data_exposed`. Besides: `stage_shown` a stage change the customer could see, `message_in` what he wrote in
opening a case or replying in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import AwareDatetime, Field, model_validator

from touchbook.schemas.details import Code, Details, Message, Name, Register, Seconds, Signal, Text
from touchbook.schemas.display import Display, Wording
from touchbook.schemas.threads import customer_turn, speaker, threaded_by

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _OfCase(Details):
    """A touchpoint of one case; without a thread of its own it belongs to the case's."""

    case_id: Name = Field(description="The case.")

    @model_validator(mode="before")
    @classmethod
    def _belongs_to_the_case(cls, data: Any) -> Any:
        return threaded_by(data, "case_id")

    def _state(self, state: str) -> Register:
        return Register("case", self._key, {"kind": "case", "id": self.case_id, "state": state})

    def _stage(self, stage: str) -> Register:
        return Register("case_stage", self._key, {"stage": stage})

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
            yield self._stage(self.stage)

    def message(self) -> Message | None:
        return customer_turn(self)


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
        yield self._stage(self.stage)

    def shown_to_customer(self) -> bool:
        return self.visible


class CaseReplied(_OfCase):
    """A turn in a case, ours unless the actor or the direction says it is the customer's."""

    type = "case_replied"
    family = "service"
    gives = ("message_in",)
    default_direction = "out"
    display = Display(
        icon="reply",
        en=Wording(
            "Reply in case {case_id}[ from {actor.kind|words}][, {internal|words}]",
            "[{text|short}][ · {actor.name}]",
            {
                "customer": "the customer",
                "agent": "an agent",
                "bot": "the bot",
                "system": "the system",
                "true": "internal",
                "false": "",
            },
        ),
        ru=Wording(
            "Ответ[ {actor.kind|words}] по обращению {case_id}[, {internal|words}]",
            "[{text|short}][ · {actor.name}]",
            {
                "customer": "клиента",
                "agent": "сотрудника",
                "bot": "бота",
                "system": "системы",
                "true": "внутренний",
                "false": "",
            },
        ),
    )

    text: Text = Field(description="What was written.")
    internal: bool = Field(False, description="Written for colleagues; the customer never sees it.")

    def signals(self) -> Iterable[Signal]:
        if speaker(self) == "customer":
            yield Signal("message_in")

    def message(self) -> Message:
        return Message(speaker(self), public=self.shown_to_customer())

    def shown_to_customer(self) -> bool:
        return not self.internal and self.taken_direction() != "internal"


class CaseResolved(_OfCase):
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
        return Message("agent", public=True)


class CaseReopened(_OfCase):
    type = "case_reopened"
    family = "service"
    display = Display(
        icon="folder-sync",
        en=Wording("Case {case_id} opened again[: {title|short}]", "[{text|short}]"),
        ru=Wording("Обращение {case_id} открыто снова[: {title|short}]", "[{text|short}]"),
        tone="bad",
    )

    title: Text | None = Field(None, description="What it is about, in a line.")
    text: Text | None = Field(None, description="What is still wrong.")

    def registers(self) -> Iterable[Register]:
        yield self._state("open")

    def message(self) -> Message | None:
        return customer_turn(self)


class _Verdict(Details):
    """A verdict about time on one request: the customer's messages until the first public reply."""

    default_direction = "internal"
    for_customer = False
    server_side_only = True

    waited: Seconds | None = Field(None, description="How long the customer waited, in seconds.")
    target: Seconds | None = Field(None, description="How long he may have to, in seconds.")
    turn: Name | None = Field(None, description="Id of the first unanswered message.")
    title: Text | None = Field(None, description="What it was about, in a line.")


class RequestAnswered(_Verdict):
    type = "request_answered"
    family = "service"
    display = Display(
        icon="message-square-reply",
        en=Wording("Answered in time[: {waited|duration}]", "[{title|short}][ · target {target|duration}]"),
        ru=Wording("Ответили вовремя[: {waited|duration}]", "[{title|short}][ · срок {target|duration}]"),
        tone="good",
    )


class RequestLate(_Verdict):
    type = "request_late"
    family = "service"
    display = Display(
        icon="clock-alert",
        en=Wording("Answered late[: {waited|duration}]", "[{title|short}][ · target {target|duration}]"),
        ru=Wording(
            "Ответили с опозданием[: {waited|duration}]", "[{title|short}][ · срок {target|duration}]"
        ),
        tone="bad",
    )


class RequestIgnored(_Verdict):
    type = "request_ignored"
    family = "service"
    display = Display(
        icon="message-square-off",
        en=Wording(
            "No reply to a request[: {waited|duration} so far]",
            "[{title|short}][ · target {target|duration}]",
        ),
        ru=Wording(
            "Запрос без ответа[: прошло {waited|duration}]", "[{title|short}][ · срок {target|duration}]"
        ),
        tone="bad",
    )


class _OfPromise(Details):
    """A touchpoint of one promise; without a thread of its own it belongs to the case's or order's."""

    promise_id: Name = Field(description="The promise.")
    what: Text | None = Field(None, description="What was promised.")
    case_id: Name | None = Field(None, description="The case it was made in.")
    order_id: Name | None = Field(None, description="The order it is about.")

    @model_validator(mode="before")
    @classmethod
    def _belongs_to_its_case(cls, data: Any) -> Any:
        return threaded_by(threaded_by(data, "case_id"), "order_id")

    def _outcome(self, state: str) -> Register:
        return Register("promise_outcome", self.promise_id, {"state": state})


class PromiseMade(_OfPromise):
    """The same promise made again, with a new due time, is open again."""

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
        due = (self.due - _EPOCH) // timedelta(milliseconds=1)
        yield Register("promise", self.promise_id, {"what": self.what, "due": due})
        yield self._outcome("open")


class PromiseKept(_OfPromise):
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
    server_side_only = True
    display = Display(
        icon="alarm-clock",
        en=Wording("A promise is past its due time[: {what|short}]", "[due {due|datetime}]"),
        ru=Wording("Срок обещания прошёл[: {what|short}]", "[срок был {due|datetime}]"),
        tone="bad",
    )

    due: AwareDatetime | None = Field(None, description="When it was due.")

    def registers(self) -> Iterable[Register]:
        yield self._outcome("overdue")


class _Step(Details):
    """A step the customer takes in a case or order; without a thread of its own it belongs to that."""

    step: Text = Field(description="Which step, in words: the delivery address, a photo of the damage.")
    case_id: Name | None = Field(None, description="The case it belongs to.")
    order_id: Name | None = Field(None, description="The order it belongs to.")
    note: Text | None = Field(None, description="More about it.")

    @model_validator(mode="before")
    @classmethod
    def _belongs_to_its_case(cls, data: Any) -> Any:
        return threaded_by(threaded_by(data, "case_id"), "order_id")


class StepConfirmed(_Step):
    type = "step_confirmed"
    family = "service"
    display = Display(
        icon="check",
        en=Wording("Confirmed: {step|short}", "[{note|short}]"),
        ru=Wording("Подтверждено: {step|short}", "[{note|short}]"),
    )


class StepSupplied(_Step):
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
    server_side_only = True
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
    server_side_only = True
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

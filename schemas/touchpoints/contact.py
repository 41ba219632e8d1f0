"""Contact: what was decided about speaking to the customer, with the receipt, and what became of it.

A decision is shown to him too, but for our campaigns and what else weighed: it answers "why did I get this" and "why
did I not" for as long as it is kept. It counts nothing but itself: that a message came is said by the message. These
types give no signals besides their own names.
"""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from touchbook.schemas.details import Code, Contact, Details, Name, Purpose, Text
from touchbook.schemas.display import Display, Wording
from touchbook.schemas.numbers import Whole
from touchbook.schemas.times import milliseconds_of

_WORDS_EN = {
    "email": "e-mail", "newsletter": "newsletter", "phone": "phone", "sms": "text message",
    "messenger": "messenger", "mobile_app": "our app", "push": "push message", "web_chat": "chat",
    "chat": "chat", "social": "social media", "video": "video",
    "welcome": "a welcome message", "teach": "a tip or lesson", "support": "support", "offer": "an offer",
    "service": "a service message", "survey": "a survey", "legal": "a notice we must send",
    "consent_granted": "there is consent to it", "no_objection": "nothing speaks against it",
    "bypassed": "messages of this kind are always sent",
    "do_not_contact": "there is a wish not to be contacted", "consent_missing": "there is no consent to it",
    "consent_withdrawn": "the consent was withdrawn", "frequency_never": "there is a wish for none of these",
    "frequency": "there is a wish to hear from us less often", "quiet_hours": "these are quiet hours",
    "fatigue_exhausted": "there were too many messages lately", "fatigue": "there were many messages lately",
    "not_a_preferred_channel": "another way to be reached is preferred",
    "language": "it is in a language that is not understood", "cap": "there were enough of these lately",
    "too_late": "it would have come too late", "outranked": "something more important came first",
}  # fmt: skip
_WORDS_RU = {
    "email": "почта", "newsletter": "рассылка", "phone": "телефон", "sms": "СМС",
    "messenger": "мессенджер", "mobile_app": "приложение", "push": "пуш-уведомление",
    "web_chat": "чат", "chat": "чат", "social": "соцсети", "video": "видео",
    "welcome": "приветствие", "teach": "совет или урок", "support": "поддержка", "offer": "предложение",
    "service": "сервисное сообщение", "survey": "опрос", "legal": "обязательное уведомление",
    "consent_granted": "есть согласие", "no_objection": "возражений нет",
    "bypassed": "такие сообщения отправляются всегда",
    "do_not_contact": "есть просьба не беспокоить", "consent_missing": "нет согласия на это",
    "consent_withdrawn": "согласие отозвано", "frequency_never": "есть просьба не присылать такое",
    "frequency": "есть просьба писать реже", "quiet_hours": "сейчас тихие часы",
    "fatigue_exhausted": "в последнее время было слишком много сообщений",
    "fatigue": "в последнее время было много сообщений",
    "not_a_preferred_channel": "выбран другой способ связи",
    "language": "оно на языке, который не понимают", "cap": "таких сообщений в последнее время достаточно",
    "too_late": "оно пришло бы слишком поздно", "outranked": "сначала было более важное",
}  # fmt: skip


class Reason(BaseModel):
    """What decided. `code` says which kind of rule."""

    model_config = ConfigDict(frozen=True, extra="allow")

    code: Code = Field(
        description="do_not_contact, consent_missing, quiet_hours, cap, outranked or another word."
    )
    rule: Name | None = Field(None, description="The rule's name in the policy, where it has one.")
    detail: Text | None = Field(None, description="More about it.")


class _Decision(Details):
    """What was decided when somebody asked whether he may be spoken to. Nothing of it changes afterwards."""

    family = "information"
    default_direction = "internal"
    withheld = Details.withheld | {"tags", "priority", "source", "due", "detail"}

    for_channel: Name = Field(description="The channel that was asked for.")
    purpose: Purpose = Field(description="Why we would speak to him.")
    tags: tuple[Name, ...] = Field((), description="What the policy may count it by besides its purpose.")
    priority: Whole | None = Field(None, description="Of several for one moment the greatest goes first.")
    counts: bool = Field(True, description="Whether it takes from what the policy lets us say to him.")
    policy: Name | None = Field(None, description="The version of the contact policy that decided.")
    source: Name | None = Field(None, description="Who asked: the source of the write key.")
    reasons: tuple[Reason, ...] = Field((), description="What decided.")


class ContactReserved(_Decision):
    """He may be spoken to: nobody else takes this place until it is confirmed, released, or has run out."""

    type = "contact_reserved"
    display = Display(
        icon="megaphone",
        en=Wording(
            "We decided to send something[: {purpose|words}][ by {for_channel|words}]",
            "[Why: {reasons|words}][ · {campaign|short}][ · not forgotten: {due|join}]",
            _WORDS_EN,
        ),
        ru=Wording(
            "Решили отправить сообщение[: {purpose|words}][ ({for_channel|words})]",
            "[Почему: {reasons|words}][ · {campaign|short}][ · чтобы не забыть: {due|join}]",
            _WORDS_RU,
        ),
    )

    reservation: Name = Field(description="Its id.")
    holds_until: AwareDatetime = Field(description="How long it holds unless it is confirmed.")
    due: tuple[Name, ...] = Field((), description="The cadences by which he was to hear from us again.")

    def contact(self) -> Contact:
        return Contact(
            "reserved", self.reservation, self.for_channel, self.purpose, self.tags, self.campaign,
            self.counts, milliseconds_of(self.holds_until),
        )  # fmt: skip


class _OfReservation(Details):
    """What became of a reservation."""

    family = "information"
    default_direction = "internal"
    for_customer = False

    reservation: Name = Field(description="Its id.")


class ContactConfirmed(_OfReservation):
    """What was reserved went out: it counts for good."""

    type = "contact_confirmed"
    display = Display(
        icon="check-check",
        en=Wording("What we had decided to send went out", "[Message {message_id}]"),
        ru=Wording("Запланированное сообщение отправлено", "[Сообщение {message_id}]"),
        tone="noise",
    )

    message_id: Name | None = Field(None, description="The sender's id of the message.")

    def contact(self) -> Contact:
        return Contact("confirmed", self.reservation)


class ContactReleased(_OfReservation):
    """What was reserved does not go out after all: its place is free again."""

    type = "contact_released"
    display = Display(
        icon="undo-2",
        en=Wording("What we had decided to send does not go out", "[Why: {reason|short}]"),
        ru=Wording("Запланированное сообщение не будет отправлено", "[Почему: {reason|short}]"),
        tone="noise",
    )

    reason: Text | None = Field(None, description="Why not.")

    def contact(self) -> Contact:
        return Contact("released", self.reservation)


class ContactDeferred(_Decision):
    """Not now: it may be asked again at the time that is named."""

    type = "contact_deferred"
    display = Display(
        icon="hourglass",
        en=Wording(
            "We put a message off[ until {until|datetime}][: {purpose|words}][ by {for_channel|words}]",
            "[Why: {reasons|words}][ · {campaign|short}]",
            _WORDS_EN,
        ),
        ru=Wording(
            "Отложили сообщение[ до {until|datetime}][: {purpose|words}][ ({for_channel|words})]",
            "[Почему: {reasons|words}][ · {campaign|short}]",
            _WORDS_RU,
        ),
    )

    decision: Name = Field(description="The decision's own id.")
    until: AwareDatetime = Field(description="The earliest time at which all rules let it pass.")


class ContactSuppressed(_Decision):
    """Not at all."""

    type = "contact_suppressed"
    display = Display(
        icon="bell-off",
        en=Wording(
            "We did not send a message[: {purpose|words}][ by {for_channel|words}]",
            "[Why: {reasons|words}][ · {campaign|short}]",
            _WORDS_EN,
        ),
        ru=Wording(
            "Не стали отправлять сообщение[: {purpose|words}][ ({for_channel|words})]",
            "[Почему: {reasons|words}][ · {campaign|short}]",
            _WORDS_RU,
        ),
    )

    decision: Name = Field(description="The decision's own id.")

"""Information: what we send, what becomes of it, and what the customer thinks of it.

Signals: `message_marketing` and `message_service` by the purpose frozen on the send, `message_open`,
`message_click`, `content_useful` and `content_useless` his verdict, `spam_report`, `contact_violation`.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from touchbook.schemas.details import Code, Contact, Details, Message, Name, Signal, Text
from touchbook.schemas.display import Display, Wording

_SEND_SIGNALS = {
    "welcome": "message_marketing",
    "teach": "message_marketing",
    "offer": "message_marketing",
    "support": "message_service",
    "service": "message_service",
    "legal": "message_service",
}
"""By purpose: whether a send presses him or serves him. An invitation to a survey is `survey_sent`."""


class _OfMessage(Details):
    """A touchpoint of one message of ours."""

    family = "information"

    message_id: Name | None = Field(
        None, description="The sender's id of the message, the same in all that follows."
    )
    subject: Text | None = Field(None, description="Its subject line or title.")


class MessageSent(_OfMessage):
    """We sent a letter, an SMS, a push or a messenger message. Its `purpose` decides how it weighs."""

    type = "message_sent"
    default_direction = "out"
    withheld = Details.withheld | {"tags"}
    gives = ("message_marketing", "message_service")
    display = Display(
        icon="send",
        en=Wording("We sent a message[: “{subject|short}”]", "[{text|short}]"),
        ru=Wording("Мы отправили сообщение[: «{subject|short}»]", "[{text|short}]"),
    )

    text: Text | None = Field(None, description="What it said.")
    tags: tuple[Name, ...] = Field(
        (), description="What a contact policy may count it by besides its purpose."
    )

    def signals(self) -> Iterable[Signal]:
        if name := _SEND_SIGNALS.get(self.purpose or ""):
            yield Signal(name)

    def message(self) -> Message | None:
        """An answer where a person or a bot wrote it; a mailing that names a thread answers nobody."""
        if self.actor is None or self.actor.kind not in ("agent", "bot") or self.taken_direction() != "out":
            return None
        return Message("agent" if self.actor.kind == "agent" else "bot", public=True)

    def contact(self) -> Contact | None:
        """Sent under a reservation (its `decision`) it is the same contact as that."""
        if self.taken_direction() != "out":
            return None
        return Contact("sent", self.decision, None, self.purpose, self.tags, self.campaign)

    def marks(self) -> Iterable[str]:
        if self.purpose is None:
            yield "send_without_purpose"


class MessageDelivered(_OfMessage):
    """It arrived at the customer's device or mailbox."""

    type = "message_delivered"
    default_direction = "out"
    display = Display(
        icon="check-check",
        en=Wording("Our message[ “{subject|short}”] has arrived"),
        ru=Wording("Наше сообщение[ «{subject|short}»] доставлено"),
        tone="noise",
    )


class MessageOpened(_OfMessage):
    """The customer opened it, as far as a channel can see."""

    type = "message_opened"
    gives = ("message_open",)
    display = Display(
        icon="mail-open",
        en=Wording("Opened our message[ “{subject|short}”]"),
        ru=Wording("Наше сообщение[ «{subject|short}»] открыто"),
        tone="noise",
    )

    def signals(self) -> Iterable[Signal]:
        yield Signal("message_open")


class MessageClicked(_OfMessage):
    """The customer followed a link in it."""

    type = "message_clicked"
    gives = ("message_click",)
    display = Display(
        icon="mouse-pointer-click",
        en=Wording("Followed a link in our message[ “{subject|short}”]", "[{url|short}]"),
        ru=Wording("Переход по ссылке из нашего сообщения[ «{subject|short}»]", "[{url|short}]"),
    )

    url: Text | None = Field(None, description="Where the link leads.")

    def signals(self) -> Iterable[Signal]:
        yield Signal("message_click")


class MessageIgnored(_OfMessage):
    """The customer left it unopened for as long as the sender waits before saying so."""

    type = "message_ignored"
    default_direction = "internal"
    for_customer = False  # our inference, not something he did
    display = Display(
        icon="mail-minus",
        en=Wording("Our message[ “{subject|short}”] was left unread"),
        ru=Wording("Наше сообщение[ «{subject|short}»] осталось без внимания"),
        tone="noise",
    )


class MessageRated(_OfMessage):
    """The customer said whether it was of use to him."""

    type = "message_rated"
    gives = ("content_useful", "content_useless")
    display = Display(
        icon="thumbs-up",
        en=Wording(
            "Called our message[ “{subject|short}”] {useful|words}",
            "[{comment|short}]",
            {"true": "useful", "false": "useless"},
        ),
        ru=Wording(
            "Оценка нашего сообщения[ «{subject|short}»]: {useful|words}",
            "[{comment|short}]",
            {"true": "полезно", "false": "бесполезно"},
        ),
    )

    useful: bool = Field(description="true: useful; false: not useful.")
    comment: Text | None = Field(None, description="In the customer's words.")

    def signals(self) -> Iterable[Signal]:
        yield Signal("content_useful" if self.useful else "content_useless")


class MessageFailed(_OfMessage):
    """It could not be delivered."""

    type = "message_failed"
    default_direction = "out"
    display = Display(
        icon="mail-x",
        en=Wording("Our message[ “{subject|short}”] could not be delivered", "[Reason: {reason|short}]"),
        ru=Wording("Наше сообщение[ «{subject|short}»] не удалось доставить", "[Причина: {reason|short}]"),
        tone="bad",
    )

    reason: Text | None = Field(None, description="A bounce code, or why the channel gave up.")


class Unsubscribed(_OfMessage):
    """The customer asked for no more of these."""

    type = "unsubscribed"
    display = Display(
        icon="bell-off",
        en=Wording("Asked for no more of our messages[: {mailing|short}]", "[Reason: {reason|short}]"),
        ru=Wording("Отказ от наших рассылок[: {mailing|short}]", "[Причина: {reason|short}]"),
        tone="bad",
    )

    mailing: Name | None = Field(None, description="The list or series; left out for all of them.")
    reason: Text | None = Field(None, description="In the customer's words, or a code of the form.")


class ReportedAsSpam(_OfMessage):
    """The customer marked it as spam."""

    type = "reported_as_spam"
    gives = ("spam_report",)
    display = Display(
        icon="shield-alert",
        en=Wording("Marked our message[ “{subject|short}”] as spam"),
        ru=Wording("Наше сообщение[ «{subject|short}»] отмечено как спам"),
        tone="bad",
    )

    def signals(self) -> Iterable[Signal]:
        yield Signal("spam_report")


class InformationCorrected(Details):
    """We had told him something wrong, and have set it right."""

    type = "information_corrected"
    family = "information"
    default_direction = "out"
    display = Display(
        icon="pencil-line",
        en=Wording(
            "We corrected what we had told[: {what|short}]", "[Was: {was|short}][ · Now: {now|short}]"
        ),
        ru=Wording(
            "Мы исправили ранее сообщённые сведения[: {what|short}]",
            "[Было: {was|short}][ · Стало: {now|short}]",
        ),
    )

    what: Text | None = Field(None, description="What it was about: a price, a term, a delivery date.")
    was: Text | None = Field(None, description="As we had told it.")
    now: Text | None = Field(None, description="As it is.")


class ContactViolated(_OfMessage):
    """We contacted him against a wish he had stated: his consent, his hours, his language."""

    type = "contact_violated"
    default_direction = "internal"
    for_customer = False
    gives = ("contact_violation",)
    display = Display(
        icon="octagon-alert",
        en=Wording(
            "We contacted the customer against a stated wish[: {wish|words}]",
            "[{note|short}]",
            {
                "consent": "no consent",
                "do_not_contact": "asked not to be contacted",
                "hours": "quiet hours",
                "language": "language",
                "channel": "channel",
                "frequency": "too often",
            },
        ),
        ru=Wording(
            "Мы обратились к клиенту вопреки его пожеланию[: {wish|words}]",
            "[{note|short}]",
            {
                "consent": "нет согласия",
                "do_not_contact": "просьба не беспокоить",
                "hours": "тихие часы",
                "language": "язык",
                "channel": "канал",
                "frequency": "слишком часто",
            },
        ),
        tone="bad",
    )

    wish: Code | None = Field(
        None, description="Which wish: consent, do_not_contact, hours, language, channel, frequency."
    )
    note: Text | None = Field(None, description="What happened, for the team.")

    def signals(self) -> Iterable[Signal]:
        yield Signal("contact_violation")

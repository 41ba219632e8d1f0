"""Conversation: chats, calls, consultations, bots, live video, and visits to a shop or branch.

Signals: `message_in` a message of the customer's, `call_in` and `call_out` by the direction of a call,
`consultation` an hour with us that took place (a booking alone is none), `livestream` a live video he joined,
`visit` a shop or branch he came to, `bot_up` and `bot_down` his thumb for a bot's answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from touchbook.schemas.details import Code, Count, Details, Message, Name, Seconds, Signal, Text
from touchbook.schemas.display import Display, Wording
from touchbook.schemas.numbers import NotBoolean
from touchbook.schemas.threads import SPEAKERS_EN, SPEAKERS_RU, Written, customer_message, speaker


class ChatStarted(Details):
    """A chat began; all that belongs to it names the same thread."""

    type = "chat_started"
    family = "conversation"
    from_public_key = True
    display = Display(
        icon="message-circle-plus",
        en=Wording("Started a chat[: {topic|short}]", "[on the page {page|short}]"),
        ru=Wording("Начат чат[: {topic|short}]", "[со страницы {page|short}]"),
    )

    topic: Text | None = Field(None, description="What it is about, in the customer's or our words.")
    page: Text | None = Field(None, description="The page or screen it was started from.")


class ChatMessageSent(Written):
    """One message of a chat or messenger; whose, the actor or the direction says."""

    type = "chat_message_sent"
    family = "conversation"
    gives = ("message_in",)
    from_public_key = True
    display = Display(
        icon="message-circle",
        en=Wording(
            "Chat message[ from {actor.kind|words}][, {internal|words}]",
            "[{text|short}][ · {actor.name}]",
            {**SPEAKERS_EN, "true": "internal", "false": ""},
        ),
        ru=Wording(
            "Сообщение в чате[ от {actor.kind|words}][, {internal|words}]",
            "[{text|short}][ · {actor.name}]",
            {**SPEAKERS_RU, "true": "внутреннее", "false": ""},
        ),
    )


class ChatEnded(Details):
    """A chat came to its end."""

    type = "chat_ended"
    family = "conversation"
    from_public_key = True
    display = Display(
        icon="message-circle-off",
        en=Wording(
            "Chat is over[ after {seconds|duration}][, {resolved|words}]",
            "[{messages|plural:message,messages}][ · {reason|words}]",
            {
                "true": "solved",
                "false": "not solved",
                "customer_left": "the customer left",
                "timeout": "nobody wrote any more",
            },
        ),
        ru=Wording(
            "Чат завершён[ через {seconds|duration}][, {resolved|words}]",
            "[{messages|plural:сообщение,сообщения,сообщений}][ · {reason|words}]",
            {
                "true": "вопрос решён",
                "false": "вопрос не решён",
                "customer_left": "клиент вышел из чата",
                "timeout": "больше никто не писал",
            },
        ),
    )

    seconds: Seconds | None = Field(None, description="How long it lasted.")
    messages: Count | None = Field(None, description="How many messages it had.")
    resolved: bool | None = Field(None, description="Whether the question was solved, if known.")
    reason: Code | None = Field(None, description="Why it ended, e.g. customer_left, timeout.")

    def message(self) -> Message:
        """Nobody's word: it answers nothing, and what is written after it begins anew."""
        ours = self.actor is not None and self.actor.kind == "agent"
        return Message("agent" if ours else "bot", public=False, closes=True)


class CallStarted(Details):
    """A call. Its direction must be said: one of ours weighs on him, one of his own does not."""

    type = "call_started"
    family = "conversation"
    gives = ("call_in", "call_out")
    display = Display(
        icon="phone",
        en=Wording(
            "{direction|words} call[: {topic|short}]",
            "[{queue}][ · {actor.name}]",
            {"in": "Incoming", "out": "Outgoing"},
        ),
        ru=Wording(
            "{direction|words} звонок[: {topic|short}]",
            "[{queue}][ · {actor.name}]",
            {"in": "Входящий", "out": "Исходящий"},
        ),
    )

    direction: Literal["in", "out"] = Field(description="in: he called us; out: we called him.")
    topic: Text | None = Field(None, description="What it is about.")
    queue: Name | None = Field(None, description="The line or queue it came in on.")

    def signals(self) -> Iterable[Signal]:
        yield Signal("call_in" if self.direction == "in" else "call_out")


class CallEnded(Details):
    """A call came to its end, whether anybody answered or not."""

    type = "call_ended"
    family = "conversation"
    display = Display(
        icon="phone-off",
        en=Wording(
            "Call is over[: {outcome|words}][, {seconds|duration}]",
            "[{summary|short}]",
            {
                "answered": "answered",
                "missed": "missed",
                "abandoned": "hung up while waiting",
                "voicemail": "voicemail",
                "busy": "line busy",
            },
        ),
        ru=Wording(
            "Звонок завершён[: {outcome|words}][, {seconds|duration}]",
            "[{summary|short}]",
            {
                "answered": "разговор состоялся",
                "missed": "без ответа",
                "abandoned": "клиент не дождался ответа",
                "voicemail": "автоответчик",
                "busy": "линия занята",
            },
        ),
    )

    seconds: Seconds | None = Field(None, description="How long they spoke.")
    outcome: Code | None = Field(
        None, description="answered, missed, abandoned, voicemail, busy or another word."
    )
    summary: Text | None = Field(None, description="What came of it, for colleagues and the customer.")


class ConsultationBooked(Details):
    """He agreed with us on a consultation to come."""

    type = "consultation_booked"
    family = "conversation"
    display = Display(
        icon="calendar-plus",
        en=Wording(
            "Booked a consultation[ for {starts_at|datetime}]", "[{topic|short}][ · with {consultant}]"
        ),
        ru=Wording(
            "Запись на консультацию[: {starts_at|datetime}]", "[{topic|short}][ · консультант: {consultant}]"
        ),
    )

    consultation_id: Name | None = Field(None, description="The booking, so that what was held can name it.")
    starts_at: AwareDatetime | None = Field(None, description="When it is to begin.")
    topic: Text | None = Field(None, description="What it is about.")
    consultant: Name | None = Field(None, description="With whom.")


class ConsultationHeld(Details):
    """A consultation that took place; one that he missed is not held."""

    type = "consultation_held"
    family = "conversation"
    gives = ("consultation",)
    display = Display(
        icon="handshake",
        en=Wording(
            "Had a consultation[: {topic|short}][, {seconds|duration}]",
            "[{summary|short}][ · with {consultant}]",
        ),
        ru=Wording(
            "Консультация состоялась[: {topic|short}][, {seconds|duration}]",
            "[{summary|short}][ · консультант: {consultant}]",
        ),
        tone="good",
    )

    consultation_id: Name | None = Field(None, description="The booking it was held for.")
    topic: Text | None = Field(None, description="What it was about.")
    consultant: Name | None = Field(None, description="With whom.")
    seconds: Seconds | None = Field(None, description="How long it took.")
    summary: Text | None = Field(None, description="What came of it.")

    def signals(self) -> Iterable[Signal]:
        yield Signal("consultation")


class BotAnswered(Details):
    """What the bot said in a chat; it answers the customer's messages before it."""

    type = "bot_answered"
    family = "conversation"
    default_direction = "out"
    display = Display(
        icon="bot",
        en=Wording("The bot replied[ about {intent|words}]", "{text|short}"),
        ru=Wording("Ответ бота[: {intent|words}]", "{text|short}"),
    )

    text: Text = Field(description="What the bot said.")
    intent: Code | None = Field(None, description="What the bot took the question for.")
    confidence: Annotated[float, Field(ge=0, le=1), NotBoolean] | None = Field(
        None, description="How sure it was, 0 to 1."
    )

    def message(self) -> Message:
        return Message("bot", public=True)


_BOT_FAILURES_EN = {
    "not_understood": "did not understand",
    "wrong_answer": "gave a wrong answer",
    "loop": "went round in circles",
    "timeout": "was silent for too long",
}
_BOT_FAILURES_RU = {
    "not_understood": "не понял вопрос",
    "wrong_answer": "ответил неверно",
    "loop": "ходил по кругу",
    "timeout": "слишком долго молчал",
    "asked_for_human": "клиент попросил позвать человека",
}


class BotEscalated(Details):
    """The bot gave the conversation to a person. That alone answers nobody."""

    type = "bot_escalated"
    family = "conversation"
    default_direction = "out"
    display = Display(
        icon="user-round-plus",
        en=Wording(
            "The bot handed over[ to {team}]",
            "[Why: {reason|words}]",
            {**_BOT_FAILURES_EN, "asked_for_human": "the customer asked for a human"},
        ),
        ru=Wording(
            "Бот передал разговор сотруднику[: {team}]", "[Причина: {reason|words}]", _BOT_FAILURES_RU
        ),
    )

    team: Name | None = Field(None, description="Who takes over.")
    reason: Code | None = Field(None, description="not_understood, asked_for_human, loop or another word.")


class BotFailed(Details):
    """A verdict on an answer, by the bot's own watch or an agent; the customer is not shown it."""

    type = "bot_failed"
    family = "conversation"
    default_direction = "out"
    for_customer = False
    display = Display(
        icon="bot-off",
        en=Wording("The bot did not help[: it {reason|words}]", "[{text|short}]", _BOT_FAILURES_EN),
        ru=Wording("Бот не помог[: {reason|words}]", "[{text|short}]", _BOT_FAILURES_RU),
        tone="bad",
    )

    reason: Code | None = Field(
        None, description="not_understood, wrong_answer, loop, timeout or another word."
    )
    text: Text | None = Field(None, description="The question it failed at.")


class BotRated(Details):
    """The customer's thumb for what the bot said."""

    type = "bot_rated"
    family = "conversation"
    gives = ("bot_up", "bot_down")
    from_public_key = True
    display = Display(
        icon="thumbs-up",
        en=Wording(
            "Rated the bot: {helpful|words}", "[{comment|short}]", {"true": "helpful", "false": "no help"}
        ),
        ru=Wording(
            "Оценка боту: {helpful|words}", "[{comment|short}]", {"true": "помог", "false": "не помог"}
        ),
    )

    helpful: bool = Field(description="Thumb up or down.")
    comment: Text | None = Field(None, description="In the customer's words.")

    def signals(self) -> Iterable[Signal]:
        yield Signal("bot_up" if self.helpful else "bot_down")


class VideoJoined(Details):
    """A live video meeting with us: a showroom tour, a fitting, a demonstration."""

    type = "video_joined"
    family = "conversation"
    gives = ("livestream",)
    display = Display(
        icon="video",
        en=Wording("Joined a video meeting[: {title|short}]", "[with {host}][ · {seconds|duration}]"),
        ru=Wording("Видеовстреча[: {title|short}]", "[ведёт {host}][ · {seconds|duration}]"),
    )

    title: Text | None = Field(None, description="What is shown or discussed.")
    host: Name | None = Field(None, description="Who leads it.")
    seconds: Seconds | None = Field(None, description="How long he stayed.")

    def signals(self) -> Iterable[Signal]:
        yield Signal("livestream")


class LivestreamJoined(Details):
    """He watched a live broadcast of ours, as one of many."""

    type = "livestream_joined"
    family = "conversation"
    gives = ("livestream",)
    display = Display(
        icon="radio",
        en=Wording("Watched a livestream[: {title|short}]", "[with {host}][ · {seconds|duration}]"),
        ru=Wording("Просмотр прямого эфира[: {title|short}]", "[ведёт {host}][ · {seconds|duration}]"),
    )

    title: Text | None = Field(None, description="What it is about.")
    host: Name | None = Field(None, description="Who leads it.")
    seconds: Seconds | None = Field(None, description="How long he stayed.")

    def signals(self) -> Iterable[Signal]:
        yield Signal("livestream")


class LiveQuestionAsked(Details):
    """A question asked during a live video or livestream; it is a message and waits for an answer."""

    type = "live_question_asked"
    family = "conversation"
    gives = ("message_in",)
    display = Display(
        icon="hand",
        en=Wording("Asked a question live[ at {title|short}]", "{text|short}"),
        ru=Wording("Вопрос в прямом эфире[: {title|short}]", "{text|short}"),
    )

    text: Text = Field(description="The question.")
    title: Text | None = Field(None, description="The video or livestream it was asked at.")

    def signals(self) -> Iterable[Signal]:
        if speaker(self) == "customer":
            yield Signal("message_in")

    def message(self) -> Message | None:
        return customer_message(self)


class PlaceVisited(Details):
    """He came to a shop, branch or another place of ours; which one is the `location`."""

    type = "place_visited"
    family = "conversation"
    gives = ("visit",)
    display = Display(
        icon="store",
        en=Wording(
            "Visited {place|words}[: {location}]",
            "[{reason|short}][ · {seconds|duration}]",
            {
                "shop": "a shop",
                "branch": "a branch",
                "showroom": "a showroom",
                "service_centre": "a service centre",
                "pickup_point": "a pick-up point",
            },
        ),
        ru=Wording(
            "Визит {place|words}[: {location}]",
            "[{reason|short}][ · {seconds|duration}]",
            {
                "shop": "в магазин",
                "branch": "в отделение",
                "showroom": "в шоурум",
                "service_centre": "в сервисный центр",
                "pickup_point": "в пункт выдачи",
            },
        ),
    )

    place: Literal["shop", "branch", "showroom", "service_centre", "pickup_point"] = Field(
        "shop", description="What kind of place."
    )
    reason: Text | None = Field(None, description="What he came for.")
    seconds: Seconds | None = Field(None, description="How long he stayed.")

    def signals(self) -> Iterable[Signal]:
        yield Signal("visit")

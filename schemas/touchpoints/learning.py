"""Learning: webinars and trainings.

Signals: `webinar` one he took part in, `webinar_question`, `training` one he finished.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import AwareDatetime, Field

from touchbook.schemas.details import Details, Name, Seconds, Signal, Text
from touchbook.schemas.display import Display, Wording


class _OfWebinar(Details):
    """A touchpoint of one webinar."""

    family = "learning"

    webinar: Name = Field(description="Its title.")


class WebinarRegistered(_OfWebinar):
    """He signed up."""

    type = "webinar_registered"
    display = Display(
        icon="calendar-plus",
        en=Wording("Signed up for the webinar “{webinar}”", "[Starts {starts_at|datetime}]"),
        ru=Wording("Запись на вебинар «{webinar}»", "[Начало: {starts_at|datetime}]"),
    )

    starts_at: AwareDatetime | None = Field(None, description="When it starts.")


class WebinarAttended(_OfWebinar):
    """He took part, live or afterwards."""

    type = "webinar_attended"
    gives = ("webinar",)
    display = Display(
        icon="presentation",
        en=Wording("Took part in the webinar “{webinar}”", "[For {seconds|duration}]"),
        ru=Wording("Участие в вебинаре «{webinar}»", "[Длительность: {seconds|duration}]"),
        tone="good",
    )

    seconds: Seconds | None = Field(None, description="How long he stayed.")

    def signals(self) -> Iterable[Signal]:
        yield Signal("webinar")


class WebinarQuestionAsked(_OfWebinar):
    """He asked the speakers something."""

    type = "webinar_question_asked"
    gives = ("webinar_question",)
    display = Display(
        icon="circle-help",
        en=Wording("Asked a question at the webinar “{webinar}”", "[{question|short}]"),
        ru=Wording("Вопрос на вебинаре «{webinar}»", "[{question|short}]"),
        tone="good",
    )

    question: Text | None = Field(None, description="In his words.")

    def signals(self) -> Iterable[Signal]:
        yield Signal("webinar_question")


class TrainingCompleted(Details):
    """He finished a course or a training."""

    type = "training_completed"
    family = "learning"
    gives = ("training",)
    display = Display(
        icon="graduation-cap",
        en=Wording("Finished the course “{training}”", "[Result: {result}]"),
        ru=Wording("Пройден курс «{training}»", "[Результат: {result}]"),
        tone="good",
    )

    training: Name = Field(description="Its title.")
    result: Name | None = Field(None, description="A mark, a grade or a certificate.")

    def signals(self) -> Iterable[Signal]:
        yield Signal("training")

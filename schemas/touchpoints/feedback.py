"""Feedback: what the customer says about us when asked and unasked, and what we make of it.

Signals are classes beside the raw answers, because a ledger row cannot tell 5 + 1 from 3 + 3: CSAT 1–2, 3,
4–5 give `csat_bad`, `csat_mid`, `csat_good`; CES 1–3, 4, 5–7 `ces_hard`, `ces_mid`, `ces_easy` (7 is
easiest); NPS 0–6, 7–8, 9–10 `nps_detractor`, `nps_passive`, `nps_promoter`; reviews 1–2, 3, 4–5
`review_negative`, `review_neutral`, `review_positive`. A review's stance gives `stance_attacks` or
`stance_defends`; its praise is its rating.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from touchbook.schemas.details import Code, Contact, Details, Message, Name, Signal, Stance, Text
from touchbook.schemas.display import Display, Wording
from touchbook.schemas.numbers import NotBoolean
from touchbook.schemas.threads import Threaded, customer_message


def _class_of(answer: int | None, classes: tuple[tuple[int, str], ...]) -> Iterable[Signal]:
    """The signal of the class an answer falls in; `classes` are (highest answer, signal), lowest first."""
    if answer is not None:
        yield Signal(next(name for highest, name in classes if answer <= highest))


_CSAT = ((2, "csat_bad"), (3, "csat_mid"), (5, "csat_good"))
_CES = ((3, "ces_hard"), (4, "ces_mid"), (7, "ces_easy"))
_NPS = ((6, "nps_detractor"), (8, "nps_passive"), (10, "nps_promoter"))
_RATING = ((2, "review_negative"), (3, "review_neutral"), (5, "review_positive"))


class SurveySent(Details):
    """We asked for his opinion: a request for work."""

    type = "survey_sent"
    family = "feedback"
    default_direction = "out"
    display = Display(
        icon="clipboard-pen",
        en=Wording("Asked for an opinion[: {survey}]", "[{question|short}]"),
        ru=Wording("Отправлен опрос[: {survey}]", "[{question|short}]"),
        tone="noise",
    )

    survey: Name | None = Field(None, description="Which survey.")
    question: Text | None = Field(None, description="What is asked.")

    def contact(self) -> Contact | None:
        """An invitation goes out to him as a message does."""
        if self.taken_direction() != "out":
            return None
        return Contact("sent", self.decision, None, self.purpose or "survey", (), self.campaign)


class SurveyAnswered(Details):
    """One answer may hold several scales; a comment alone is an answer too."""

    type = "survey_answered"
    family = "feedback"
    gives = (
        "survey_answer", "csat_bad", "csat_mid", "csat_good", "ces_hard", "ces_mid", "ces_easy",
        "nps_detractor", "nps_passive", "nps_promoter",
    )  # fmt: skip
    from_public_key = True
    display = Display(
        icon="clipboard-check",
        en=Wording(
            "Survey answer[ · satisfaction {csat} of 5][ · ease {ces} of 7][ · would recommend {nps} of 10]",
            "[{comment|short}][ · {survey}]",
        ),
        ru=Wording(
            "Ответ на опрос[ · удовлетворённость {csat} из 5][ · простота {ces} из 7]"
            "[ · готовность рекомендовать {nps} из 10]",
            "[{comment|short}][ · {survey}]",
        ),
    )

    survey: Name | None = Field(None, description="Which survey.")
    csat: Annotated[int, Field(ge=1, le=5), NotBoolean] | None = Field(
        None, description="How satisfied, 1 to 5."
    )
    ces: Annotated[int, Field(ge=1, le=7), NotBoolean] | None = Field(
        None, description="How easy it was, 1 hard to 7 easy."
    )
    nps: Annotated[int, Field(ge=0, le=10), NotBoolean] | None = Field(
        None, description="Would he recommend us, 0 to 10."
    )
    comment: Text | None = Field(None, description="In the customer's words.")

    def signals(self) -> Iterable[Signal]:
        yield Signal("survey_answer")
        yield from _class_of(self.csat, _CSAT)
        yield from _class_of(self.ces, _CES)
        yield from _class_of(self.nps, _NPS)


class ReviewPosted(Details):
    """He judged a product, a place or us where others can read it."""

    type = "review_posted"
    family = "feedback"
    gives = ("review_negative", "review_neutral", "review_positive", "stance_attacks", "stance_defends")
    display = Display(
        icon="star",
        en=Wording(
            "Wrote a review[ of {name|short}][: {rating|stars}]",
            "[{title|short}. ][{text|short}][ · {stance|words}][ · {site}]",
            {"praises": "praise", "attacks": "criticism", "defends": "in our defence"},
        ),
        ru=Wording(
            "Отзыв[: {name|short}][, {rating|stars}]",
            "[{title|short}. ][{text|short}][ · {stance|words}][ · {site}]",
            {"praises": "похвала", "attacks": "критика", "defends": "в нашу защиту"},
        ),
    )

    rating: Annotated[int, Field(ge=1, le=5), NotBoolean] | None = Field(None, description="Stars, 1 to 5.")
    stance: Stance | None = Field(
        None, description="Towards the brand; defends: answers an attack of others."
    )
    title: Text | None = Field(None, description="The review's title.")
    text: Text | None = Field(None, description="The review.")
    name: Text | None = Field(None, description="The product or place reviewed.")
    product_id: Name | None = Field(None, description="Its id.")
    site: Name | None = Field(None, description="Where it stands.")

    def signals(self) -> Iterable[Signal]:
        yield from _class_of(self.rating, _RATING)
        if self.stance in ("attacks", "defends"):
            yield Signal(f"stance_{self.stance}")


class SuggestionSubmitted(Details):
    """He told us how something could be better."""

    type = "suggestion_submitted"
    family = "feedback"
    gives = ("suggestion",)
    display = Display(
        icon="lightbulb",
        en=Wording("Made a suggestion[ about {topic|short}]", "{text|short}"),
        ru=Wording("Предложение от клиента[: {topic|short}]", "{text|short}"),
        tone="good",
    )

    text: Text = Field(description="The idea, in the customer's words.")
    topic: Text | None = Field(None, description="What it is about.")
    feedback_id: Name | None = Field(None, description="So that what came of it can name it.")

    def signals(self) -> Iterable[Signal]:
        yield Signal("suggestion")


class FeedbackAcknowledged(Details):
    """We thanked him for his word, and told him that it was heard."""

    type = "feedback_acknowledged"
    family = "feedback"
    default_direction = "out"
    display = Display(
        icon="mail-check",
        en=Wording("Thanked for the feedback[ on {topic|short}]", "[{text|short}]"),
        ru=Wording("Поблагодарили за отклик[: {topic|short}]", "[{text|short}]"),
    )

    feedback_id: Name | None = Field(None, description="Which feedback.")
    topic: Text | None = Field(None, description="What it was about.")
    text: Text | None = Field(None, description="What we replied.")

    def message(self) -> Message:
        return Message("agent", public=True)


class FeedbackActedOn(Details):
    """His word changed something, and we told him what."""

    type = "feedback_acted_on"
    family = "feedback"
    gives = ("feedback_acted",)
    default_direction = "out"
    display = Display(
        icon="sparkles",
        en=Wording("Feedback put to use[: {topic|short}]", "{outcome|short}"),
        ru=Wording("Отклик учтён[: {topic|short}]", "{outcome|short}"),
        tone="good",
    )

    outcome: Text = Field(description="What came of it, in words for the customer.")
    feedback_id: Name | None = Field(None, description="Which feedback.")
    topic: Text | None = Field(None, description="What it was about.")

    def signals(self) -> Iterable[Signal]:
        yield Signal("feedback_acted")

    def message(self) -> Message:
        return Message("agent", public=True)


_REASONS_EN = {
    "late_delivery": "late delivery",
    "damaged": "arrived damaged",
    "wrong_item": "wrong item",
    "quality": "quality",
    "rude_staff": "rudeness",
    "no_reply": "no reply",
    "billing": "wrong bill",
    "other": "another reason",
}
_REASONS_RU = {
    "late_delivery": "задержка доставки",
    "damaged": "товар повреждён",
    "wrong_item": "не тот товар",
    "quality": "качество",
    "rude_staff": "грубость",
    "no_reply": "нет ответа",
    "billing": "ошибка в счёте",
    "other": "другая причина",
}


class _OfComplaint(Threaded):
    """Both ends of a complaint."""

    thread_from = ("case_id", "complaint_id")

    complaint_id: Name | None = Field(None, description="The complaint, so that its resolution can name it.")
    case_id: Name | None = Field(None, description="The case it is handled in.")
    order_id: Name | None = Field(None, description="The order it is about.")
    reason: Code | None = Field(
        None, description="late_delivery, damaged, quality, no_reply or another code."
    )


class ComplaintRaised(_OfComplaint):
    """He says that he was wronged. His own complaint waits for an answer, one that an agent notes does not."""

    type = "complaint_raised"
    family = "feedback"
    gives = ("complaint",)
    display = Display(
        icon="megaphone",
        en=Wording("Complaint[: {reason|words}]", "[{text|short}][ · order {order_id}]", _REASONS_EN),
        ru=Wording("Жалоба[: {reason|words}]", "[{text|short}][ · заказ {order_id}]", _REASONS_RU),
        tone="bad",
    )

    text: Text | None = Field(None, description="In the customer's words.")

    def signals(self) -> Iterable[Signal]:
        yield Signal("complaint")

    def message(self) -> Message | None:
        return customer_message(self)


class ComplaintResolved(_OfComplaint):
    """We put right what he complained of, and told him how."""

    type = "complaint_resolved"
    family = "feedback"
    default_direction = "out"
    display = Display(
        icon="circle-check-big",
        en=Wording(
            "Complaint settled[: {reason|words}]", "[{outcome|short}][ · order {order_id}]", _REASONS_EN
        ),
        ru=Wording(
            "Жалоба урегулирована[: {reason|words}]", "[{outcome|short}][ · заказ {order_id}]", _REASONS_RU
        ),
        tone="good",
    )

    outcome: Text | None = Field(None, description="What was done, in words for the customer.")

    def message(self) -> Message:
        return Message("agent", public=True)

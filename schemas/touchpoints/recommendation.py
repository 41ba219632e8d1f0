"""Recommendation: what a recommender showed, and what became of it.

Signals: `rec_click`, `rec_dismiss`; `interest:<category>` by the points in `schemas.interests`: following one
is interest, waving one away the opposite. A conversion gives none: the order that it led to says what was
bought.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from touchbook.schemas.details import INTEREST, Code, Details, Name, Signal, Text
from touchbook.schemas.display import Display, Wording
from touchbook.schemas.interests import CLICKED, DISMISSED, Category, interests
from touchbook.schemas.money import MoneyFields
from touchbook.schemas.numbers import NotBoolean


class _Recommendation(Details):
    """Names the recommender, so that its work can be judged; `decision` joins what belongs to one showing."""

    recommender: Name | None = Field(None, description="Which recommender.")
    recommender_version: Name | None = Field(None, description="Its version.")
    product_id: Name | None = Field(None, description="The product or content recommended.")
    name: Text | None = Field(None, description="Its name.")
    category: Category = Field(None, description="A category, or several.")
    place: Annotated[int, Field(ge=1, le=10_000), NotBoolean] | None = Field(
        None, description="Its place in the list, from 1."
    )


_WHO = "[{category|join}][ · {recommender}][ {recommender_version}]"


class RecommendationShown(_Recommendation):
    """A recommender put something before him."""

    type = "recommendation_shown"
    family = "recommendation"
    default_direction = "out"
    display = Display(
        icon="wand-sparkles",
        en=Wording("Recommended[: {name|short}]", _WHO),
        ru=Wording("Показана рекомендация[: {name|short}]", _WHO),
        tone="noise",
    )


class RecommendationClicked(_Recommendation):
    """He followed a recommendation."""

    type = "recommendation_clicked"
    family = "recommendation"
    gives = ("rec_click", INTEREST)
    display = Display(
        icon="mouse-pointer-click",
        en=Wording("Followed a recommendation[: {name|short}]", _WHO),
        ru=Wording("Переход по рекомендации[: {name|short}]", _WHO),
        tone="good",
    )

    def signals(self) -> Iterable[Signal]:
        yield Signal("rec_click")
        yield from interests([self.category], CLICKED)


class RecommendationDismissed(_Recommendation):
    """He waved a recommendation away; that counts against his interest in its category."""

    type = "recommendation_dismissed"
    family = "recommendation"
    gives = ("rec_dismiss", INTEREST)
    display = Display(
        icon="eye-off",
        en=Wording("Waved a recommendation away[: {name|short}]", "[{reason|words}][ · {category|join}]", {
            "not_interested": "not interested", "already_have": "has it already", "too_expensive": "too dear",
            "seen_too_often": "seen too often",
        }),
        ru=Wording("Отказ от рекомендации[: {name|short}]", "[{reason|words}][ · {category|join}]", {
            "not_interested": "неинтересно", "already_have": "уже есть", "too_expensive": "слишком дорого",
            "seen_too_often": "слишком часто показывали",
        }),
    )  # fmt: skip

    reason: Code | None = Field(
        None, description="not_interested, already_have, too_expensive or another word."
    )

    def signals(self) -> Iterable[Signal]:
        yield Signal("rec_dismiss")
        yield from interests([self.category], DISMISSED)


class RecommendationConverted(MoneyFields, _Recommendation):
    """A recommendation led to what it was made for, as a rule to an order."""

    type = "recommendation_converted"
    family = "recommendation"
    display = Display(
        icon="badge-dollar-sign",
        en=Wording(
            "Took up a recommendation[: {name|short}]",
            "[order {order_id}][ · {amount|money}][ · {recommender}]",
        ),
        ru=Wording(
            "Рекомендация сработала[: {name|short}]",
            "[заказ {order_id}][ · {amount|money}][ · {recommender}]",
        ),
        tone="good",
    )

    order_id: Name | None = Field(None, description="The order it led to.")

"""Loyalty: points, tiers and play; recommending us to others, and speaking of us in public.

Signals: points are the total of their types' own signals; `challenge`, `social_share`, `community_post`; by the
stance of what he says in public `mention_positive` (praise), `stance_attacks`, `stance_defends`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from pydantic import Field

from touchbook.schemas.details import Count, Details, Name, Signal, Stance, Text
from touchbook.schemas.display import Display, Wording

_STANCE_SIGNALS: dict[Stance, str] = {
    "praises": "mention_positive",
    "attacks": "stance_attacks",
    "defends": "stance_defends",
}
_STANCES_EN = {"praises": "with praise", "attacks": "with reproach", "defends": "in our defence"}
_STANCES_RU = {"praises": "похвала", "attacks": "критика", "defends": "в нашу защиту"}


class _OfPoints(Details):
    """A movement of the customer's points. The total of its signal is the points."""

    family = "loyalty"

    points: Count = Field(description="How many, never negative.")
    balance: Count | None = Field(None, description="What he has after it.")
    reason: Text | None = Field(None, description="What for.")
    program: Name | None = Field(None, description="The loyalty program.")

    def signals(self) -> Iterable[Signal]:
        yield Signal(self.type, self.points)


class PointsEarned(_OfPoints):
    """Points were credited."""

    type = "points_earned"
    default_direction = "out"
    display = Display(
        icon="coins",
        en=Wording(
            "Received {points|plural:point,points}[ for {reason|short}]", "[Balance: {balance|number}]"
        ),
        ru=Wording("Начислено баллов: {points|number}[ ({reason|short})]", "[Остаток: {balance|number}]"),
        tone="good",
    )


class PointsSpent(_OfPoints):
    """The customer paid with points."""

    type = "points_spent"
    display = Display(
        icon="coins",
        en=Wording("Used {points|plural:point,points}[ for {reason|short}]", "[Balance: {balance|number}]"),
        ru=Wording("Списано баллов: {points|number}[ ({reason|short})]", "[Остаток: {balance|number}]"),
    )


class PointsExpired(_OfPoints):
    """Points ran out unused."""

    type = "points_expired"
    default_direction = "out"
    display = Display(
        icon="hourglass",
        en=Wording("Lost {points|plural:unused point,unused points}", "[Balance: {balance|number}]"),
        ru=Wording("Сгорело баллов: {points|number}", "[Остаток: {balance|number}]"),
        tone="bad",
    )


class TierChanged(Details):
    """He moved to another tier of a loyalty program (not the tier of a score)."""

    type = "tier_changed"
    family = "loyalty"
    default_direction = "out"
    display = Display(
        icon="medal",
        en=Wording("Moved[ from {previous}] to {tier}", "[{program}][, until {until|date}]"),
        ru=Wording(
            "Уровень в программе: {tier}[ (прежний: {previous})]", "[{program}][, действует до {until|date}]"
        ),
    )

    tier: Name = Field(description="The tier from now on.")
    previous: Name | None = Field(None, description="The tier before.")
    program: Name | None = Field(None, description="The loyalty program.")
    until: date | None = Field(None, description="The day until which it is kept.")


class BadgeAwarded(Details):
    """He was given a badge."""

    type = "badge_awarded"
    family = "loyalty"
    default_direction = "out"
    display = Display(
        icon="award",
        en=Wording("Received the badge “{badge}”", "[{reason|short}]"),
        ru=Wording("Получен значок «{badge}»", "[{reason|short}]"),
        tone="good",
    )

    badge: Name = Field(description="Its name, as he sees it.")
    reason: Text | None = Field(None, description="What for.")


class ChallengeCompleted(Details):
    """He fulfilled a challenge, quest or game of ours."""

    type = "challenge_completed"
    family = "loyalty"
    gives = ("challenge",)
    display = Display(
        icon="trophy",
        en=Wording("Fulfilled the challenge “{challenge}”", "[Reward: {reward|short}]"),
        ru=Wording("Выполнено задание «{challenge}»", "[Награда: {reward|short}]"),
        tone="good",
    )

    challenge: Name = Field(description="Its name, as he sees it.")
    reward: Text | None = Field(None, description="What he got for it.")

    def signals(self) -> Iterable[Signal]:
        yield Signal("challenge")


class ReferralMade(Details):
    """He recommended us to someone."""

    type = "referral_made"
    family = "loyalty"
    display = Display(
        icon="user-plus",
        en=Wording("Recommended us to others[: {who}]", "[Code: {code}]"),
        ru=Wording("Рекомендация знакомым[: {who}]", "[Код: {code}]"),
        tone="good",
    )

    who: Name | None = Field(None, description="Whom: a name or an id, as far as the program tells it.")
    code: Name | None = Field(None, description="The referral code or link.")


class ReferralConverted(Details):
    """Someone he had recommended us to became a customer."""

    type = "referral_converted"
    family = "loyalty"
    default_direction = "internal"
    display = Display(
        icon="users",
        en=Wording("Someone came to us on this customer's word[: {who}]", "[Code: {code}]"),
        ru=Wording("По рекомендации пришёл новый клиент[: {who}]", "[Код: {code}]"),
        tone="good",
    )

    who: Name | None = Field(None, description="Who came: a name or an id, as far as the program tells it.")
    code: Name | None = Field(None, description="The referral code or link.")


class SocialShared(Details):
    """He passed something of ours on to others."""

    type = "social_shared"
    family = "loyalty"
    gives = ("social_share",)
    display = Display(
        icon="share-2",
        en=Wording("Shared something of ours with others[: “{what|short}”]", "[{network}][ · {url|short}]"),
        ru=Wording("Поделились ссылкой на нас[: «{what|short}»]", "[{network}][ · {url|short}]"),
        tone="good",
    )

    what: Text | None = Field(None, description="A product, an article, a page.")
    network: Name | None = Field(None, description="Where, or by what means.")
    url: Text | None = Field(None, description="What the link points to.")

    def signals(self) -> Iterable[Signal]:
        yield Signal("social_share")


class _InPublic(Details):
    """Words said in public, with the stance they take: praises, attacks, defends."""

    family = "loyalty"

    stance: Stance | None = Field(
        None, description="praises; attacks; defends us against an attack. Left out: none."
    )
    text: Text | None = Field(None, description="What was said.")
    url: Text | None = Field(None, description="Where it can be read.")

    def _stance_signals(self) -> Iterable[Signal]:
        if self.stance:
            yield Signal(_STANCE_SIGNALS[self.stance])


class BrandMentioned(_InPublic):
    """He spoke of us in a place that is not ours."""

    type = "brand_mentioned"
    gives = ("mention_positive", "stance_attacks", "stance_defends")
    display = Display(
        icon="at-sign",
        en=Wording("Spoke of us in public[ {stance|words}][ ({network})]", "[{text|short}]", _STANCES_EN),
        ru=Wording(
            "Публичное высказывание о нас[: {stance|words}][ ({network})]", "[{text|short}]", _STANCES_RU
        ),
    )

    network: Name | None = Field(None, description="Network, forum or paper.")

    def signals(self) -> Iterable[Signal]:
        return self._stance_signals()


class CommunityPosted(_InPublic):
    """He wrote in the brand's own community."""

    type = "community_posted"
    gives = ("community_post", "mention_positive", "stance_attacks", "stance_defends")
    display = Display(
        icon="message-circle-heart",
        en=Wording(
            "Wrote in our community[ {stance|words}][: “{topic|short}”]", "[{text|short}]", _STANCES_EN
        ),
        ru=Wording(
            "Запись в нашем сообществе[ ({stance|words})][: «{topic|short}»]", "[{text|short}]", _STANCES_RU
        ),
    )

    topic: Name | None = Field(None, description="Title or topic.")

    def signals(self) -> Iterable[Signal]:
        yield Signal("community_post")
        yield from self._stance_signals()

"""Account: opening and closing it, and the comings and goings on our pages and in our apps.

Signals: `page_view`, `app_open`, `session_seconds` with the seconds of a session as total, and the interest that a
look at a page shows in its section, `interest:<category>`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import Field

from touchbook.schemas.details import INTEREST, Count, Details, Name, Seconds, Signal, Text
from touchbook.schemas.display import Display, Wording
from touchbook.schemas.interests import LOOKED_AT, interest


class AccountOpened(Details):
    """He opened an account with us."""

    type = "account_opened"
    family = "account"
    display = Display(
        icon="user-round-plus",
        en=Wording("Opened an account with us[: {account}]", "[Plan: {plan}]"),
        ru=Wording("Открыта учётная запись[: {account}]", "[Тариф: {plan}]"),
        tone="good",
    )

    account: Name | None = Field(None, description="Its name or kind, as he knows it.")
    plan: Name | None = Field(None, description="Plan or tariff.")


class AccountClosed(Details):
    """He said good-bye. Opening an account again is a fact of its own."""

    type = "account_closed"
    family = "account"
    display = Display(
        icon="user-round-x",
        en=Wording("Closed the account with us[: {account}]", "[Reason: {reason|short}]"),
        ru=Wording("Учётная запись закрыта[: {account}]", "[Причина: {reason|short}]"),
        tone="bad",
    )

    account: Name | None = Field(None, description="Its name or kind, as he knows it.")
    reason: Text | None = Field(None, description="Why, in his words or a code of the form.")


class AccountNotified(Details):
    """The system told him of something about his account: a password changed, a card about to expire."""

    type = "account_notified"
    family = "account"
    default_direction = "out"
    display = Display(
        icon="bell",
        en=Wording("We sent a notice about the account[: {subject|short}]", "[{text|short}]"),
        ru=Wording("Мы отправили уведомление об учётной записи[: {subject|short}]", "[{text|short}]"),
    )

    subject: Text | None = Field(None, description="What about.")
    text: Text | None = Field(None, description="What it said.")


class PageViewed(Details):
    """He looked at a page of ours, or a screen of our app."""

    type = "page_viewed"
    family = "account"
    from_public_key = True
    gives = ("page_view", INTEREST)
    display = Display(
        icon="file-text",
        en=Wording(
            "Looked at the {kind|words}[ “{name|short}”]",
            "[{title|short}][ · {path|short}]",
            {"page": "page", "screen": "screen"},
        ),
        ru=Wording(
            "Просмотр {kind|words}[ «{name|short}»]",
            "[{title|short}][ · {path|short}]",
            {"page": "страницы", "screen": "экрана"},
        ),
        tone="noise",
    )

    kind: Literal["page", "screen"] = Field("page", description="A page of a site, or a screen of an app.")
    name: Text | None = Field(None, description="What we call it.")
    category: Text | None = Field(None, description="Its section: counts as interest in it.")
    title: Text | None = Field(None, description="Its title.")
    url: Text | None = Field(None, description="Its address.")
    path: Text | None = Field(None, description="The path of its address.")
    referrer: Text | None = Field(None, description="Where he came from.")

    def signals(self) -> Iterable[Signal]:
        yield Signal("page_view")
        yield from interest(self.category, LOOKED_AT)


class AppOpened(Details):
    """He opened our app."""

    type = "app_opened"
    family = "account"
    from_public_key = True
    gives = ("app_open",)
    display = Display(
        icon="smartphone",
        en=Wording("Opened our app[ {app}]", "[{platform}][ · {app_version}]"),
        ru=Wording("Открыто наше приложение[ {app}]", "[{platform}][ · {app_version}]"),
        tone="noise",
    )

    app: Name | None = Field(None, description="Which app.")
    app_version: Name | None = Field(None, description="Its version.")
    platform: Name | None = Field(None, description="The system it runs on.")

    def signals(self) -> Iterable[Signal]:
        yield Signal("app_open")


class SessionEnded(Details):
    """A visit to a site or an app came to its end."""

    type = "session_ended"
    family = "account"
    from_public_key = True
    gives = ("session_seconds",)
    display = Display(
        icon="timer",
        en=Wording("Spent {seconds|duration} with us", "[Pages seen: {pages|number}]"),
        ru=Wording("Проведено у нас: {seconds|duration}", "[Просмотрено страниц: {pages|number}]"),
        tone="noise",
    )

    seconds: Seconds = Field(description="How long it took.")
    pages: Count | None = Field(None, description="How many pages or screens he saw.")

    def signals(self) -> Iterable[Signal]:
        yield Signal("session_seconds", self.seconds)


class GroupJoined(Details):
    """He belongs to a company, a household or a team that we know."""

    type = "group_joined"
    family = "account"
    display = Display(
        icon="users-round",
        en=Wording("Belongs to the group {group}[: {traits.name}]"),
        ru=Wording("Входит в группу {group}[: {traits.name}]"),
    )

    group: Name = Field(description="Its id.")
    traits: dict[str, Any] = Field(
        default_factory=dict, description="What is known of the group, not of him."
    )

"""Immersive: augmented and virtual reality.

Signals: `ar_object` an object he looked at, `ar_seconds` with the seconds of a session as total, and the
interest that a look shows in a category, `interest:<category>`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from touchbook.schemas.details import INTEREST, Count, Name, Seconds, Signal, Text
from touchbook.schemas.display import Display, Wording
from touchbook.schemas.interests import LOOKED_AT, Category, interests
from touchbook.schemas.threads import Threaded

_MEDIA = {"ar": "AR", "vr": "VR", "mixed": "MR"}


class _OfSession(Threaded):
    """A touchpoint of one session."""

    thread_from = ("session_id",)
    from_public_key = True

    session_id: Name | None = Field(None, description="The session.")
    medium: Literal["ar", "vr", "mixed"] = Field("ar", description="Augmented, virtual or mixed reality.")


class ArSessionStarted(_OfSession):
    """He began to look around in augmented or virtual reality."""

    type = "ar_session_started"
    family = "immersive"
    display = Display(
        icon="glasses",
        en=Wording("{medium|words} session begins[: {scene|short}]", "[{device}]", _MEDIA),
        ru=Wording("{medium|words}-сеанс начат[: {scene|short}]", "[{device}]", _MEDIA),
    )

    scene: Text | None = Field(None, description="The scene or experience.")
    device: Name | None = Field(None, description="On what it runs.")


class ArObjectViewed(_OfSession):
    """He looked at an object there, or tried it out."""

    type = "ar_object_viewed"
    family = "immersive"
    gives = ("ar_object", INTEREST)
    display = Display(
        icon="box",
        en=Wording("{medium|words}: tried {name|short}[, {seconds|duration}]", "[{category|join}]", _MEDIA),
        ru=Wording(
            "{medium|words}-просмотр: {name|short}[, {seconds|duration}]", "[{category|join}]", _MEDIA
        ),
    )

    name: Text = Field(description="The object.")
    product_id: Name | None = Field(None, description="The product it stands for.")
    category: Category = Field(None, description="A category, or several.")
    seconds: Seconds | None = Field(None, description="How long he looked at it.")

    def signals(self) -> Iterable[Signal]:
        yield Signal("ar_object")
        yield from interests([self.category], LOOKED_AT)


class ArSessionEnded(_OfSession):
    """A session came to its end, after so many seconds."""

    type = "ar_session_ended"
    family = "immersive"
    gives = ("ar_seconds",)
    display = Display(
        icon="log-out",
        en=Wording("{medium|words} session: {seconds|duration}", "[{objects|plural:object,objects}]", _MEDIA),
        ru=Wording(
            "{medium|words}-сеанс: {seconds|duration}", "[{objects|plural:объект,объекта,объектов}]", _MEDIA
        ),
    )

    seconds: Seconds = Field(description="How long the session lasted.")
    objects: Count | None = Field(None, description="How many objects he looked at.")

    def signals(self) -> Iterable[Signal]:
        yield Signal("ar_seconds", self.seconds)

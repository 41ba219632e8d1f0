"""Person: who he is, what he allows, what he prefers, how he feels; and what our agents note about him.

Signals: `emotion_positive` and `emotion_negative`, where whoever noticed it is sure enough.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from functools import cache
from typing import Annotated, Any, Literal, Self
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from touchbook.schemas.details import Code, Details, Name, Register, Signal, Text
from touchbook.schemas.display import Display, Wording
from touchbook.schemas.numbers import NotBoolean, Whole

MAX_TRAITS = 100
MAX_TRAIT_NAME = 100
MAX_PAIRS = 10_000
"""How many pairs one unlink may keep apart: each is a claim of its own."""
SURE_ENOUGH = 0.5
"""A recogniser less sure than this of what he feels is more likely wrong than right."""

_PURPOSES_EN = {
    "welcome": "welcome messages",
    "teach": "tips and lessons",
    "support": "support",
    "offer": "offers",
    "service": "service messages",
    "survey": "surveys",
    "legal": "notices we must send",
}
_PURPOSES_RU = {
    "welcome": "приветственные сообщения",
    "teach": "советы и обучение",
    "support": "поддержка",
    "offer": "предложения",
    "service": "сервисные сообщения",
    "survey": "опросы",
    "legal": "обязательные уведомления",
}
_STANDING_RU = {
    "loyalty": "лояльность", "emotional_loyalty": "эмоциональная лояльность", "trust": "доверие",
    "satisfaction": "удовлетворённость", "engagement": "вовлечённость", "churn_risk": "риск ухода",
    "fatigue": "усталость",
    "new": "новый", "returning": "возвращается", "regular": "постоянный", "loyal": "лояльный",
    "devoted": "преданный", "indifferent": "равнодушие", "sympathetic": "симпатия", "attached": "привязанность",
    "bonded": "близость", "champion": "амбассадор", "broken": "утрачено", "doubtful": "шаткое",
    "neutral": "нейтральное", "trusting": "хорошее", "firm": "прочное", "unhappy": "недовольство",
    "uneasy": "сомнения", "content": "нормально", "pleased": "довольство", "delighted": "восторг",
    "silent": "молчание", "occasional": "изредка", "active": "активность", "engaged": "увлечённость",
    "immersed": "погружение", "low": "низкий", "watch": "на заметке", "elevated": "повышенный", "high": "высокий",
    "critical": "критический", "fresh": "нет", "fine": "в норме", "tired": "заметная", "exhausted": "перегрузка",
}  # fmt: skip
"""Our own scores and their tiers."""


@cache
def _zones() -> frozenset[str]:
    """Read from disk once: it takes ten milliseconds."""
    return frozenset(available_timezones())


def _zone(name: str) -> str:
    if name not in _zones():
        raise ValueError("expected an IANA time zone, as Europe/Berlin")
    return name


def _reference(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]*:\S.*", text):
        raise ValueError("expected type:value, as user_id:42")
    return text


Reference = Annotated[str, StringConstraints(max_length=500), AfterValidator(_reference)]
"""An identifier as text, `user_id:42`."""

References = Annotated[list[Reference], Field(min_length=1, max_length=250)]
Names = Annotated[list[Code], Field(max_length=50)]
ClockTime = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]


class Identified(Details):
    """What is known of him: name, birthday, city. The latest value of each trait holds; null clears it."""

    type = "identified"
    family = "person"
    from_public_key = True  # the door keeps it without its traits
    display = Display(
        icon="id-card",
        en=Wording("Personal details became known[: {traits.name|short}]"),
        ru=Wording("Уточнены личные данные[: {traits.name|short}]"),
    )

    traits: dict[str, Any] = Field(default_factory=dict, description="Name → value, any JSON.")

    def registers(self) -> Iterable[Register]:
        """The first hundred traits by name; names over a hundred characters are kept in the data only."""
        named = sorted(name for name in self.traits if 0 < len(name) <= MAX_TRAIT_NAME)
        return [Register("trait", name, self.traits[name]) for name in named[:MAX_TRAITS]]

    def marks(self) -> Iterable[str]:
        if len(self.traits) > MAX_TRAITS or any(not 0 < len(name) <= MAX_TRAIT_NAME for name in self.traits):
            yield "traits_left_out"


class Alias(Details):
    """Two identifiers he carries are one person: a visitor has signed in."""

    type = "alias"
    family = "person"
    display = Display(
        icon="user-round-check",
        en=Wording("Recognised as an earlier visitor"),
        ru=Wording("Узнан прежний посетитель"),
        tone="noise",
    )

    previous: Name | None = Field(None, description="The identifier from before.")


class Link(Details):
    """An agent says that these identifiers are one person."""

    type = "link"
    family = "person"
    default_direction = "internal"
    for_customer = False
    display = Display(
        icon="link",
        en=Wording("Found to be one person: {link|join}", "[{reason|short}]"),
        ru=Wording("Признаны одним человеком: {link|join}", "[{reason|short}]"),
    )

    link: Annotated[list[Reference], Field(min_length=2, max_length=20)] = Field(
        description="Two to twenty identifiers, each as type:value."
    )
    reason: Text | None = Field(None, description="How the agent knows.")


class Unlink(Details):
    """An agent says that these are different people: nothing may join one side to the other."""

    model_config = ConfigDict(serialize_by_alias=True)

    type = "unlink"
    family = "person"
    default_direction = "internal"
    for_customer = False
    display = Display(
        icon="unlink",
        en=Wording("Found to be different people: {apart|join} and {from|join}", "[{reason|short}]"),
        ru=Wording("Признаны разными людьми: {apart|join} и {from|join}", "[{reason|short}]"),
    )

    apart: References = Field(description="One side, each as type:value.")
    others: References = Field(alias="from", description="The other side, each as type:value.")
    reason: Text | None = Field(None, description="How the agent knows.")

    @model_validator(mode="after")
    def _keep_few_enough_apart(self) -> Self:
        if len(self.apart) * len(self.others) > MAX_PAIRS:
            raise ValueError(f"expected at most {MAX_PAIRS} pairs: `apart` times `from`")
        return self


class _Consent(Details):
    """A word on what we may do: for the common `purpose`, for other named `purposes`, or both."""

    family = "person"

    purposes: Names | None = Field(None, description="What for: our purposes, or names such as Advertising.")
    method: Name | None = Field(None, description="How it was given: form, call, signature.")
    document: Name | None = Field(None, description="The text that was agreed to.")
    document_version: Name | None = Field(None, description="Its version.")

    @model_validator(mode="after")
    def _names_a_purpose(self) -> Self:
        if not self.purpose and not self.purposes:
            raise ValueError("expected a purpose, or a list of purposes")
        return self

    def _consents(self, granted: bool) -> Iterable[Register]:
        said = {"method": self.method, "document": self.document, "document_version": self.document_version}
        value = {"granted": granted, **{name: word for name, word in said.items() if word is not None}}
        named = dict.fromkeys([*([self.purpose] if self.purpose else []), *(self.purposes or [])])
        return [Register("consent", purpose, value) for purpose in named]


class ConsentGranted(_Consent):
    """He allows it."""

    type = "consent_granted"
    display = Display(
        icon="shield-check",
        en=Wording(
            "Gave consent[: {purpose|words}][: {purposes|words}]", "[{document}][, {method}]", _PURPOSES_EN
        ),
        ru=Wording(
            "Дано согласие[: {purpose|words}][: {purposes|words}]", "[{document}][, {method}]", _PURPOSES_RU
        ),
        tone="good",
    )

    def registers(self) -> Iterable[Register]:
        return self._consents(granted=True)


class ConsentWithdrawn(_Consent):
    """He allows it no longer."""

    type = "consent_withdrawn"
    display = Display(
        icon="shield-off",
        en=Wording(
            "Took consent back[: {purpose|words}][: {purposes|words}]",
            "[{document}][, {method}]",
            _PURPOSES_EN,
        ),
        ru=Wording(
            "Отозвано согласие[: {purpose|words}][: {purposes|words}]",
            "[{document}][, {method}]",
            _PURPOSES_RU,
        ),
        tone="bad",
    )

    def registers(self) -> Iterable[Register]:
        return self._consents(granted=False)


class QuietHours(BaseModel):
    """When he wants peace, by his own clock; may pass midnight."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    starts: ClockTime = Field(alias="from", description="HH:MM, the first minute of quiet.")
    ends: ClockTime = Field(alias="to", description="HH:MM, the first minute after it.")
    zone: Annotated[str, AfterValidator(_zone)] = Field(description="IANA time zone, as Europe/Berlin.")


class PreferenceChanged(Details):
    """How he wants to be spoken to. Only what is named changes; null clears it."""

    type = "preference_changed"
    family = "person"
    display = Display(
        icon="sliders-horizontal",
        en=Wording(
            "Told us how to stay in touch",
            "[{do_not_contact|words}][ · Channels: {channels|join}]"
            "[ · Quiet hours: {hours.from}–{hours.to} ({hours.zone})]"
            "[ · Language: {language}][ · Topics: {topics|join}][ · How often: {frequency|words}]"
            "[ · Help: {help|short}]",
            {
                "true": "Do not contact",
                "false": "May be contacted",
                "daily": "every day",
                "weekly": "every week",
                "monthly": "every month",
                "never": "never",
            },
        ),
        ru=Wording(
            "Высказаны пожелания по общению",
            "[{do_not_contact|words}][ · Каналы: {channels|join}]"
            "[ · Тихие часы: {hours.from}–{hours.to} ({hours.zone})]"
            "[ · Язык: {language}][ · Темы: {topics|join}][ · Как часто: {frequency|words}]"
            "[ · Как помогать: {help|short}]",
            {
                "true": "Не беспокоить",
                "false": "Можно обращаться",
                "daily": "каждый день",
                "weekly": "каждую неделю",
                "monthly": "каждый месяц",
                "never": "никогда",
            },
        ),
    )

    channels: Names | None = Field(None, description="Channels he likes, the best first.")
    do_not_contact: bool | None = Field(None, description="true: leave him in peace altogether.")
    hours: QuietHours | None = Field(None, description="Quiet hours.")
    language: Code | None = Field(None, description="A language tag, as ru or en-GB.")
    topics: Names | None = Field(None, description="What he wants to hear about.")
    frequency: Code | None = Field(None, description="How often at most: daily, weekly, monthly, never.")
    help: Name | None = Field(
        None, description="How he wants to be helped: by a person, by text, step by step."
    )

    @model_validator(mode="after")
    def _names_a_preference(self) -> Self:
        if not self.model_fields_set & PREFERENCES:
            raise ValueError(f"expected at least one of {', '.join(sorted(PREFERENCES))}")
        return self

    def registers(self) -> Iterable[Register]:
        said = self.model_dump(mode="json", include=self.model_fields_set & PREFERENCES)
        return [Register("preference", name, said[name]) for name in sorted(said)]


PREFERENCES = frozenset(PreferenceChanged.model_fields) - frozenset(Details.model_fields)
"""What can be preferred; the names of the registers."""


class EmotionObserved(Details):
    """What he seemed to feel, and who or what says so."""

    type = "emotion_observed"
    family = "person"
    default_direction = "internal"
    for_customer = False
    gives = ("emotion_positive", "emotion_negative")
    display = Display(
        icon="smile",
        en=Wording(
            "Seemed to feel {emotion|words}",
            "[Told by: {source|words}][, confidence {confidence|number}]",
            {"agent": "agent", "voice": "voice analysis", "text": "text analysis", "face": "face analysis"},
        ),
        ru=Wording(
            "Замечена эмоция: {emotion|words}",
            "[Источник: {source|words}][, уверенность {confidence|number}]",
            {
                "joy": "радость",
                "gratitude": "благодарность",
                "trust": "доверие",
                "surprise": "удивление",
                "calm": "спокойствие",
                "anger": "гнев",
                "frustration": "досада",
                "irritation": "раздражение",
                "sadness": "грусть",
                "fear": "тревога",
                "disappointment": "разочарование",
                "confusion": "растерянность",
                "agent": "сотрудник",
                "voice": "анализ голоса",
                "text": "анализ текста",
                "face": "анализ мимики",
            },
        ),
    )

    emotion: Code = Field(description="A noun: joy, gratitude, calm, anger, irritation, sadness, confusion …")
    valence: Literal["positive", "neutral", "negative"] = Field(description="Which way it goes.")
    source: Code = Field(description="Who or what noticed it: agent, voice, text, face.")
    confidence: Annotated[float, Field(ge=0, le=1), NotBoolean] | None = Field(
        None, description=f"0 to 1; below {SURE_ENOUGH} it is kept but does not count."
    )

    def unsure(self) -> bool:
        return self.confidence is not None and self.confidence < SURE_ENOUGH

    def signals(self) -> Iterable[Signal]:
        if self.valence != "neutral" and not self.unsure():
            yield Signal(f"emotion_{self.valence}")

    def marks(self) -> Iterable[str]:
        if self.unsure():
            yield "low_confidence"


class ScoreTierChanged(Details):
    """A score of his stands in another tier at the end of a day than at the end of the day before."""

    type = "score_tier_changed"
    family = "person"
    default_direction = "internal"
    for_customer = False  # what we reckon of him, not something that happened between us
    display = Display(
        icon="milestone",
        en=Wording(
            "Score “{score|words}”[: {before|words}][ → {after|words}]",
            "[was {value_before|number}][ · now {value_after|number}][ · end of {day|date}]",
        ),
        ru=Wording(
            "Оценка «{score|words}»[: {before|words}][ → {after|words}]",
            "[было {value_before|number}][ · стало {value_after|number}][ · конец дня {day|date}]",
            _STANDING_RU,
        ),
    )

    score: Code = Field(description="Which score.")
    before: Code | None = Field(None, description="Its tier a day earlier; null where too little was known.")
    after: Code | None = Field(
        None, description="Its tier at the end of the day; null where too little is known."
    )
    value_before: Whole | None = Field(None, description="Its value a day earlier, 0 to 100.")
    value_after: Whole | None = Field(None, description="Its value at the end of the day, 0 to 100.")
    day: date = Field(description="The UTC day at whose end it stands so.")
    scorecard_version: Whole | None = Field(None, description="The version of the scorecard.")


class NoteAdded(Details):
    """What an agent wrote down for colleagues."""

    type = "note_added"
    family = "person"
    default_direction = "internal"
    for_customer = False
    display = Display(
        icon="sticky-note",
        en=Wording("A note[ by {actor.name}] for colleagues", "{text}"),
        ru=Wording("Заметка для коллег[ ({actor.name})]", "{text}"),
    )

    text: Annotated[Text, StringConstraints(min_length=1)] = Field(description="The note.")

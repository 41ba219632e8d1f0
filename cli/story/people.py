"""The cast: invented people who speak Russian or English, with the identifiers channels know them by."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

Language = Literal["en", "ru"]

NAMES = {
    "en": "Nora Edwin Tabitha Rufus Wilma Barnaby Isolde Clement Odette Percival Hazel "
    "Linus Beatrix Magnus Flora Jasper",
    "ru": "Ульяна Тихон Василиса Прохор Глафира Савелий Милана Лукьян Аглая Макар Злата "
    "Ермолай Серафима Захар Агата Фома",
}
"""Women's and men's names in turn."""

SURNAMES = {
    "en": "Ashgrove Thistledown Larkmoor Quillfeather Bramblewick Pennyfold Mosswater Copperleaf Windlestraw "
    "Harebell Foxmantle Rookhaven Applewhistle Dewberry Sallowfield Tansybrook Marlowick Hollinsedge",
    "ru": "Лукоморов Тридевятов Рябинкин Самоцветов Ежевичкин Незабудкин Чудодеев Одуванов Кораблёв "
    "Светлячков Медуницын Былинкин Звонцов Перелескин Вересков Туманкин Ладошкин Снежинкин",
}

CITIES = {
    "en": ("Fernhollow", "Port Calder", "Upper Wend", "Saltmarsh Quay"),
    "ru": ("Лукоморск", "Тридевять", "Верхние Зори", "Берендеев Посад"),
}
ZONES = {"en": "Europe/London", "ru": "Europe/Moscow"}

_LATIN = {
    **dict(zip("абвгдеёзийклмнопрстуфхыэ", "abvgdeeziyklmnoprstufhye", strict=True)),
    "ж": "zh",
    "ц": "ts",
    "ч": "ch",
    "ш": "sh",
    "щ": "shch",
    "ъ": "",
    "ь": "",
    "ю": "yu",
    "я": "ya",
}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody invented. `number` counts from 0; what he is known by follows from it and the seed."""

    number: int
    language: Language
    first: str
    last: str
    city: str
    user_id: str
    email: str
    old_email: str
    phone: str
    card: str
    anonymous_id: str
    device: str

    @property
    def name(self) -> str:
        return f"{self.first} {self.last}"

    @property
    def currency(self) -> str:
        return "RUB" if self.language == "ru" else "EUR"


def person(number: int, seed: int, family: str | None = None) -> Person:
    """The person of that number; Russian and English speakers take turns, and 288 people bear as many names. `family`
    gives a household one surname."""
    rng = random.Random(f"person {seed} {number}")
    language: Language = "en" if number % 2 else "ru"
    turn = seed + number // 2
    names, surnames = NAMES[language].split(), SURNAMES[language].split()
    place = (7 * turn + turn // 144) % len(names)
    first, last = names[place], family or surnames[5 * turn % len(surnames)]
    last = last + "а" if language == "ru" and place % 2 == 0 else last
    latin = _latin(f"{first}.{last}")
    return Person(
        number=number,
        language=language,
        first=first,
        last=last,
        city=rng.choice(CITIES[language]),
        user_id=f"u-{1001 + number}",
        email=f"{latin}.{number}@example.test",
        old_email=f"{latin}.{number}@old-mail.example.test",
        phone=fictional_phone(number),
        card=f"L-{500_001 + number}",
        anonymous_id=f"{rng.getrandbits(64):016x}",
        device=f"{'ios' if rng.random() < 0.5 else 'android'}-{rng.getrandbits(48):012x}",
    )


def fictional_phone(number: int) -> str:
    """A number of the ranges kept free for drama: Britain's 07700 900xxx, then America's 555-01xx by area."""
    if number < 1000:
        return f"+447700900{number:03d}"
    area, line = divmod(number - 1000, 100)
    return f"+1{AREAS[area % len(AREAS)]}55501{line:02d}"


AREAS = (
    *(202, 206, 212, 213, 214, 215, 216, 303, 305, 312, 313, 314, 402, 404, 405, 406, 410, 412, 414, 415),
    *(502, 503, 504, 505, 512, 513, 515, 602, 605, 612, 615, 617, 619, 701, 702, 703, 713, 716, 802, 808),
)


def _latin(name: str) -> str:
    return "".join(_LATIN.get(letter, letter) for letter in name.casefold())

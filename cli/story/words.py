"""What is sold, said and written, in both languages. The shop is invented: lamps, chairs, coffee, tents, tea, rugs."""

from __future__ import annotations

from typing import NamedTuple

from touchbook.cli.story.people import Language


class Words(NamedTuple):
    en: str
    ru: str

    def __call__(self, language: Language) -> str:
        return self.ru if language == "ru" else self.en


class Product(NamedTuple):
    """`euros` and `roubles` are whole."""

    id: str
    category: str
    name: Words
    euros: int
    roubles: int

    def price(self, currency: str) -> int:
        """Minor units."""
        return (self.roubles if currency == "RUB" else self.euros) * 100


def _product(id: str, category: str, en: str, ru: str, euros: int, roubles: int) -> Product:
    return Product(id, category, Words(en, ru), euros, roubles)


PRODUCTS = (
    _product("lamp-01", "lamps", "Firefly desk lamp", "Лампа «Светлячок»", 49, 4900),
    _product("lamp-02", "lamps", "Lighthouse floor lamp", "Торшер «Маяк»", 129, 12_900),
    _product("lamp-03", "lamps", "Moonrise night light", "Ночник «Полнолуние»", 19, 1900),
    _product("chair-01", "chairs", "Heron armchair", "Кресло «Цапля»", 349, 34_900),
    _product("chair-02", "chairs", "Wren stool", "Табурет «Крапивник»", 59, 5900),
    _product("chair-03", "chairs", "Sedge rocking chair", "Кресло-качалка «Осока»", 279, 27_900),
    _product("coffee-01", "coffee", "Moka pot Quarter Past", "Гейзер «Четверть девятого»", 39, 3900),
    _product("coffee-02", "coffee", "Beans Foggy Morning, 1 kg", "Зёрна «Туманное утро», 1 кг", 24, 2400),
    _product("coffee-03", "coffee", "Hand grinder Pebble", "Ручная мельница «Галька»", 69, 6900),
    _product("tent-01", "tents", "Two-person tent Snail", "Палатка «Улитка», двухместная", 189, 18_900),
    _product("tent-02", "tents", "Hammock Slow Sunday", "Гамак «Тихое воскресенье»", 79, 7900),
    _product("tea-01", "tea", "Herbal tea Meadow Path", "Травяной чай «Луговая тропа»", 12, 990),
    _product("tea-02", "tea", "Teapot Cloudberry", "Чайник «Морошка»", 45, 4500),
    _product("rug-01", "rugs", "Wool rug Northern Shore", "Шерстяной ковёр «Северный берег»", 219, 21_900),
    _product("rug-02", "rugs", "Runner Birch Bark", "Дорожка «Береста»", 89, 8900),
)

CATEGORY_NAMES = {
    "lamps": Words("Lamps", "Лампы"),
    "chairs": Words("Chairs", "Кресла"),
    "coffee": Words("Coffee", "Кофе"),
    "tents": Words("Tents and hammocks", "Палатки и гамаки"),
    "tea": Words("Tea", "Чай"),
    "rugs": Words("Rugs", "Ковры"),
}

LETTERS = (
    Words("Three lamps for long evenings", "Три лампы для долгих вечеров"),
    Words("How to brew coffee on a fire", "Как сварить кофе на костре"),
    Words("New in the shop: rugs of the north", "Новинки: ковры с севера"),
    Words("Your chair misses you", "Ваше кресло скучает"),
    Words("A week of small prices", "Неделя маленьких цен"),
    Words("Which tea for which weather", "Какой чай в какую погоду"),
    Words("Pack light: a tent list", "Налегке: список для похода"),
)

QUESTIONS = (
    (
        Words("Which bulb fits the Lighthouse lamp?", "Какая лампочка подходит к торшеру «Маяк»?"),
        Words("E27, up to 12 W. A warm one looks best.", "E27, до 12 Вт. Лучше тёплого света."),
    ),
    (
        Words("Can the parcel be left at the pick-up point?", "Можно забрать заказ в пункте выдачи?"),
        Words("Yes, it is there from tomorrow noon.", "Да, он будет там завтра с полудня."),
    ),
    (
        Words("Does the Heron chair come assembled?", "Кресло «Цапля» приходит собранным?"),
        Words(
            "Four screws, ten minutes, the key is in the box.", "Четыре винта, десять минут, ключ в коробке."
        ),
    ),
    (
        Words("How do I wash the wool rug?", "Как чистить шерстяной ковёр?"),
        Words(
            "Cold water and wool soap; snow works too.",
            "Холодной водой и мылом для шерсти; снегом тоже можно.",
        ),
    ),
    (
        Words("Is the tent warm enough for October?", "В палатке не замёрзнем в октябре?"),
        Words("With the inner sheet, down to five degrees.", "Со вкладышем — до пяти градусов тепла."),
    ),
)

TROUBLES = (
    (
        "late_delivery",
        Words("My order has not come", "Заказ не пришёл"),
        Words(
            "It was promised for Monday, and nobody can tell me where it is.",
            "Обещали в понедельник, и никто не знает, где он.",
        ),
        Words(
            "Found at the depot, delivered, shipping paid back.",
            "Нашли на складе, доставили, доставку вернули.",
        ),
    ),
    (
        "damaged",
        Words("The lamp came broken", "Лампа пришла разбитой"),
        Words("The shade is cracked on both sides.", "Плафон треснул с двух сторон."),
        Words("A new shade sent the same day.", "Новый плафон отправили в тот же день."),
    ),
    (
        "wrong_item",
        Words("This is not my rug", "Прислали не тот ковёр"),
        Words(
            "I ordered Northern Shore, the box holds Birch Bark.",
            "Заказан «Северный берег», в коробке «Береста».",
        ),
        Words(
            "Exchanged at the door, the runner is a gift.", "Обменяли на месте, дорожку оставили в подарок."
        ),
    ),
)

PRAISE = (
    Words("Everything as promised, and a day early.", "Всё как обещали, даже на день раньше."),
    Words("The packer drew a bird on the box!", "На коробке нарисовали птицу!"),
    Words("Easy, friendly, quick.", "Просто, по-доброму, быстро."),
)
BLAME = (
    Words("Two weeks of silence.", "Две недели тишины."),
    Words("The bot went round in circles.", "Бот ходил по кругу."),
    Words("I had to explain it three times.", "Пришлось объяснять трижды."),
)
POSTS = (
    (
        Words("My reading corner", "Мой угол для чтения"),
        Words("Heron chair, Firefly lamp, cat.", "«Цапля», «Светлячок», кот."),
    ),
    (
        Words("Grind for the moka pot", "Помол для гейзера"),
        Words("Finer than filter, coarser than espresso.", "Мельче фильтра, крупнее эспрессо."),
    ),
    (
        Words("Snail in the rain", "«Улитка» под дождём"),
        Words("Dry after a whole night.", "Всю ночь лило — внутри сухо."),
    ),
)
DEFENCE = Words(
    "Not fair: they answered me within an hour and changed the shade for free.",
    "Неправда: мне ответили за час и плафон заменили бесплатно.",
)
ATTACK = Words(
    "Think twice before you order a lamp there.", "Подумайте дважды, прежде чем заказывать там лампу."
)
IDEA = Words("Please sell the shades apart from the lamps.", "Продавайте плафоны отдельно от ламп.")
IDEA_DONE = Words(
    "Shades can be bought apart since this month. The idea was yours.",
    "С этого месяца плафоны продаются отдельно. Идея была ваша.",
)
WEBINARS = (
    Words("Light at home: where, how much, how warm", "Свет дома: где, сколько, какой теплоты"),
    Words("Coffee without a machine", "Кофе без кофемашины"),
)
SHOPS = {"en": ("Quayside shop", "Mill Lane shop"), "ru": ("Магазин на Набережной", "Магазин на Мельничной")}
AGENTS = {"en": ("Jonah Reed", "Petra Lindqvist"), "ru": ("Вера Ситцева", "Глеб Ольхов")}

"""One customer told in full, in both languages: Marta Lindqvist and Вера Лаптева, a year content and then let down.

Everything the desk can show has its place in it: a chat that waits, two e-mails nobody answered, a promise broken and
one that is due, a case, a complaint, a survey, a visit that was heard of days later, a session of before the sign-in.
"""

from __future__ import annotations

from datetime import UTC, datetime

from babel.dates import format_date

from touchbook.cli.story.episodes import viewed
from touchbook.cli.story.pen import DAY, HOUR, MINUTE, Data, Pen, Told
from touchbook.cli.story.people import Person
from touchbook.cli.story.words import PRODUCTS, Product, Words
from touchbook.schemas.times import rfc3339

MARTA = Person(
    number=84213,
    language="en",
    first="Marta",
    last="Lindqvist",
    city="Helsinki",
    user_id="84213",
    email="marta.lindqvist@example.test",
    old_email="marta@old-mail.example.test",
    phone="+441632960147",
    card="L-30024471",
    anonymous_id="5f1de0c27a94b360",
    device="android-5a1c90be7d02",
)
VERA = Person(
    number=84214,
    language="ru",
    first="Вера",
    last="Лаптева",
    city="Самара",
    user_id="84214",
    email="vera.lapteva@example.test",
    old_email="vera@old-mail.example.test",
    phone="+441632960247",
    card="L-30034471",
    anonymous_id="a83b6c0e91f75d24",
    device="android-c37e02d9a15b",
)
"""Her phone is of the numbers that Britain keeps for fiction, as everybody's here."""

ZONES = {"en": "Europe/Helsinki", "ru": "Europe/Samara"}
SPEAKS = {"en": ["en", "sv"], "ru": ["ru"]}
KEEPER = Words("Jonas Weber", "Егор Вебер")
SHOP = Words("Shop in Kamppi", "Магазин на Ленинградской")
HALO = Product("lamp-04", "lamps", Words("Halo floor lamp, brass", "Торшер «Гало», латунь"), 189, 17_490)
SHADE = Product("lamp-05", "lamps", Words("Lampshade", "Абажур"), 24, 1990)
TRIED = (HALO, *(product for product in PRODUCTS if product.category == "lamps"))
ANSWERED = (
    (
        Words("Does the linen shade come in grey?", "Бывает ли льняной абажур серым?"),
        Words("Yes, since this week.", "Да, с этой недели."),
    ),
    (
        Words("Can I bring the shade back to the shop?", "Можно вернуть абажур в магазин?"),
        Words("Of course, until the end of the month.", "Конечно, до конца месяца."),
    ),
    (
        Words("Which bulbs fit the Halo lamp?", "Какие лампочки подходят к «Гало»?"),
        Words("Any with an E27 socket, up to 60 watts.", "Любые с цоколем E27, до 60 ватт."),
    ),
)
CUSTOMER: Data = {"kind": "customer"}
SYSTEM: Data = {"kind": "system", "name": "Touchbook"}
LATE = 2 * DAY + 15 * HOUR
"""How late the visit to the shop was heard of."""
FIRST, LAST = 355, 25
"""Days ago: her first order and the one that never came; there was one every thirty days."""


def life_of(person: Person, now: int) -> list[Told]:
    """Everything that happened to her until `now` (milliseconds UTC), in the order in which it was heard of.

    About 180 touchpoints over a year, and what the clock says of them. Trust comes out at 36, doubtful.
    """
    pen = _Pen(person, 0, now)
    for chapter in (
        _comes_to_us,
        _is_content,
        _orders_a_lamp,
        _waits,
        _complains,
        _hears_from_us,
        _is_here_now,
    ):
        chapter(pen)
    return sorted(pen.told, key=lambda told: (heard_at(told), told.at, told.source, told.id))


def heard_at(told: Told) -> int:
    """When a touchpoint of hers was heard of: as it happened, but for the visit to the shop."""
    return told.at + LATE if told.type == "place_visited" else told.at


class _Pen(Pen):
    """With the few numbers that are hers alone, and moments by the clock."""

    @property
    def order_id(self) -> str:
        return str(10_482 + self.person.number - MARTA.number)

    @property
    def case_id(self) -> str:
        return f"C-{2207 + self.person.number - MARTA.number}"

    @property
    def keeper(self) -> Data:
        return {"kind": "agent", "name": self.say(KEEPER), "team": "care"}

    def ago(self, days: int, clock: str) -> int:
        """So many days ago, UTC, at HH:MM or HH:MM:SS of that day."""
        hours, minutes, seconds = [int(part) for part in f"{clock}:00".split(":")[:3]]
        return (self.now // DAY - days) * DAY + hours * HOUR + minutes * MINUTE + seconds * 1000

    def day(self, days: int) -> str:
        """The day in words, "30 October"."""
        then = datetime.fromtimestamp(self.ago(days, "12:00") / 1000, UTC)
        return format_date(then, "d MMMM", locale=self.person.language)

    def older_order(self, age: int) -> str:
        """The number of the order of so many days ago."""
        return str(int(self.order_id) - 521 - 17 * ((age - 55) // 5)) if age > LAST else self.order_id

    def looks_at(self, at: int, page: Words, by: str = "user_id", **identifiers: str) -> None:
        """A page of the site; `identifiers` where he is known otherwise than by what is his."""
        known = identifiers or {name: self.identifier(name) for name in by.split()}
        shown = Data(kind="page", name=self.say(page))
        self.told.append(Told("website", self.number("website"), at, "page_viewed", shown, known))


def _comes_to_us(pen: _Pen) -> None:
    """Looks around unnamed, opens an account, says who she is and how she wants to be spoken to."""
    her, at = pen.person, pen.ago(FIRST, "09:30")
    pen.looks_at(at - 12 * MINUTE, Words("Lamps", "Лампы"), by="anonymous_id")
    pen.looks_at(at - 9 * MINUTE, Words("Delivery", "Доставка"), by="anonymous_id")
    both = "user_id anonymous_id"
    pen.tell("website", at, "account_opened", plan="club", by=both)
    traits = Data(
        name=her.name,
        firstName=her.first,
        city=her.city,
        language=her.language,
        languages=SPEAKS[her.language],
        timezone=ZONES[her.language],
    )
    pen.tell("website", at + MINUTE, "identified", traits={**traits, "email": her.email}, by=f"{both} email")
    for purpose in ("offer", "survey", "teach"):
        agreed = Data(purpose=purpose, method="form", document="privacy-3")
        pen.tell("website", at + 2 * MINUTE, "consent_granted", **agreed)
    quiet = {"from": "22:00", "to": "09:00", "zone": ZONES[her.language]}
    wished = Data(channels=["email", "web_chat"], language=her.language, hours=quiet)
    pen.tell("website", at + 3 * MINUTE, "preference_changed", **wished)
    pen.tell("loyalty-club", pen.ago(350, "14:05"), "tier_changed", tier="Birch", by="user_id card")
    phone = Data(traits={"phone": her.phone})
    pen.tell("mobile-app", pen.ago(210, "18:20"), "identified", **phone, by="user_id device phone")
    _is_recognised(pen, pen.ago(115, "19:06"), guest := her.anonymous_id[::-1])
    pen.looks_at(pen.ago(115, "19:02"), Words("Rugs", "Ковры"), anonymous_id=guest)


def _is_recognised(pen: _Pen, at: int, guest: str) -> None:
    """Signs in: who was a guest until then is she."""
    known, traits = {"user_id": pen.person.user_id, "anonymous_id": guest}, Data(name=pen.person.name)
    pen.told.append(Told("website", pen.number("website"), at, "identified", {"traits": traits}, known))


def _is_content(pen: _Pen) -> None:
    """Eleven orders that came as promised, a letter a week, every other one opened, three questions soon answered."""
    for turn, age in enumerate(range(FIRST, LAST, -30)):
        order = Data(order_id=pen.older_order(age))
        product = PRODUCTS[(3 * turn + 1) % len(PRODUCTS)] if age != 55 else SHADE
        bought = Data(items=[pen.line(product)], **pen.price_of(product))
        for view in range(3 if age < 120 else 1):
            pen.looks_at(pen.ago(age, f"17:4{view}"), Words("Lamps", "Лампы"))
        pen.tell("orders", pen.ago(age, "18:10"), "order_placed", **order, **bought, channel="web")
        pen.tell(
            "orders",
            pen.ago(age - 1, "08:30"),
            "order_stage_changed",
            **order,
            stage="shipped",
            channel="web",
        )
        pen.tell(
            "orders", pen.ago(age - 3, "12:40"), "order_delivered", **order, method="courier", channel="web"
        )
        arrives = Data(
            promise_id=f"delivery-{order['order_id']}", what=pen.say(Words("Delivery", "Доставка"))
        )
        pen.tell("orders", pen.ago(age - 3, "12:41"), "promise_kept", **order, **arrives, channel="web")
    for week, age in enumerate(range(340, 3, -7)):
        _gets_the_newsletter(pen, age, opens=week % 2 == 0 and age >= 39)
    for age, (question, answer) in zip((130, 120, 110), ANSWERED, strict=True):
        at, thread = pen.ago(age, "11:20"), Data(thread=pen.number("question"))
        pen.tell("chat-desk", at, "chat_message_sent", **thread, text=pen.say(question), actor=CUSTOMER)
        reply = Data(text=pen.say(answer), actor=pen.keeper)
        pen.tell("chat-desk", at + 3 * MINUTE, "chat_message_sent", **thread, **reply)
    refund = Data(order_id=pen.older_order(55), partial=True, **pen.price_of(SHADE))
    note = pen.say(Words("Lampshade returned in the shop", "Абажур вернули в магазине"))
    pen.tell("orders", pen.ago(48, "14:20"), "order_refunded", **refund, note=note)
    withdrawn = Data(purpose="teach", method="form")
    pen.tell("mobile-app", pen.ago(48, "19:31"), "consent_withdrawn", **withdrawn, by="user_id device")


def _gets_the_newsletter(pen: _Pen, age: int, *, opens: bool) -> None:
    subject = Words("Warm light for dark evenings", "Тёплый свет для тёмных вечеров")
    if age > 4:
        subject = Words("This week in the shop", "На этой неделе в магазине")
    letter = Data(message_id=pen.number("letter"), subject=pen.say(subject))
    pen.tell("mailer", pen.ago(age, "10:00"), "message_sent", **letter, purpose="offer", by="email")
    if opens:
        pen.tell("mailer", pen.ago(age, "12:25"), "message_opened", **letter, by="email")


def _orders_a_lamp(pen: _Pen) -> None:
    """Tries it at home before she signs in, orders it, and is promised a day."""
    guest = pen.person.anonymous_id[8:] + pen.person.anonymous_id[:8]
    session, at = Data(session_id=pen.number("ar")), pen.ago(LAST, "16:02")
    scene = pen.say(Words("My living room", "Моя гостиная"))
    tried: list[tuple[int, str, Data]] = [(0, "ar_session_started", Data(scene=scene, device="phone"))]
    for place, (product, seconds) in enumerate(zip(TRIED, (200, 85, 70, 45), strict=True)):
        seen = Data(name=pen.say(product.name), product_id=product.id, category="lamps", seconds=seconds)
        tried.append((20 + 95 * place, "ar_object_viewed", seen))
    tried.append((420, "ar_session_ended", Data(seconds=420, objects=len(TRIED))))
    for second, type, data in tried:
        id = pen.number("ar-room")
        pen.told.append(
            Told("ar-room", id, at + 1000 * second, type, {**session, **data}, {"anonymous_id": guest})
        )
    _is_recognised(pen, pen.ago(LAST, "16:30"), guest)
    order = Data(order_id=pen.order_id)
    bought = Data(items=[pen.line(HALO)], **pen.price_of(HALO))
    pen.tell("orders", pen.ago(LAST, "16:31"), "order_placed", **order, **bought, channel="web")
    pen.tell("orders", pen.ago(LAST, "16:32"), "promise_made", **_delivery(pen), **order,
             due=rfc3339(pen.ago(20, "12:00")), channel="web")  # fmt: skip
    pen.tell("orders", pen.ago(LAST, "19:02"), "order_stage_changed", **order, stage="packed", channel="web")
    shipped = Data(stage="shipped", expected_at=rfc3339(pen.ago(20, "12:00")))
    pen.tell("orders", pen.ago(24, "08:15"), "order_stage_changed", **order, **shipped, channel="web")
    broken = Data(**_delivery(pen), **order, reason="carrier")
    pen.tell("orders", pen.ago(20, "12:00"), "promise_broken", **broken, channel="web")


def _delivery(pen: _Pen) -> Data:
    what = Words(
        f"deliver order {pen.order_id} by {pen.day(20)}", f"доставить заказ {pen.order_id} до {pen.day(20)}"
    )
    return Data(promise_id=f"delivery-{pen.order_id}", what=pen.say(what))


def _waits(pen: _Pen) -> None:
    """Writes, asks the bot, asks at the counter, writes again. Nobody answers."""
    where = pen.say(Words("Where is my order?", "Где мой заказ?"))
    first = Words("It should have come today.", "Он должен был прийти сегодня.")
    second = Words("Could somebody look into it, please?", "Пожалуйста, посмотрите, что с ним.")
    _writes_in_vain(pen, where, (pen.ago(20, "15:10"), first), (pen.ago(20, "18:55"), second))
    _asks_the_bot(pen)
    asked = pen.say(
        Words(f"Asked about order {pen.order_id} at the counter", f"Вопрос о заказе {pen.order_id} на кассе")
    )
    visit = Data(place="shop", location=pen.say(SHOP), reason=asked)
    pen.tell("shops", pen.ago(16, "17:40"), "place_visited", **visit, by="card")
    third = pen.say(Words(f"Third try, order {pen.order_id}", f"Третий раз, заказ {pen.order_id}"))
    please = Words("Please just tell me where it is.", "Просто скажите, где она.")
    _writes_in_vain(pen, third, (pen.ago(15, "09:12"), please))


def _writes_in_vain(pen: _Pen, subject: str, *letters: tuple[int, Words]) -> None:
    """One thread of e-mails. That nobody answers them no service tells: the clock notices."""
    thread = Data(thread=pen.number("mail"))
    for at, text in letters:
        letter = Data(**thread, subject=subject, text=pen.say(text), actor=CUSTOMER)
        pen.tell("help-desk", at, "chat_message_sent", **letter, channel="email", by="email")


def _asks_the_bot(pen: _Pen) -> None:
    at, thread = pen.ago(18, "21:03"), Data(thread=pen.number("chat"))
    bot = Data(kind="bot", name=pen.say(Words("Bot", "Бот")))
    asked = Words(f"Where is order {pen.order_id}?", f"Где заказ {pen.order_id}?")
    again = Words("I do not want to return it. Where is it?", "Я не хочу его возвращать. Где он?")
    sorry = pen.say(Words("Sorry, I did not understand.", "Извините, я не понял вопрос."))
    offers = pen.say(
        Words("To return an order, open My orders.", "Чтобы вернуть заказ, откройте «Мои заказы».")
    )
    for second, type, said in (
        (0, "chat_message_sent", Data(text=pen.say(asked), actor=CUSTOMER)),
        (8, "bot_answered", Data(text=offers, actor=bot, intent="return", confidence=0.41)),
        (95, "chat_message_sent", Data(text=pen.say(again), actor=CUSTOMER)),
        (101, "bot_answered", Data(text=sorry, actor=bot, confidence=0.12)),
        (180, "bot_failed", Data(reason="not_understood", text=pen.say(again), actor=bot)),
    ):
        pen.tell("chat-desk", at + 1000 * second, type, **thread, **said)
    heard = Data(emotion="frustration", valence="negative", source="text", confidence=0.83, actor=bot)
    pen.tell("chat-desk", at + 181_000, "emotion_observed", **thread, **heard)


def _complains(pen: _Pen) -> None:
    """A complaint and a case, a bad mark; an agent looks into it and promises an answer."""
    case = Data(case_id=pen.case_id)
    complaint = pen.tell(
        "help-desk",
        pen.ago(14, "19:22:04"),
        "complaint_raised",
        **case,
        order_id=pen.order_id,
        reason="late_delivery",
        text=pen.say(Words(
            f"The lamp was promised for {pen.day(20)}. It is not here, your bot does not understand me and my e-mails "
            "vanish. I want the lamp or my money.",
            f"Лампу обещали к {pen.day(20)}. Её нет, бот меня не понимает, а письма пропадают. Мне нужна лампа или "
            "деньги обратно.",
        )),
        channel="web",
    )  # fmt: skip
    title = pen.say(Words("Late delivery", "Задержка доставки"))
    opened = Data(**case, title=title, stage="new", priority="high", actor=SYSTEM)
    pen.tell("help-desk", pen.ago(14, "19:22:05"), "case_opened", **opened)
    _is_asked(pen)
    angry = Data(emotion="anger", valence="negative", source="agent", actor=pen.keeper, **case)
    pen.tell(
        "support-team",
        pen.ago(14, "19:40"),
        "emotion_observed",
        **angry,
        thread=pen.case_id,
        in_reply_to=complaint,
    )
    taken = Data(stage="assigned", note=pen.say(KEEPER), visible=False, actor=pen.keeper)
    pen.tell("help-desk", pen.ago(9, "10:15"), "case_stage_changed", **case, **taken)
    _looks_into_it(pen, case)


def _is_asked(pen: _Pen) -> None:
    survey = Data(survey="support")
    question = pen.say(Words("How satisfied are you with our support?", "Довольны ли вы поддержкой?"))
    sent = Data(**survey, question=question, purpose="survey")
    pen.tell("surveys", pen.ago(14, "20:05"), "survey_sent", **sent, by="email")
    comment = pen.say(
        Words("Nobody answers. I asked three times.", "Никто не отвечает. Я спрашивала три раза.")
    )
    pen.tell(
        "surveys", pen.ago(13, "18:40"), "survey_answered", **survey, csat=1, comment=comment, by="email"
    )


def _looks_into_it(pen: _Pen, case: Data) -> None:
    due, keeper = pen.ago(-1, "12:00"), pen.keeper
    pen.tell("help-desk", pen.ago(7, "11:04"), "case_replied", **case, actor=keeper, text=pen.say(Words(
        "I am sorry. I have asked the carrier to search for it and will write to you.",
        "Мне очень жаль. Перевозчик ищет посылку, я вам напишу.",
    )))  # fmt: skip
    what = pen.say(Words("a written answer", "письменный ответ"))
    promise = Data(promise_id=f"answer-{pen.case_id}", what=what, due=rfc3339(due), actor=keeper)
    pen.tell("help-desk", pen.ago(7, "11:05"), "promise_made", **case, **promise)
    moved = Data(stage="waiting_for_carrier", visible=False, actor=keeper)
    pen.tell("help-desk", pen.ago(7, "11:07"), "case_stage_changed", **case, **moved)
    note = Words(
        f"The carrier last saw the parcel in the Hamburg hub on {pen.day(22)}. Search opened, answer within ten days. "
        "The customer has not been told that yet.",
        f"Перевозчик последний раз видел посылку {pen.day(22)} на складе в Казани. Розыск открыт, ответ в течение "
        "десяти дней. Клиенту об этом пока не сообщили.",
    )
    pen.tell(
        "support-team",
        pen.ago(7, "11:08"),
        "note_added",
        thread=pen.case_id,
        text=pen.say(note),
        actor=keeper,
    )


def _hears_from_us(pen: _Pen) -> None:
    """Of the points for her orders, as every quarter."""
    for age, balance in ((273, 240), (182, 410), (91, 615)):
        points = Data(points=balance // 3, balance=balance, program="Lantern Club")
        pen.tell("loyalty-club", pen.ago(age, "09:00"), "points_earned", **points, by="card")


def _is_here_now(pen: _Pen) -> None:
    """Looks for her order, then asks in the chat, and waits."""
    pages = (
        (27, Words("Order status", "Статус заказа")),
        (24, Words("Delivery", "Доставка")),
        (22, Words("Order status", "Статус заказа")),
        (21, Words("Returns", "Возврат")),
        (19, Words("Order status", "Статус заказа")),
        (17, Words("Contact", "Контакты")),
        (16, Words("Order status", "Статус заказа")),
    )
    tablet = f"ios-{pen.person.device[-12:][::-1]}"
    for minutes, page in pages:
        pen.looks_at(pen.now - minutes * MINUTE, page, user_id=pen.person.user_id, device=tablet)
    since, thread = pen.now - 12 * MINUTE - 48_000, Data(thread=pen.number("chat"))
    written = (
        (0, Words(
            f"Hi, it is about order {pen.order_id} again. Two of my e-mails were never answered. Where is my lamp?",
            f"Здравствуйте, снова по заказу {pen.order_id}. На два моих письма никто не ответил. Где моя лампа?",
        )),
        (3 * MINUTE, Words(f"It was promised for {pen.day(20)}.", f"Мне обещали {pen.day(20)}.")),
        (11 * MINUTE, Words("Hello?", "Вы здесь?")),
    )  # fmt: skip
    for later, text in written:
        said = Data(**thread, text=pen.say(text), actor=CUSTOMER)
        pen.tell("chat-desk", since + later, "chat_message_sent", **said)


def goes_on(person: Person, now: int) -> list[Told]:
    """What she does while she waits."""
    pen = _Pen(person, 0, now)
    pen.looks_at(now - 2, Words("Order status", "Статус заказа"))
    pen.tell("website", now - 1, "product_viewed", **viewed(pen, HALO))
    return pen.told


def both(now: int) -> list[Told]:
    """What happened to both of them, in the order in which it was heard of."""
    return sorted([*life_of(MARTA, now), *life_of(VERA, now)], key=lambda told: (heard_at(told), told.at))

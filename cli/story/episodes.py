"""Episodes: what may happen to anybody, told by the services that would know of it."""

from __future__ import annotations

from touchbook.cli.story.pen import DAY, HOUR, MINUTE, Data, Pen
from touchbook.cli.story.words import (
    AGENTS,
    ATTACK,
    BLAME,
    CATEGORY_NAMES,
    DEFENCE,
    IDEA,
    IDEA_DONE,
    LETTERS,
    POSTS,
    PRAISE,
    PRODUCTS,
    QUESTIONS,
    SHOPS,
    TROUBLES,
    WEBINARS,
    Product,
    Words,
)
from touchbook.schemas.times import rfc3339


def agent(pen: Pen) -> Data:
    return {"kind": "agent", "name": pen.rng.choice(AGENTS[pen.person.language]), "team": "care"}


CUSTOMER = Data(kind="customer")
CLUB = Data(program="Lantern Club")
KNOWN_BY = {"web": "user_id", "mobile_app": "user_id device", "store": "card", "marketplace": "phone"}
"""By what a channel knows the person who orders there."""
PUBLISHED_BY = {"web": "website", "mobile_app": "mobile-app", "store": "orders", "marketplace": "marketplace"}


# Arriving


def arrives(
    pen: Pen, age: float, *, anonymous_first: bool = True, consents: tuple[str, ...] = ("offer",)
) -> None:
    """Looks around unnamed, opens an account, says who he is and what we may do."""
    if anonymous_first:
        browses(pen, age + 1, pages=2, views=2, by="anonymous_id")
    at = pen.on(age)
    both = "user_id anonymous_id"
    pen.tell("website", at, "account_opened", plan="club", by=both)
    identifies(pen, at + MINUTE, "email", by=both)
    pen.tell("website", at + 2 * MINUTE, "preference_changed", language=pen.person.language)
    for purpose in consents:
        pen.tell(
            "website",
            at + 3 * MINUTE,
            "consent_granted",
            purpose=purpose,
            method="form",
            document="privacy-3",
        )
    pen.tell(
        "mailer",
        at + 5 * MINUTE,
        "message_sent",
        purpose="service",
        subject=pen.say(Words("Your account is ready", "Ваша учётная запись готова")),
        by="user_id email",
    )


def identifies(pen: Pen, at: int, *contacts: str, source: str = "website", by: str = "user_id") -> None:
    """Says who he is; `contacts` are what he leaves: email, old_email, phone."""
    him = pen.person
    traits = Data(name=him.name, firstName=him.first, city=him.city, language=him.language, timezone=pen.zone)
    left = {name.removeprefix("old_"): pen.identifier(name) for name in contacts}
    pen.tell(source, at, "identified", traits={**traits, **left}, by=by)


def joins_the_club(pen: Pen, age: float) -> None:
    at = pen.on(age)
    pen.tell("loyalty-club", at, "tier_changed", tier="Birch", **CLUB, by="user_id card")


# Looking around


def browses(
    pen: Pen, age: float, *, pages: int, views: int, app: bool = False, by: str | None = None
) -> None:
    """A visit to the site or the app: pages, products; the app also knows how long it took."""
    source = "mobile-app" if app else "website"
    by = by or ("user_id device" if app else "user_id")
    start = at = pen.on(age)
    category = pen.rng.choice(list(CATEGORY_NAMES))
    wares = [product for product in PRODUCTS if product.category == category]
    if app:
        pen.tell(source, at, "app_opened", app_version=f"4.{int(age) % 7}.0", platform="phone", by=by)
    for _ in range(pages):
        at += pen.rng.randrange(20_000, 3 * MINUTE)
        page = Data(
            kind="screen" if app else "page",
            name=CATEGORY_NAMES[category](pen.person.language),
            category=category,
            path=f"/{category}",
        )
        pen.tell(source, at, "page_viewed", **page, by=by)
    for _ in range(views):
        at += pen.rng.randrange(20_000, 3 * MINUTE)
        pen.tell(source, at, "product_viewed", **viewed(pen, pen.rng.choice(wares)), by=by)
    if app:
        spent = Data(seconds=(at - start) // 1000 + 30, pages=pages + views)
        pen.tell(source, at + 30000, "session_ended", **spent, by=by)


def viewed(pen: Pen, product: Product) -> Data:
    line = pen.line(product)
    del line["quantity"]
    return {**line, **pen.price_of(product)}


def leaves_a_cart(pen: Pen, age: float) -> None:
    product, at = pen.rng.choice(PRODUCTS), pen.on(age)
    pen.tell("website", at - 3 * MINUTE, "cart_changed", action="added", **viewed(pen, product))
    cart = Data(cart_id=pen.number("cart"), items=[pen.line(product)], **pen.price_of(product))
    pen.tell("website", at, "cart_abandoned", **cart)


def is_recommended(pen: Pen, age: float, then: str = "shown") -> None:
    """`then`: shown, clicked, dismissed or converted."""
    product, at = pen.rng.choice(PRODUCTS), pen.on(age)
    about = Data(
        recommender="also-liked",
        recommender_version="7",
        decision=pen.number("decision"),
        product_id=product.id,
        name=pen.say(product.name),
        category=product.category,
    )
    pen.tell("recommender", at, "recommendation_shown", **about, place=1)
    if then == "dismissed":
        pen.tell("recommender", at + MINUTE, "recommendation_dismissed", **about, reason="seen_too_often")
    elif then != "shown":
        pen.tell("recommender", at + MINUTE, "recommendation_clicked", **about)
    if then == "converted":
        order_id = orders(pen, age, product=product)
        sold = Data(**about, order_id=order_id, **pen.price_of(product))
        pen.tell("recommender", at + 9 * MINUTE, "recommendation_converted", **sold)


def tries_in_ar(pen: Pen, age: float, objects: int = 3) -> None:
    session, at = Data(session_id=pen.number("ar")), pen.on(age)
    by = "user_id device"
    scene = pen.say(Words("My living room", "Моя гостиная"))
    pen.tell("ar-room", at, "ar_session_started", **session, scene=scene, device="phone", by=by)
    for _ in range(objects):
        product = pen.rng.choice([one for one in PRODUCTS if one.category in ("lamps", "chairs", "rugs")])
        at += pen.rng.randrange(30_000, 3 * MINUTE)
        seen = Data(name=pen.say(product.name), category=product.category, seconds=pen.rng.randrange(15, 90))
        pen.tell("ar-room", at, "ar_object_viewed", **session, **seen, by=by)
    pen.tell(
        "ar-room",
        at + MINUTE,
        "ar_session_ended",
        **session,
        seconds=120 * objects + 60,
        objects=objects,
        by=by,
    )


def visits_the_shop(pen: Pen, age: float, *, kiosk: bool = False) -> None:
    shop, at = pen.rng.choice(SHOPS[pen.person.language]), pen.on(age)
    pen.tell("shops", at, "place_visited", place="shop", location=shop, seconds=900, by="card")
    if kiosk:
        product = viewed(pen, pen.rng.choice(PRODUCTS))
        pen.tell("kiosks", at + 5 * MINUTE, "product_viewed", **product, location=shop, by="user_id kiosk")


# Buying


def orders(
    pen: Pen,
    age: float,
    *,
    product: Product | None = None,
    channel: str = "web",
    late: bool = False,
    quiet: bool = False,
) -> str:
    """An order and what becomes of it within four days; `late`: it comes a week late and the promise is broken;
    `quiet`: only the main things are told. Returns the order's id."""
    product, at = product or pen.rng.choice(PRODUCTS), pen.on(age)
    order_id = pen.number("order")
    by = KNOWN_BY[channel]
    order = Data(order_id=order_id, items=[pen.line(product)], **pen.price_of(product))
    pen.tell(PUBLISHED_BY[channel], at, "order_placed", **order, by=by)
    if channel == "store":
        taken = Data(order_id=order_id, method="pickup")
        pen.tell("orders", at + MINUTE, "order_delivered", **taken, by=by)
    else:
        _comes(pen, at, order_id, late=late, quiet=quiet)
    if not late and not quiet:
        points = Data(points=product.euros, reason=order_id, **CLUB)
        pen.tell("loyalty-club", at + 4 * DAY, "points_earned", **points, by="card")
    return order_id


def _comes(pen: Pen, at: int, order_id: str, *, late: bool, quiet: bool) -> None:
    order, promise = Data(order_id=order_id), pen.number("promise")
    by_then = Words("The parcel arrives within four days", "Посылка придёт за четыре дня")
    promised = Data(promise_id=promise, what=pen.say(by_then), due=rfc3339(at + 4 * DAY), **order)
    if not quiet:
        pen.tell("orders", at + MINUTE, "promise_made", **promised, channel="web")
        paid = pen.say(Words("Thank you for your order", "Спасибо за заказ"))
        pen.tell("mailer", at + 2 * MINUTE, "message_sent", purpose="service", subject=paid, thread=order_id)
        pen.tell("orders", at + 9 * HOUR, "order_stage_changed", **order, stage="packed", channel="web")
    if late:
        pen.tell("orders", at + 3 * DAY, "order_stage_changed", **order, stage="delayed", channel="web")
        pen.tell(
            "orders",
            at + 5 * DAY,
            "promise_broken",
            **order,
            promise_id=promise,
            reason="carrier",
            channel="web",
        )
        pen.tell("orders", at + 11 * DAY, "order_delivered", **order, method="courier", channel="web")
        return
    if not quiet:
        expected = Data(expected_at=rfc3339(at + 3 * DAY))
        pen.tell(
            "orders",
            at + 30 * HOUR,
            "order_stage_changed",
            **order,
            stage="shipped",
            **expected,
            channel="web",
        )
    pen.tell("orders", at + 3 * DAY, "order_delivered", **order, method="courier", channel="web")
    pen.tell("orders", at + 3 * DAY + MINUTE, "promise_kept", **order, promise_id=promise, channel="web")


def returns(pen: Pen, age: float) -> None:
    """An order that is cancelled or sent back, and the money paid back."""
    product = PRODUCTS[pen.person.number % len(PRODUCTS)]
    order_id = orders(pen, age, product=product)
    money, order = pen.price_of(product), Data(order_id=order_id)
    if pen.person.number % 3:
        said = Data(stage="returned", visible=True)
        pen.tell("orders", pen.on(age - 3) + 5 * HOUR, "order_stage_changed", **order, **said, channel="web")
        pen.tell(
            "orders",
            pen.on(age - 4) + 5 * HOUR,
            "order_refunded",
            **order,
            **money,
            reason="wrong_size",
            channel="web",
        )
    else:
        pen.tell(
            "orders",
            pen.on(age) + 4 * HOUR,
            "order_cancelled",
            **order,
            **money,
            reason="changed_mind",
            channel="web",
        )
        back = Data(**order, **money, after_cancellation=True)
        pen.tell("orders", pen.on(age - 1), "order_refunded", **back, channel="web")
    notice = Data(
        subject=pen.say(Words("The money is on its way back", "Деньги возвращаются")), purpose="service"
    )
    pen.tell("mailer", pen.on(age - 4) + 6 * HOUR, "message_sent", **notice)


# Hearing from us


def gets_a_letter(
    pen: Pen, age: float, *, opens: bool = False, clicks: bool = False, purpose: str = "offer"
) -> None:
    subject = pen.say(pen.rng.choice(LETTERS))
    letter = Data(message_id=pen.number("letter"), subject=subject)
    at = pen.on(age)
    pen.tell(
        "mailer",
        at,
        "message_sent",
        **letter,
        purpose=purpose,
        campaign=f"letter-{int(age) % 52}",
        by="email",
    )
    if opens:
        pen.tell("mailer", at + pen.rng.randrange(HOUR, 5 * HOUR), "message_opened", **letter, by="email")
    if clicks:
        read = Data(**letter, url="https://shop.example.test/new")
        pen.tell("mailer", at + 5 * HOUR + MINUTE, "message_clicked", **read, by="email")


def gets_a_push(pen: Pen, age: float) -> None:
    told = Data(
        message_id=pen.number("push"),
        purpose="service",
        subject=pen.say(Words("Your parcel is near", "Посылка рядом")),
    )
    pen.tell("push", pen.on(age), "message_sent", **told, by="device")
    pen.tell("push", pen.on(age), "message_delivered", message_id=told["message_id"], by="device")


def rates_a_letter(pen: Pen, age: float, *, useful: bool) -> None:
    pen.tell("mailer", pen.on(age), "message_rated", useful=useful, subject=pen.say(LETTERS[1]), by="email")


def has_enough(pen: Pen, age: float) -> None:
    """Unsubscribes, and marks what comes all the same as spam."""
    at = pen.on(age)
    pen.tell(
        "mailer",
        at,
        "unsubscribed",
        reason=pen.say(Words("Every day is too much", "Каждый день — слишком")),
        by="email",
    )
    pen.tell("website", at + MINUTE, "consent_withdrawn", purpose="offer", method="form")
    pen.tell(
        "mailer", at + 18 * HOUR, "message_sent", purpose="offer", subject=pen.say(LETTERS[4]), by="email"
    )
    pen.tell(
        "help-desk",
        at + 18 * HOUR + MINUTE,
        "contact_violated",
        wish="consent",
        note="sent after the unsubscription",
    )
    pen.tell("mailer", at + 19 * HOUR, "reported_as_spam", subject=pen.say(LETTERS[4]), by="email")


def is_asked(
    pen: Pen, age: float, *, csat: int | None = None, nps: int | None = None, ces: int | None = None
) -> None:
    """A survey, and the answer a day later; none if he gives no marks."""
    pen.tell("surveys", pen.on(age + 1), "survey_sent", survey="after-purchase", purpose="survey", by="email")
    marks: Data = {
        name: mark for name, mark in (("csat", csat), ("nps", nps), ("ces", ces)) if mark is not None
    }
    if marks:
        glad = (csat or 4) >= 4 and (nps if nps is not None else 9) >= 7
        comment = pen.say(pen.rng.choice(PRAISE if glad else BLAME))
        pen.tell(
            "surveys",
            pen.on(age),
            "survey_answered",
            survey="after-purchase",
            **marks,
            comment=comment,
            by="email",
        )


# Talking


def chats(pen: Pen, age: float, *, ending: str = "solved", channel: str = "web_chat") -> None:
    """`ending`: solved by the bot, handed to an agent, or ignored (nobody answers)."""
    source = "chat-desk" if channel == "web_chat" else "messenger"
    question, answer = pen.rng.choice(QUESTIONS)
    at, thread = pen.on(age), Data(thread=pen.number("chat"))
    pen.tell(source, at, "chat_started", **thread, topic=pen.say(question))
    asked = Data(**thread, text=pen.say(question), actor=CUSTOMER)
    pen.tell(source, at + MINUTE, "chat_message_sent", **asked)
    if ending == "ignored":
        return
    if ending == "solved":
        pen.tell(
            source,
            at + MINUTE + 4000,
            "bot_answered",
            **thread,
            text=pen.say(answer),
            intent="product_question",
            confidence=0.9,
        )
        pen.tell(source, at + 2 * MINUTE, "bot_rated", **thread, helpful=True)
    else:
        pen.tell(
            source,
            at + MINUTE + 4000,
            "bot_failed",
            **thread,
            reason="not_understood",
            text=pen.say(question),
        )
        pen.tell(source, at + MINUTE + 5000, "bot_escalated", **thread, team="care", reason="not_understood")
        pen.tell(
            source, at + 6 * MINUTE, "chat_message_sent", **thread, text=pen.say(answer), actor=agent(pen)
        )
    pen.tell(source, at + 9 * MINUTE, "chat_ended", **thread, seconds=540, resolved=True)


def writes_in_vain(pen: Pen, age: float, answered_after: int | None = None) -> None:
    """A message nobody answers, or nobody in time."""
    at, thread = pen.on(age), Data(thread=pen.number("chat"))
    text = pen.say(Words("Is anybody there?", "Есть кто-нибудь?"))
    pen.tell("messenger", at, "chat_message_sent", **thread, text=text, actor=CUSTOMER)
    if answered_after is not None:
        sorry = pen.say(Words("Sorry for the wait, I am on it.", "Простите за ожидание, уже занимаюсь."))
        pen.tell(
            "messenger", at + answered_after, "chat_message_sent", **thread, text=sorry, actor=agent(pen)
        )


def calls(pen: Pen, age: float, *, ours: bool = False) -> None:
    at, thread = pen.on(age), Data(thread=pen.number("call"))
    topic = pen.say(pen.rng.choice(QUESTIONS)[0])
    way = Data(direction="out" if ours else "in", topic=topic, actor=agent(pen) if ours else CUSTOMER)
    pen.tell("call-centre", at, "call_started", **thread, **way, by="phone")
    pen.tell(
        "call-centre",
        at + 6 * MINUTE,
        "call_ended",
        **thread,
        seconds=340,
        outcome="answered",
        summary=topic,
        by="phone",
    )


def has_trouble(pen: Pen, age: float, *, solved_after: float | None = None, reopened: bool = False) -> None:
    """A case and a complaint. Solved after so many days, or still open."""
    reason, title, text, outcome = pen.rng.choice(TROUBLES)
    at, case = pen.on(age), Data(case_id=pen.number("case"))
    about = Data(**case, title=pen.say(title))
    pen.tell("help-desk", at, "case_opened", **about, text=pen.say(text), priority="high", stage="new")
    pen.tell("help-desk", at + 20 * MINUTE, "case_stage_changed", **case, stage="in_progress")
    pen.tell("help-desk", at + HOUR, "complaint_raised", **case, reason=reason, text=pen.say(text))
    feels(pen, at + HOUR + MINUTE, "irritation", "negative")
    promise = Data(promise_id=pen.number("promise"), **case)
    what = pen.say(Words("An answer from the carrier", "Ответ перевозчика"))
    pen.tell("help-desk", at + 3 * HOUR, "promise_made", **promise, what=what, due=rfc3339(at + 2 * DAY))
    pen.tell(
        "help-desk",
        at + 3 * HOUR + MINUTE,
        "case_stage_changed",
        **case,
        stage="waiting_for_carrier",
        note=what,
    )
    if solved_after is None:
        ask = pen.say(Words("Any news?", "Есть новости?"))
        pen.tell("help-desk", at + 2 * DAY, "case_replied", **case, text=ask, actor=CUSTOMER)
        return
    end = at + int(solved_after * DAY)
    photo = pen.say(Words("A photo of the parcel", "Фото посылки"))
    pen.tell("help-desk", at + DAY, "step_supplied", **case, step=photo, files=["parcel.jpg"])
    pen.tell("help-desk", end - HOUR, "promise_kept", **promise)
    pen.tell("help-desk", end - MINUTE, "case_replied", **case, text=pen.say(outcome), actor=agent(pen))
    pen.tell("help-desk", end, "complaint_resolved", **case, reason=reason, outcome=pen.say(outcome))
    pen.tell("help-desk", end + MINUTE, "case_resolved", **about, text=pen.say(outcome))
    if reopened:
        again = pen.say(Words("The new one is cracked too", "Новый тоже с трещиной"))
        pen.tell("help-desk", end + DAY, "case_reopened", **about, text=again)


def feels(pen: Pen, at: int, emotion: str, valence: str, by: str = "text") -> None:
    said = Data(emotion=emotion, valence=valence, source=by, confidence=0.85)
    pen.tell("support-team", at, "emotion_observed", **said)


# Speaking of us


def posts(pen: Pen, age: float, stance: str | None = None) -> None:
    topic, text = pen.rng.choice(POSTS)
    said = Data(topic=pen.say(topic), text=pen.say(DEFENCE if stance == "defends" else text))
    pen.tell("community", pen.on(age), "community_posted", **{**said, "stance": stance} if stance else said)


def is_heard_of(pen: Pen, age: float, stance: str) -> None:
    text = {"attacks": ATTACK, "defends": DEFENCE}.get(stance, PRAISE[0])
    pen.tell("social", pen.on(age), "brand_mentioned", stance=stance, text=pen.say(text), network="Chirrup")


def reviews(pen: Pen, age: float, rating: int) -> None:
    product = pen.rng.choice(PRODUCTS)
    text = pen.say(pen.rng.choice(PRAISE if rating > 3 else BLAME))
    review = Data(rating=rating, text=text, name=pen.say(product.name), product_id=product.id)
    pen.tell("marketplace", pen.on(age), "review_posted", **review)


def refers(pen: Pen, age: float, *, won: bool = False) -> None:
    code = Data(code=pen.number("friend"))
    pen.tell("loyalty-club", pen.on(age), "referral_made", **code, by="card")
    if won:
        pen.tell("loyalty-club", pen.on(age - 12), "referral_converted", **code, by="card")


def has_an_idea(pen: Pen, age: float) -> None:
    idea = Data(feedback_id=pen.number("idea"), topic=pen.say(Words("Shades", "Плафоны")))
    thanks = pen.say(Words("Thank you, passed on to the buyers.", "Спасибо, передали закупщикам."))
    pen.tell("community", pen.on(age), "suggestion_submitted", **idea, text=pen.say(IDEA))
    pen.tell("support-team", pen.on(age - 1), "feedback_acknowledged", **idea, text=thanks)
    pen.tell("help-desk", pen.on(age - 40), "feedback_acted_on", **idea, outcome=pen.say(IDEA_DONE))


# Learning


def attends(pen: Pen, age: float, *, asks: bool = True) -> None:
    """A webinar, with the course behind it."""
    webinar, at = Data(webinar=pen.say(pen.rng.choice(WEBINARS))), pen.on(age)
    pen.tell("academy", at - 5 * DAY, "webinar_registered", **webinar, starts_at=rfc3339(at), by="email")
    pen.tell("academy", at + 55 * MINUTE, "webinar_attended", **webinar, seconds=3300, by="email")
    if asks:
        question = pen.say(pen.rng.choice(QUESTIONS)[0])
        pen.tell(
            "academy", at + 40 * MINUTE, "webinar_question_asked", **webinar, question=question, by="email"
        )


def watches_live(pen: Pen, age: float) -> None:
    title, at = Data(title=pen.say(Words("An hour in the workshop", "Час в мастерской"))), pen.on(age)
    thread = Data(thread=pen.number("live"))
    pen.tell("studio", at, "livestream_joined", **title, host=AGENTS[pen.person.language][0], seconds=1500)
    pen.tell(
        "studio", at + 9 * MINUTE, "live_question_asked", **title, **thread, text=pen.say(QUESTIONS[0][0])
    )
    pen.tell(
        "studio",
        at + 11 * MINUTE,
        "chat_message_sent",
        **thread,
        text=pen.say(QUESTIONS[0][1]),
        actor=agent(pen),
    )


def is_advised(pen: Pen, age: float) -> None:
    """A consultation by video about the light at home."""
    booking, at = Data(consultation_id=pen.number("advice"), topic=pen.say(WEBINARS[0])), pen.on(age)
    who = Data(consultant=AGENTS[pen.person.language][1])
    pen.tell(
        "studio",
        at - 3 * DAY,
        "consultation_booked",
        **booking,
        **who,
        starts_at=rfc3339(at),
        channel="video",
    )
    pen.tell(
        "studio",
        at,
        "video_joined",
        title=booking["topic"],
        host=who["consultant"],
        seconds=1800,
        channel="video",
    )
    pen.tell("studio", at + 30 * MINUTE, "consultation_held", **booking, **who, seconds=1800, channel="video")

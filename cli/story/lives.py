"""Lives: twelve ways of being a customer, and the history of a whole shop made of them.

The ages below are days before now. The lives follow one another in a fixed order for the first of the cast, so that
each is told in both languages however few customers there are; the rest are drawn by how common a life is.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from touchbook.cli.story import episodes as he
from touchbook.cli.story import marta
from touchbook.cli.story.pen import DAY, HOUR, MINUTE, Data, Pen, Told
from touchbook.cli.story.people import SURNAMES, Person, person
from touchbook.cli.story.words import Words
from touchbook.schemas.times import rfc3339

Life = Callable[[Pen], None]


def newcomer(pen: Pen) -> None:
    he.browses(pen, 9, pages=3, views=4, by="anonymous_id")
    he.arrives(pen, 4, anonymous_first=False, consents=("offer", "survey"))
    he.browses(pen, 3, pages=2, views=5)
    he.orders(pen, 3)
    he.gets_a_letter(pen, 2, opens=True, purpose="welcome")
    he.browses(pen, 1, pages=0, views=1, app=True)


def one_off(pen: Pen) -> None:
    he.arrives(pen, 201)
    he.browses(pen, 201, pages=1, views=4)
    he.orders(pen, 200)
    for age in range(190, 0, -28):
        he.gets_a_letter(pen, age, opens=age > 170)


def steady(pen: Pen) -> None:
    he.arrives(pen, 366, consents=("offer", "survey", "teach"))
    he.joins_the_club(pen, 364)
    for month, age in enumerate(range(365, 4, -30)):
        he.browses(pen, age, pages=1, views=1, app=month % 4 == 3)
        he.orders(pen, age, channel=("web", "store", "web", "mobile_app")[month % 4], quiet=month < 9)
        he.gets_a_letter(pen, age - 8, opens=True)
        if month % 3 == 0:
            he.gets_a_letter(pen, age - 20, purpose="teach")
        if month % 4 == 1:
            he.visits_the_shop(pen, age, kiosk=pen.person.number % 2 == 0)
    he.is_asked(pen, 95, csat=5)
    he.is_asked(pen, 35, csat=4, nps=8)
    he.chats(pen, 63, ending="solved")


def devoted(pen: Pen) -> None:
    he.arrives(pen, 541, consents=("offer", "survey", "teach"))
    he.joins_the_club(pen, 539)
    for turn, age in enumerate(range(538, 8, -22)):
        he.orders(pen, age, channel=("web", "mobile_app", "store")[turn % 3], quiet=age > 90)
        he.gets_a_letter(pen, age - 4, opens=True, clicks=turn % 2 == 0)
    for age in range(90, 0, -5):
        he.browses(pen, age, pages=1, views=2, app=True)
    for age in range(180, 3, -14):
        he.posts(pen, age, stance="praises" if age % 3 == 0 else None)
    for age, won in ((300, True), (180, True), (45, False)):
        he.refers(pen, age, won=won)
    he.posts(pen, 22, stance="defends")
    he.is_heard_of(pen, 130, "defends")
    he.is_heard_of(pen, 40, "praises")
    for age in (210, 30):
        he.is_asked(pen, age, nps=10, csat=5)
    he.reviews(pen, 240, 5)
    he.reviews(pen, 70, 5)
    he.has_an_idea(pen, 120)
    he.attends(pen, 33)
    he.watches_live(pen, 26)
    he.is_advised(pen, 58)
    he.visits_the_shop(pen, 12, kiosk=True)
    he.is_recommended(pen, 16, "converted")
    for age in (150, 60, 22):
        he.feels(pen, pen.on(age), "joy", "positive")
    _collects(pen)


def _collects(pen: Pen) -> None:
    """What only the club's most eager members have: badges, challenges, points spent, a course finished."""
    club = Data(program="Lantern Club")
    pen.tell("loyalty-club", pen.on(200), "tier_changed", tier="Oak", previous="Birch", **club, by="card")
    pen.tell(
        "loyalty-club", pen.on(90), "challenge_completed", challenge="A month of tea", reward="50", by="card"
    )
    pen.tell("loyalty-club", pen.on(90), "badge_awarded", badge="Tea keeper", by="card")
    pen.tell("loyalty-club", pen.on(61), "points_spent", points=120, reason="gift", **club, by="card")
    pen.tell(
        "social", pen.on(31), "social_shared", what=pen.say(Words("My lamp", "Мой торшер")), network="Chirrup"
    )
    pen.tell(
        "academy", pen.on(28), "training_completed", training="Light at home", result="9 / 10", by="email"
    )
    he.rates_a_letter(pen, 33, useful=True)


def let_down(pen: Pen) -> None:
    _was_content(pen)
    he.orders(pen, 25, late=True)
    he.chats(pen, 20, ending="handed")
    he.writes_in_vain(pen, 18)
    he.has_trouble(pen, 14)
    he.writes_in_vain(pen, 15)
    he.is_asked(pen, 13, csat=1 + pen.person.number % 2)
    he.feels(pen, pen.on(14), "anger", "negative", by="voice")
    he.leaves_a_cart(pen, 12)
    if pen.person.number % 4 == 0:
        he.is_heard_of(pen, 9, "attacks")
    if pen.person.number % 3 == 0:
        pen.tell("monitor", pen.on(25), "service_failed", service="delivery_tracking", seconds=5400)
    if pen.person.number % 2 == 0:
        he.chats(pen, 1, ending="ignored", channel="messenger")


def won_back(pen: Pen) -> None:
    _was_content(pen)
    he.orders(pen, 25, late=True)
    he.writes_in_vain(pen, 18)
    he.writes_in_vain(pen, 15, answered_after=9 * HOUR)
    he.has_trouble(pen, 14, solved_after=5, reopened=pen.person.number % 5 == 4)
    he.calls(pen, 9, ours=True)
    he.is_asked(pen, 13, csat=2)
    he.is_asked(pen, 8, csat=5, ces=6)
    he.feels(pen, pen.on(8), "gratitude", "positive", by="agent")
    note = Words("Likes to be called, not written to.", "Просит звонить, а не писать.")
    pen.tell("support-team", pen.on(9), "note_added", text=pen.say(note))
    wish = Data(channels=["phone", "email"], help="by a person")
    pen.tell("call-centre", pen.on(9), "preference_changed", **wish, by="user_id phone")
    fixed = Data(what=pen.say(Words("The delivery date", "Дата доставки")), was="4", now="11")
    pen.tell("help-desk", pen.on(11), "information_corrected", **fixed)
    he.orders(pen, 3)


def _was_content(pen: Pen) -> None:
    """The year before the trouble."""
    he.arrives(pen, 356, consents=("offer", "survey"))
    he.joins_the_club(pen, 350)
    for age in range(355, 50, -30):
        he.browses(pen, age, pages=1, views=0)
        he.orders(pen, age, quiet=True)
        he.gets_a_letter(pen, age - 10, opens=age % 60 < 30)


def lapsed(pen: Pen) -> None:
    he.arrives(pen, 511)
    for age in range(510, 119, -39):
        he.browses(pen, age, pages=0, views=1)
        he.orders(pen, age, quiet=True)
        he.gets_a_letter(pen, age - 6, opens=True)
    for age in range(118, 0, -9):
        he.gets_a_letter(pen, age)
    he.is_asked(pen, 300, csat=4)
    he.is_asked(pen, 150, csat=3)
    expired = Data(points=40, balance=0, program="Lantern Club")
    pen.tell("loyalty-club", pen.on(30), "points_expired", **expired, by="card")
    if pen.person.number % 4 == 1:
        reason = Words("I have everything I need", "Всё уже куплено")
        pen.tell("website", pen.on(10), "account_closed", reason=pen.say(reason))


def overmailed(pen: Pen) -> None:
    he.arrives(pen, 301, consents=("offer",))
    for age in (300, 140, 60):
        he.browses(pen, age, pages=3, views=1)
        he.orders(pen, age, quiet=True)
    for age in range(45, 0, -1):
        he.gets_a_letter(pen, age, opens=age in (45, 41))
    he.is_asked(pen, 10)
    he.is_asked(pen, 30)
    ignored = Data(subject=pen.say(Words("A week of small prices", "Неделя маленьких цен")))
    pen.tell("mailer", pen.on(5), "message_ignored", **ignored, by="email")
    he.rates_a_letter(pen, 6, useful=False)
    he.has_enough(pen, 2)  # what follows within a day has happened by now, however early it is
    peace = Data(hours={"from": "20:00", "to": "10:00", "zone": pen.zone}, frequency="monthly")
    pen.tell("website", pen.on(1) + HOUR, "preference_changed", **peace)


def window_shopper(pen: Pen) -> None:
    he.browses(pen, 60, pages=2, views=5, app=True, by="anonymous_id device")
    he.identifies(pen, pen.on(57), "email", source="mobile-app", by="user_id device")
    for age in range(56, 0, -3):
        he.browses(pen, age, pages=1, views=4, app=True)
    for age in range(55, 5, -9):
        he.tries_in_ar(pen, age)
        he.is_recommended(pen, age, "clicked")
    for age in range(40, 4, -12):
        he.is_recommended(pen, age, "dismissed")
        he.leaves_a_cart(pen, age - 2)
    he.chats(pen, 20, ending="handed")
    he.chats(pen, 6, channel="messenger")


def eager_reader(pen: Pen) -> None:
    he.arrives(pen, 301, consents=("offer", "teach", "survey"))
    for age in range(300, 11, -48):
        he.orders(pen, age)
    for age in range(40, 0, -2):
        he.gets_a_letter(pen, age, opens=True, clicks=age % 4 == 0, purpose="teach")
    he.attends(pen, 30)
    he.attends(pen, 9, asks=False)
    he.rates_a_letter(pen, 9, useful=True)
    pen.tell("website", pen.on(45), "preference_changed", topics=["coffee", "tents"], frequency="daily")


def refunded(pen: Pen) -> None:
    he.arrives(pen, 42)
    he.browses(pen, 41, pages=5, views=2)
    he.returns(pen, 40)
    he.calls(pen, 37)


def bargain_hunter(pen: Pen) -> None:
    """Buys where it is cheapest: on the marketplace, known by his phone alone until he calls."""
    for age in (130, 64, 21, 2):
        he.orders(pen, age, channel="marketplace", quiet=True)
    he.reviews(pen, 60, 3 + pen.person.number % 3)
    he.calls(pen, 20)
    known = "user_id phone" if pen.person.number % 2 else "user_id"
    he.identifies(pen, pen.on(19), "email", "phone", source="website", by="user_id")
    pen.tell(
        "call-centre",
        pen.on(18),
        "step_confirmed",
        step=pen.say(Words("Delivery address", "Адрес доставки")),
        by=known,
    )
    he.gets_a_push(pen, 2)


LIVES: tuple[tuple[Life, int], ...] = (
    (devoted, 4), (let_down, 7), (won_back, 5), (overmailed, 6), (window_shopper, 5), (steady, 12), (newcomer, 20),
    (lapsed, 9), (one_off, 14), (eager_reader, 4), (refunded, 6), (bargain_hunter, 8),
)  # fmt: skip
"""Each life, and how many in a hundred lead it."""


@dataclass(frozen=True, slots=True)
class Star:
    """A customer worth a look, and why."""

    person: Person
    life: str
    look_at: str


@dataclass(frozen=True, slots=True)
class Story:
    """Everything that happened, in the order of its happening, and who it happened to."""

    cast: list[Person]
    stars: list[Star]
    told: list[Told]

    @property
    def customers(self) -> list[Person]:
        """The cast, and the two who are told in full."""
        return [marta.MARTA, marta.VERA, *self.cast]

    def star(self, life: str) -> Person:
        """The first star of that life."""
        return next(star.person for star in self.stars if star.life == life)


def life_of(number: int, seed: int) -> Life:
    """The first of the cast take the lives in turn, twice, once for each language; the others by chance."""
    if number < 2 * len(LIVES):
        return LIVES[number // 2][0]
    lives, shares = zip(*LIVES, strict=True)
    chosen: Life = random.Random(f"fate {seed} {number}").choices(lives, shares)[0]
    return chosen


def history(customers: int, seed: int, now: int) -> Story:
    """What happened to so many customers until `now` (milliseconds UTC), besides Marta and Vera and some visitors who
    never said who they are. Expects enough customers for every life in both languages, 24."""
    cast = [person(number, seed) for number in range(customers)]
    cast[HOUSEHOLD[1]] = person(HOUSEHOLD[1], seed, family=_family(cast[HOUSEHOLD[0]]))
    pens = [Pen(one, seed, now) for one in cast]
    for number, pen in enumerate(pens):
        life_of(number, seed)(pen)
        _has_old_ways(pen)
    _share_a_tablet(pens[HOUSEHOLD[0]], pens[HOUSEHOLD[1]])
    _are_found_out(pens)
    for number in range(customers, customers + customers // 12):
        pens.append(passer_by := Pen(person(number, seed), seed, now))
        he.browses(passer_by, number % 30, pages=2, views=3, by="anonymous_id")
    everything = [*marta.both(now), *(one for pen in pens for one in pen.told)]
    told = sorted(everything, key=lambda one: (one.at, one.source, one.id))
    return Story(cast, _stars(cast), told)


HOUSEHOLD = (11, 13)
"""Two English speakers, one steady and one new, who share a surname and a tablet."""


def _family(one: Person) -> str:
    return next(last for last in SURNAMES[one.language].split() if one.last.startswith(last))


def _has_old_ways(pen: Pen) -> None:
    """What some of any life have: an older address, a phone left later, a try at the kiosk, a firm."""
    number = pen.person.number
    if number % 5 == 2:
        he.identifies(pen, pen.on(300), "old_email", by="user_id")
        moved = Data(
            subject="Address changed", text=pen.say(Words("Your e-mail was changed", "Адрес почты изменён"))
        )
        pen.tell("website", pen.on(120), "account_notified", **moved)
        he.identifies(pen, pen.on(120) + MINUTE, "email")
    if number % 4 == 0:
        he.identifies(pen, pen.on(29), "phone", source="mobile-app", by="user_id device")
    if number % 3 == 0:
        he.visits_the_shop(pen, 17 + number % 9, kiosk=True)
    if number % 6 == 1:
        pen.tell("website", pen.on(27), "alias", previous=pen.person.anonymous_id)
    if number % 24 == 5:
        firm = Data(group=f"firm-{number}", traits={"name": f"Workshop No. {number}"})
        pen.tell("website", pen.on(26), "group_joined", **firm)
    if number % 40 == 7:
        pen.tell("mailer", pen.on(8), "message_failed", reason="mailbox full", by="email")


def _share_a_tablet(one: Pen, other: Pen) -> None:
    """Both are signed in on one device, so it claims to be both: one link holds, the other is refused."""
    tablet = one.person.device
    for turn, pen in enumerate((one, other, one, other)):
        at = pen.on(8 - 2 * turn)
        id = pen.number("mobile-app")
        shown = Data(kind="screen", name="Rugs", category="rugs", path="/rugs")
        pen.told.append(
            Told(
                "mobile-app", id, at, "page_viewed", shown, {"user_id": pen.person.user_id, "device": tablet}
            )
        )


def _are_found_out(pens: list[Pen]) -> None:
    """Agents decide twice: two identifiers are one person, and two others are not."""
    joined, parted = pens[22], pens[16]
    him = joined.person
    said = Data(link=[f"user_id:{him.user_id}", f"phone:{him.phone}"], reason="Told us on the phone")
    joined.tell("support-team", joined.on(15), "link", **said)
    him = parted.person
    apart: Data = {
        "apart": [f"user_id:{him.user_id}"],
        "from": [f"anonymous_id:{him.anonymous_id}"],
        "reason": "A shared laptop",
    }
    parted.tell("support-team", parted.on(14), "unlink", **apart)
    exposed = Data(what=["email"], incident="INC-12", customer_told=True, severity="low")
    pens[10].tell("monitor", pens[10].on(6), "data_exposed", **exposed)
    waiting = pens[2]
    made = waiting.on(12)
    what = waiting.say(Words("A call back from the workshop", "Мастерская перезвонит"))
    promise = Data(promise_id=waiting.number("promise"), what=what, due=rfc3339(made + 2 * DAY))
    waiting.tell("help-desk", made, "promise_made", **promise)


def _stars(cast: list[Person]) -> list[Star]:
    look = (
        ("devoted", 0, "recommends and defends: explain emotional_loyalty"),
        ("let_down", 2, "an open case, overdue promises, unanswered requests: context, trust"),
        ("won_back", 4, "what mended it: explain churn_risk with ?without= or ?with=complaint_resolved"),
        ("overmailed", 6, "fatigue exhausted, consent withdrawn: context?purpose=offer says no, and why"),
        ("window_shopper", 8, "deep in the app, never bought: engagement against loyalty; interests"),
        ("steady", HOUSEHOLD[0], "shares a tablet with the next one: refused_links"),
        ("newcomer", HOUSEHOLD[1], "an anonymous visitor until four days ago: timeline goes back further"),
        ("bargain_hunter", 22, "known by a phone alone until an agent linked it"),
    )
    told_in_full = "waits in the chat; a broken promise, a case, a complaint: trust, and what would mend it"
    hers = [Star(one, "told_in_full", told_in_full) for one in (marta.MARTA, marta.VERA)]
    return hers + [Star(cast[number], life, what) for life, number, what in look]

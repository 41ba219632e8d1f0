"""What a scorecard's lines say in words: how each gives points, when it counts half, and why it is there.

The reasons stand in the scorecards themselves, in English; here are those of the shipped ones in the other language.
What a company writes into its own scorecards is shown as it stands there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from touchbook.api.desk.score_words import part_words
from touchbook.api.desk.words import Words
from touchbook.components import (
    ActiveDays,
    Balance,
    Base,
    Component,
    Decayed,
    Evidence,
    First,
    Gap,
    Recency,
    Streak,
)
from touchbook.schemas.display import Language
from touchbook.scorecard import Linear, Part, Saturating, Scorecard

FULL = 1_000
"""Milli-points in a point, and permille in the whole of a gap."""
MINUTE = 60


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a scorecard, or one kind of evidence in a balance (`within` it).

    `points` is what it gives, with its sign, and `side` plus where that is good, minus where it is bad; `rule` how it
    counts; `language` that of the reason, where it is another than the page's.
    """

    id: str
    points: str
    side: str
    rule: str
    why: str
    language: Language | None
    signals: tuple[str, ...]
    within: bool = False


def lines_of(part: Part, words: Words, less_is_better: bool = False) -> Iterator[Line]:
    """The lines of a part in their order, each kind of evidence after its balance."""
    for one in part.components:
        why, language = why_words(one.why, words.language)
        points, side = _points_of(one, words, less_is_better)
        signals = () if isinstance(one, Balance) else one.signals
        yield Line(one.id, points, side, _sentence(_rule_of(one, words)), why, language, signals)
        if isinstance(one, Balance):
            yield from (_weighing(one.id, evidence, words) for evidence in one.evidence)


def value_words(card: Scorecard, words: Words) -> list[str]:
    """How points become a value from 0 to 100."""
    match card.value:
        case Saturating(saturation):
            return [
                words.gettext(
                    "%(points)s points make 50; the more there are, the less each adds",
                    points=_amount(saturation, words),
                )
            ]
        case Linear(low, high):
            return [
                words.gettext(
                    "%(low)s points make 0, %(high)s make 100, in a straight line",
                    low=_amount(low, words),
                    high=_amount(high, words),
                )
            ]
        case shares:
            return [
                words.gettext(
                    "%(part)s fills at most %(share)s of 100, and half of that with %(points)s points",
                    part=part_words(card.name, part, words.language),
                    share=share,
                    points=_amount(half, words),
                )
                for part, (share, half) in shares.shares.items()
            ]


def standing_words(card: Scorecard, words: Words) -> list[str]:
    """When there is a value, and for how long a tier is held."""
    said = []
    if card.needs is not None:
        said.append(
            words.ngettext(
                "no value without %(signal)s within the last %(num)s day",
                "no value without %(signal)s within the last %(num)s days",
                card.needs.within,
                signal=card.needs.signal,
            )
        )
    if card.min_evidence:
        said.append(
            words.gettext("no value below %(evidence)s of evidence", evidence=words.number(card.min_evidence))
        )
    if card.hold_days:
        said.append(
            words.ngettext(
                "the tier shown is the best of today and the day before",
                "the tier shown is the best of today and the %(num)s days before",
                card.hold_days,
            )
        )
    return said


def limits_words(part: Part, words: Words) -> str:
    """Between what a part's points are kept; empty where they are not."""
    least, most = (None if one is None else _amount(one, words) for one in (part.least, part.most))
    if least is not None and most is not None:
        return words.gettext("kept from %(least)s to %(most)s points", least=least, most=most)
    if least is not None:
        return words.gettext("never below %(least)s points", least=least)
    return "" if most is None else words.gettext("never above %(most)s points", most=most)


def why_words(why: str, language: Language) -> tuple[str, Language | None]:
    """The reason of a line, and its language where that is another than the one asked for."""
    if language == "en":
        return why, None
    return (WHYS[why], None) if why in WHYS else (why, "en")


def _points_of(one: Component, words: Words, less_is_better: bool) -> tuple[str, str]:
    if isinstance(one, Balance):
        return f"±{_amount(one.swing, words)}", ""
    milli: int = one.points if isinstance(one, Base) else one.weight  # type: ignore[attr-defined]
    plus = "+" if milli > 0 else ""
    return f"{plus}{_amount(milli, words)}", "minus" if (milli < 0) != less_is_better else "plus"


def _rule_of(one: Component, words: Words) -> Iterator[str]:
    match one:
        case Base():
            yield words.gettext("everybody starts with it")
        case Decayed():
            yield _each(one, words)
            yield _half(one.half_life, words)
            yield _capped(one.cap, words)
            if one.min_age:
                yield words.ngettext(
                    "begins to count after %(num)s day", "begins to count after %(num)s days", one.min_age
                )
        case Balance():
            yield words.gettext("good against bad")
            yield words.gettext("the middle weighs %(prior)s from the start", prior=words.number(one.prior))
        case Recency():
            yield words.gettext("for the latest day")
            yield _half(one.half_life, words)
        case First():
            yield words.gettext("for the first day")
            yield _half(one.half_life, words)
        case ActiveDays():
            yield words.ngettext(
                "for each day of the last %(num)s", "for each day of the last %(num)s", one.window
            )
            yield words.ngettext("at most %(num)s day", "at most %(num)s days", one.max_days)
        case Streak():
            yield words.ngettext(
                "for each %(num)s day in a row after the first",
                "for each %(num)s days in a row after the first",
                one.period,
            )
            yield words.ngettext("at most %(num)s time", "at most %(num)s times", one.max_periods)
        case Gap():
            yield words.gettext(
                "grows while he is silent from %(begin)s to %(full)s times as long as usual",
                begin=_amount(one.from_, words),
                full=_amount(one.full, words),
            )
            yield words.ngettext(
                "usual is %(num)s day until %(gaps)s pauses are known",
                "usual is %(num)s days until %(gaps)s pauses are known",
                one.default_gap,
                gaps=words.number(one.min_gaps),
            )


def _weighing(id: str, one: Evidence, words: Words) -> Line:
    weight = words.number(one.weight)
    points, side = {
        1: (words.gettext("%(weight)s for", weight=weight), "plus"),
        0: (words.gettext("%(weight)s to the middle", weight=weight), ""),
        -1: (words.gettext("%(weight)s against", weight=weight), "minus"),
    }[one.sign]
    why, language = why_words(one.why, words.language)
    rule = _sentence(iter((_half(one.half_life, words), _capped(one.cap, words))))
    return Line(id, points, side, rule, why, language, one.signals, within=True)


def _each(one: Decayed, words: Words) -> str:
    if one.of == "count":
        return words.gettext("for each")
    if one.unit % MINUTE == 0 and all(signal.endswith("_seconds") for signal in one.signals):
        return words.ngettext("for each minute", "for each %(num)s minutes", one.unit // MINUTE)
    return words.gettext("for each %(unit)s of the total", unit=words.number(one.unit))


def _half(days: int, words: Words) -> str:
    return words.ngettext("half after %(num)s day", "half after %(num)s days", days)


def _capped(cap: int, words: Words) -> str:
    return words.gettext("at most %(cap)s a day", cap=words.number(cap))


def _amount(milli: int, words: Words) -> str:
    """Thousandths as they are: 10, 0.25."""
    return words.number(milli / FULL)


def _sentence(pieces: Iterator[str]) -> str:
    said = ", ".join(pieces)
    return said[:1].upper() + said[1:]


WHYS: dict[str, str] = {
    "Half of first buyers never return (CDNOW: 51 %); habit below takes this away.": (
        "Половина первых покупателей не возвращается (CDNOW: 51 %); привычка ниже это снимает."
    ),
    "Three purchase days make a habit.": "Три дня с покупками — уже привычка.",
    "One's own median gap is the fairest clock: four times over it is gone until he proves otherwise.": (
        "Собственный обычный перерыв — самые честные часы: вчетверо дольше — значит ушёл, пока не "
        "докажет обратное."
    ),
    "Who was here last week is not gone yet.": "Кто был здесь на прошлой неделе, ещё не ушёл.",
    "Says why he may leave: by itself worth a look.": (
        "Говорит, почему может уйти: уже само по себе повод присмотреться."
    ),
    "A complaint that was put right takes back most of what it cost.": (
        "Улаженная жалоба возвращает почти всё, что отняла."
    ),
    "The commonest last straws; silence is answered with silence.": (
        "Самые частые последние капли; на молчание отвечают молчанием."
    ),
    "He is unhappy now.": "Он недоволен сейчас.",
    "Takes back half of a bad answer: content people leave too.": (
        "Возвращает половину плохого ответа: уходят и довольные."
    ),
    "Would not recommend, so has looked around.": (
        "Не стал бы советовать — значит, уже присматривается к другим."
    ),
    "Said good-bye: no model needed; reopening reverses it.": (
        "Попрощался: модель не нужна; возвращение всё отменяет."
    ),
    "He closes one door to us, not all.": "Он закрыл перед нами одну дверь, не все.",
    "Constancy of purchases is the first sign of a bond: unbroken months, up to a year.": (
        "Постоянство покупок — первый признак привязанности: месяцы без пропуска, до года."
    ),
    "Softens one missed month.": "Смягчает один пропущенный месяц.",
    "Living in the brand's community is the plainest participation.": (
        "Жизнь в сообществе марки — самое явное участие."
    ),
    "Who suggests wants a future together.": "Кто предлагает, тот хочет общего будущего.",
    "Any verdict, even a bad one, is taking part.": "Любой отзыв, даже плохой, — это участие.",
    "An hour of time given.": "Подаренный час времени.",
    "Small, because we asked.": "Немного, потому что мы сами попросили.",
    "Play is participation, but rewarded.": "Игра — тоже участие, но за награду.",
    "The wish to recommend is the best single index of emotional loyalty.": (
        "Желание советовать — лучший из одиночных признаков эмоциональной лояльности."
    ),
    "An unwilling buyer is not bound by feeling.": "Покупателя поневоле чувство не связывает.",
    "Puts his own name behind the brand, and is believed.": "Ручается за марку своим именем, и ему верят.",
    "Defending its reputation unasked is rare and costly: one act shows.": (
        "Защищать репутацию без просьбы — редко и дорого: одного поступка достаточно."
    ),
    "Praise without an attack to answer is the weaker form.": "Похвала, когда никто не нападал, слабее.",
    "Standing public defence.": "Постоянная публичная защита.",
    "A public attack undoes more than one defence.": "Публичное нападение перечёркивает больше одной защиты.",
    "Observed warmth; short-lived and uncertain, so a tenth of the whole.": (
        "Замеченная теплота; она недолгая и неточная, поэтому лишь десятая часть целого."
    ),
    "Anger is remembered a little better.": "Гнев помнят чуть дольше.",
    "Useful information makes him feel looked after.": "Полезные сведения дают почувствовать заботу.",
    "Frequency of use in its plainest form.": "Частота обращений в самом простом виде.",
    "Cheap, and a reload loop must not win.": (
        "Стоит мало, и бесконечное обновление страницы не должно побеждать."
    ),
    "An installed app is a chosen channel.": "Установленное приложение — выбранный канал.",
    "Time of interaction; at most an hour a day, tabs stay open.": (
        "Время с нами; не больше часа в день: вкладки остаются открытыми."
    ),
    "Physical channels cost the customer more.": "Прийти самому стоит клиенту дороже.",
    "Speaks with us; capped, since ten lines may be one question.": (
        "Говорит с нами; с пределом, ведь десять строк могут быть одним вопросом."
    ),
    "More effort than a message.": "Больше усилий, чем сообщение.",
    "An hour with us, booked or live.": "Час с нами, по записи или в прямом эфире.",
    "Exploring and trying by himself.": "Сам рассматривает и примеряет.",
    "Depth of the exploration.": "Насколько глубоко рассматривал.",
    "Money or an idea, given unasked.": "Деньги или идея без нашей просьбы.",
    "Writes for others or brings them.": "Пишет для других или приводит их.",
    "Takes part where we made room for it.": "Участвует там, где мы дали для этого место.",
    "Clicks show interest; opens do not count, mail programs fake them.": (
        "Переходы говорят об интересе; открытия не считаются: их подделывают почтовые программы."
    ),
    "A weekly letter settles at 12 points; a fortnight of quiet leaves a quarter.": (
        "Письмо раз в неделю — это около 12 баллов; две недели тишины оставляют четверть."
    ),
    "Wanted, yet the phone buzzes all the same.": "Нужное, но телефон всё равно жужжит.",
    "It asks him for work.": "Просит его поработать.",
    "The most intrusive channel.": "Самый навязчивый канал.",
    "A send three days old counts as ignored until it is opened, so nobody has to publish 'ignored'.": (
        "Отправка трёхдневной давности считается пропущенной, пока её не откроют: никому не нужно "
        "сообщать «пропущено»."
    ),
    "Takes what was opened out again; a channel that cannot see opens books one at delivery.": (
        "Снимает то, что открыли; канал, который не видит открытий, засчитывает открытие при доставке."
    ),
    "A small no.": "Маленькое «нет».",
    "A reasoned no.": "Обдуманное «нет».",
    "A clear no; other channels must hear it for a season.": (
        "Ясное «нет»; другие каналы должны слышать его целый сезон."
    ),
    "The loudest no.": "Самое громкое «нет».",
    "Interest halves the burden of a letter.": "Интерес вдвое облегчает письмо.",
    "Says it was worth it.": "Говорит, что оно того стоило.",
    "Coming back to buy is the definition; days, not orders, so splitting a basket gains nothing.": (
        "Вернуться за покупкой — это и есть лояльность; дни, а не заказы: разбить корзину на части "
        "ничего не даёт."
    ),
    "The first purchase is trying, not returning: 3 of its 10 points stay.": (
        "Первая покупка — проба, а не возвращение: из её 10 баллов остаются 3."
    ),
    "A refund must never leave a gain behind.": "Возврат не должен оставлять выигрыша.",
    "Steadiness counts beside volume; half a year of months is enough to show it.": (
        "Постоянство важно наравне с объёмом; полугода по месяцам хватит, чтобы его увидеть."
    ),
    "Turning to the brand without buying is returning too, but lightly.": (
        "Обращаться к марке без покупки — тоже возвращение, но лёгкое."
    ),
    "The stated wish; it ages like the relation it speaks of.": (
        "Высказанное желание; оно стареет вместе с отношениями, о которых говорит."
    ),
    "A stated refusal outweighs a stated wish.": "Высказанный отказ весомее высказанного желания.",
    "Deeds outlive words; two a day stop coupon farming.": (
        "Дела живут дольше слов; предел «два в день» не даёт наживаться на купонах."
    ),
    "Someone trusted him with their money.": "Кто-то доверил ему свои деньги.",
    "A public recommendation stays readable.": "Публичный совет остаётся у всех на виду.",
    "A public warning stays readable too.": "Публичное предостережение тоже остаётся на виду.",
    "Cheap to do, so small.": "Сделать легко, поэтому мало.",
    "The middle of every scale.": "Середина любой шкалы.",
    "What he said for us against what he said against us; a prior of four is one answer in the middle.": (
        "Что он сказал за нас и что против; начальный вес четыре — это один ответ посередине."
    ),
    "The direct question; a prior of one answer lets a single good one give 75.": (
        "Прямой вопрос; при начальном весе в один ответ единственный хороший даёт 75."
    ),
    "An answer all the same: it pulls to the middle.": "Всё же ответ: тянет к середине.",
    "As strong as a good answer: this measures what was said.": (
        "Так же силён, как хороший ответ: измеряется сказанное."
    ),
    "Ease is expected, so it pleases half as much as a good answer.": (
        "Лёгкости ждут, поэтому радует она вдвое меньше хорошего ответа."
    ),
    "Neither easy nor hard: it pulls to the middle.": "Ни легко, ни трудно: тянет к середине.",
    "A hard time is noticed more than an easy one.": "Трудности замечают сильнее, чем лёгкость.",
    "Speaks of the relation: lasts longer, weighs less than the incident.": (
        "Говорит об отношениях: держится дольше, весит меньше отдельного случая."
    ),
    "A 7 or 8 is neither for nor against: it pulls to the middle.": (
        "7 или 8 — ни за, ни против: тянет к середине."
    ),
    "The mirror of the promoter.": "Зеркало сторонника.",
    "Public praise is partly for the public.": "Публичная похвала отчасти для публики.",
    "Public anger is partly for the public too.": "Публичный гнев тоже отчасти для публики.",
    "A thumb is a quarter of an answer.": "Палец вверх — четверть ответа.",
    "A thumb down, too, is a quarter of an answer.": "Палец вниз — тоже четверть ответа.",
    "A stranger is neither trusted nor distrusted.": "Незнакомец не вызывает ни доверия, ни недоверия.",
    "Good dealings against bad ones; a prior of thirty keeps a single event from deciding.": (
        "Хорошее против плохого; начальный вес тридцать не даёт решать одному событию."
    ),
    "Each kept promise is a proof.": "Каждое сдержанное обещание — доказательство.",
    "One broken promise takes five kept ones, and is remembered twice as long.": (
        "Одно нарушенное обещание перевешивает пять сдержанных и помнится вдвое дольше."
    ),
    "Heard in time.": "Услышали вовремя.",
    "Waiting feeds doubt.": "Ожидание рождает сомнение.",
    "An ignored request is a direct cause of distrust.": "Обращение без ответа — прямая причина недоверия.",
    "Transparency, once a day: seeing is not yet receiving.": (
        "Прозрачность, раз в день: видеть — ещё не значит получить."
    ),
    "A problem solved.": "Решённая проблема.",
    "Solved on paper only: takes more than the resolution gave.": (
        "Решена лишь на бумаге: отнимает больше, чем дало решение."
    ),
    "He says he was wronged.": "Он говорит, что с ним обошлись несправедливо.",
    "Repair is worth more than the complaint cost, or nobody would repair.": (
        "Исправить ценнее, чем стоила жалоба, иначе никто бы не исправлял."
    ),
    "Thanks are cheap.": "Благодарность стоит мало.",
    "His word changed something.": "Его слово что-то изменило.",
    "Poor automatic answers are a known risk; a bot is forgiven sooner.": (
        "Плохие автоматические ответы — известный риск; боту прощают быстрее."
    ),
    "We told him something wrong, though we owned up.": "Мы сказали неверное, хотя и признались.",
    "We ignored a stated wish.": "Мы не посчитались с его желанием.",
    "Technical failure, once a day however often he retried.": (
        "Технический сбой, раз в день, сколько бы он ни пробовал."
    ),
    "Breach of confidentiality: three broken promises, three times as long.": (
        "Нарушение тайны: как три нарушенных обещания и втрое дольше."
    ),
}
"""The reasons of the shipped scorecards, in Russian."""

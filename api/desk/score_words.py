"""What scores say in words: tiers with their tones, parts, lines, signals, and what would mend a score.

A scorecard names its tiers, parts, lines and signals by identifiers; here stands how they read in each language. What
a company's own scorecard adds and nobody has put into words yet reads as its identifier with blanks.

Counted words are "one|many" in English and "one|few|many" in Russian. The number stands before them, or where `{n}`
is; a first form more is the words for a single one without its number.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from babel import Locale

from touchbook.schemas.catalogue import CATALOGUE
from touchbook.schemas.details import INTEREST, REFUND, SPEND, VIA
from touchbook.schemas.display import MISSING, Language

ORDER = ("loyalty", "emotional_loyalty", "trust", "satisfaction", "engagement", "churn_risk", "fatigue")
"""How the scores stand below one another; those of a company come after them."""
LESS_IS_BETTER = frozenset({"churn_risk", "fatigue"})


class Said(NamedTuple):
    """The same in every language."""

    en: str
    ru: str

    def in_(self, language: Language) -> str:
        return self.en if language == "en" else self.ru


class Tier(NamedTuple):
    """`tone`: bad, warn, mid, good, or none where it is too early to judge."""

    tone: str
    said: Said


def _tiers(*rows: tuple[str, str, str]) -> dict[str, Tier]:
    return {name: Tier(tone, Said(name, ru)) for name, tone, ru in rows}


TIERS: dict[str, dict[str, Tier]] = {
    "loyalty": _tiers(
        ("new", "none", "новый"),
        ("returning", "none", "возвращается"),
        ("regular", "mid", "постоянный"),
        ("loyal", "good", "лояльный"),
        ("devoted", "good", "преданный"),
    ),
    "emotional_loyalty": _tiers(
        ("indifferent", "none", "равнодушие"),
        ("sympathetic", "none", "симпатия"),
        ("attached", "mid", "привязанность"),
        ("bonded", "good", "близость"),
        ("champion", "good", "амбассадор"),
    ),
    "trust": _tiers(
        ("broken", "bad", "утрачено"),
        ("doubtful", "bad", "шаткое"),
        ("neutral", "mid", "нейтральное"),
        ("trusting", "good", "хорошее"),
        ("firm", "good", "прочное"),
    ),
    "satisfaction": _tiers(
        ("unhappy", "bad", "недовольство"),
        ("uneasy", "warn", "сомнения"),
        ("content", "mid", "нормально"),
        ("pleased", "good", "довольство"),
        ("delighted", "good", "восторг"),
    ),
    "engagement": _tiers(
        ("silent", "none", "молчание"),
        ("occasional", "none", "изредка"),
        ("active", "mid", "активность"),
        ("engaged", "good", "увлечённость"),
        ("immersed", "good", "погружение"),
    ),
    "churn_risk": _tiers(
        ("low", "good", "низкий"),
        ("watch", "mid", "на заметке"),
        ("elevated", "warn", "повышенный"),
        ("high", "bad", "высокий"),
        ("critical", "bad", "критический"),
    ),
    "fatigue": _tiers(
        ("fresh", "good", "нет"),
        ("fine", "mid", "в норме"),
        ("tired", "warn", "заметная"),
        ("exhausted", "bad", "перегрузка"),
    ),
}

SHORT_TITLES = {"fatigue": Said("Fatigue", "Усталость")}
NOT_KNOWN = Tier("void", Said("not known yet", "пока неизвестно"))

PARTS: dict[tuple[str, str], Said] = {
    ("loyalty", "comes_back"): Said("Comes back", "Возвращается"),
    ("loyalty", "recommends"): Said("Recommends", "Рекомендует"),
    ("emotional_loyalty", "constancy"): Said("Constancy", "Постоянство"),
    ("emotional_loyalty", "participation"): Said("Participation", "Участие"),
    ("emotional_loyalty", "recommendation"): Said("Recommendation", "Рекомендации"),
    ("emotional_loyalty", "defence"): Said("Defence", "Защита"),
    ("emotional_loyalty", "feeling"): Said("Feeling", "Чувства"),
    ("trust", "record"): Said("Our record", "Как мы держим слово"),
    ("satisfaction", "answers"): Said("Answers", "Ответы"),
    ("engagement", "presence"): Said("Presence", "Присутствие"),
    ("engagement", "dialogue"): Said("Dialogue", "Общение"),
    ("engagement", "contribution"): Said("Contribution", "Вклад"),
    ("churn_risk", "rhythm"): Said("Rhythm", "Ритм"),
    ("churn_risk", "grievance"): Said("Grievance", "Обиды"),
    ("churn_risk", "leaving"): Said("Leaving", "Уход"),
    ("fatigue", "pressure"): Said("Pressure", "Давление"),
    ("fatigue", "ignoring"): Said("Ignoring", "Без ответа"),
    ("fatigue", "refusal"): Said("Refusal", "Отказ"),
    ("fatigue", "welcome"): Said("Welcome", "Отклик"),
}

_MONTHS_IN_A_ROW = Said("buys month after month", "покупки из месяца в месяц")
_ACTIVE_DAYS = Said("active day|active days", "активный день|активных дня|активных дней")
COMPONENTS: dict[tuple[str, str], Said] = {
    ("loyalty", "first_purchase"): Said(
        "the first purchase is only a trial", "первая покупка — только проба"
    ),
    ("loyalty", "purchase_streak"): _MONTHS_IN_A_ROW,
    ("loyalty", "own_days"): _ACTIVE_DAYS,
    ("emotional_loyalty", "purchase_streak"): _MONTHS_IN_A_ROW,
    ("engagement", "days"): _ACTIVE_DAYS,
    ("engagement", "minutes"): Said(
        "minute on our pages|minutes on our pages", "минута у нас|минуты у нас|минут у нас"
    ),
    ("engagement", "ar_minutes"): Said("minute in AR|minutes in AR", "минута в AR|минуты в AR|минут в AR"),
    ("churn_risk", "habit"): Said("has a habit of buying", "есть привычка покупать"),
    ("churn_risk", "overdue"): Said("silent longer than usual", "молчание дольше обычного"),
    ("churn_risk", "seen"): Said("was here lately", "недавняя активность"),
    ("fatigue", "unanswered"): Said(
        "offer over 3 days old|offers over 3 days old",
        "рассылка старше 3 дней|рассылки старше 3 дней|рассылок старше 3 дней",
    ),
}
"""Lines that are about more than how often a signal was counted."""

KINDS: dict[str, Said] = {
    "base": Said("starting point", "исходная точка"),
    "first": Said("first time", "первый раз"),
    "recency": Said("last time", "последний раз"),
    "active_days": _ACTIVE_DAYS,
    "streak": Said("period in a row|periods in a row", "период подряд|периода подряд|периодов подряд"),
    "gap": Said("longer pause than usual", "перерыв дольше обычного"),
    "limit": Said("kept within the limit", "ограничено пределом"),
}
MIDDLE = Said("starts in the middle", "исходная точка — середина")

SIGNALS: dict[str, Said] = {
    "account_closed": Said(
        "account closed|accounts closed", "аккаунт закрыт|аккаунта закрыто|аккаунтов закрыто"
    ),
    "app_open": Said(
        "app opened|app opened {n} times|app opened {n} times",
        "вход в приложение|вход в приложение|входа в приложение|входов в приложение",
    ),
    "ar_object": Said("object tried in AR|objects tried in AR", "примерка в AR|примерки в AR|примерок в AR"),
    "ar_seconds": Said("AR session|AR sessions", "сеанс AR|сеанса AR|сеансов AR"),
    "bot_down": Said(
        "bot rated no help|thumbs down for the bot|thumbs down for the bot",
        "бот не понравился|низкая оценка боту|низкие оценки боту|низких оценок боту",
    ),
    "bot_failed": Said(
        "bot did not help|bot did not help, {n} times|bot did not help, {n} times",
        "бот не помог|бот не помог {n} раз|бот не помог {n} раза|бот не помог {n} раз",
    ),
    "bot_up": Said(
        "bot rated helpful|thumbs up for the bot|thumbs up for the bot",
        "бот понравился|высокая оценка боту|высокие оценки боту|высоких оценок боту",
    ),
    "call_in": Said("call to us|calls to us", "звонок нам|звонка нам|звонков нам"),
    "call_out": Said("call of ours|calls of ours", "наш звонок|наших звонка|наших звонков"),
    "case_reopened": Said(
        "case reopened|cases reopened",
        "обращение открыто снова|обращения открыты снова|обращений открыто снова",
    ),
    "case_resolved": Said(
        "case solved|cases solved", "обращение решено|обращения решено|обращений решено"
    ),
    "ces_easy": Said(
        "“easy” in a survey|“easy” in surveys, {n} times|“easy” in surveys, {n} times",
        "ответ «легко»|ответа «легко»|ответов «легко»",
    ),
    "ces_hard": Said(
        "“hard” in a survey|“hard” in surveys, {n} times|“hard” in surveys, {n} times",
        "ответ «трудно»|ответа «трудно»|ответов «трудно»",
    ),
    "ces_mid": Said(
        "“neither easy nor hard”|“neither”, {n} times|“neither”, {n} times",
        "ответ «ни легко, ни трудно»|ответа «ни легко, ни трудно»|ответов «ни легко, ни трудно»",
    ),
    "challenge": Said("challenge done|challenges done", "задание|задания|заданий"),
    "community_post": Said(
        "post in the community|posts in the community",
        "запись в сообществе|записи в сообществе|записей в сообществе",
    ),
    "complaint": Said("complaint|complaints", "жалоба|жалобы|жалоб"),
    "complaint_resolved": Said(
        "complaint settled|complaints settled",
        "жалоба урегулирована|жалобы урегулированы|жалоб урегулировано",
    ),
    "consultation": Said("consultation|consultations", "консультация|консультации|консультаций"),
    "contact_violation": Said(
        "contact against a wish|contacts against a wish",
        "контакт вопреки желанию|контакта вопреки желанию|контактов вопреки желанию",
    ),
    "content_useful": Said(
        "message found useful|messages found useful",
        "полезное сообщение|полезных сообщения|полезных сообщений",
    ),
    "content_useless": Said(
        "message found useless|messages found useless",
        "бесполезное сообщение|бесполезных сообщения|бесполезных сообщений",
    ),
    "csat_bad": Said(
        "bad survey answer|bad survey answers",
        "плохая оценка в опросе|плохие оценки в опросах|плохих оценок в опросах",
    ),
    "csat_good": Said(
        "good survey answer|good survey answers",
        "хорошая оценка в опросе|хорошие оценки в опросах|хороших оценок в опросах",
    ),
    "csat_mid": Said(
        "middling survey answer|middling survey answers",
        "средняя оценка в опросе|средние оценки в опросах|средних оценок в опросах",
    ),
    "data_exposed": Said(
        "data exposed|exposures of data|exposures of data", "утечка данных|утечки данных|утечек данных"
    ),
    "emotion_negative": Said(
        "bad mood seen|bad moods seen", "плохое настроение|плохих настроения|плохих настроений"
    ),
    "emotion_positive": Said(
        "good mood seen|good moods seen", "хорошее настроение|хороших настроения|хороших настроений"
    ),
    "feedback_acknowledged": Said(
        "thanks for feedback|thanks for feedback",
        "благодарность за отклик|благодарности за отклик|благодарностей за отклик",
    ),
    "feedback_acted": Said(
        "feedback put to use|feedback put to use, {n} times|feedback put to use, {n} times",
        "отклик учтён|отклика учтено|откликов учтено",
    ),
    "information_corrected": Said(
        "wrong information corrected|corrections of wrong information|corrections of wrong information",
        "исправление сведений|исправления сведений|исправлений сведений",
    ),
    "livestream": Said("live video|live videos", "прямой эфир|прямых эфира|прямых эфиров"),
    "mention_positive": Said("praise in public|praises in public", "похвала|похвалы|похвал"),
    "message_click": Said(
        "click in a message|clicks in messages", "переход из письма|перехода из писем|переходов из писем"
    ),
    "message_in": Said("message to us|messages to us", "сообщение нам|сообщения нам|сообщений нам"),
    "message_marketing": Said("offer sent|offers sent", "рассылка|рассылки|рассылок"),
    "message_open": Said(
        "message opened|messages opened", "письмо открыто|письма открыто|писем открыто"
    ),
    "message_service": Said(
        "service message|service messages", "сервисное сообщение|сервисных сообщения|сервисных сообщений"
    ),
    "nps_detractor": Said(
        "would not recommend us|would not recommend us, {n} times|would not recommend us, {n} times",
        "не порекомендует нас|ответ «не порекомендую»|ответа «не порекомендую»|ответов «не порекомендую»",
    ),
    "nps_passive": Said(
        "might recommend us|might recommend us, {n} times|might recommend us, {n} times",
        "возможно, порекомендует нас|сдержанный ответ NPS|сдержанных ответа NPS|сдержанных ответов NPS",
    ),
    "nps_promoter": Said(
        "would recommend us|would recommend us, {n} times|would recommend us, {n} times",
        "порекомендует нас|ответ «порекомендую»|ответа «порекомендую»|ответов «порекомендую»",
    ),
    "order_reversed": Said(
        "order cancelled or refunded|orders cancelled or refunded",
        "отмена или возврат|отмены или возврата|отмен или возвратов",
    ),
    "page_view": Said("page view|page views", "просмотр страницы|просмотра страниц|просмотров страниц"),
    "product_view": Said(
        "product viewed|products viewed", "просмотр товара|просмотра товаров|просмотров товаров"
    ),
    "promise_broken": Said(
        "promise broken|promises broken", "обещание нарушено|обещания нарушено|обещаний нарушено"
    ),
    "promise_kept": Said(
        "promise kept|promises kept", "обещание сдержано|обещания сдержано|обещаний сдержано"
    ),
    "promise_overdue": Said(
        "promise overdue|promises overdue", "обещание просрочено|обещания просрочено|обещаний просрочено"
    ),
    "purchase": Said("purchase|purchases", "покупка|покупки|покупок"),
    "rec_click": Said(
        "recommendation followed|recommendations followed",
        "переход по подсказке|перехода по подсказкам|переходов по подсказкам",
    ),
    "rec_dismiss": Said(
        "recommendation waved away|recommendations waved away",
        "отклонённая подсказка|отклонённые подсказки|отклонённых подсказок",
    ),
    "referral_converted": Said(
        "friend who bought|friends who bought", "друг купил|друга купили|друзей купили"
    ),
    "referral_made": Said("friend invited|friends invited", "приглашение друга|приглашения друзей|приглашений друзей"),
    "request_answered": Said(
        "request answered in time|requests answered in time",
        "ответ вовремя|ответа вовремя|ответов вовремя",
    ),
    "request_ignored": Said(
        "request ignored|requests ignored", "запрос без ответа|запроса без ответа|запросов без ответа"
    ),
    "request_late": Said(
        "late answer|late answers", "ответ с опозданием|ответа с опозданием|ответов с опозданием"
    ),
    "review_negative": Said("bad review|bad reviews", "плохой отзыв|плохих отзыва|плохих отзывов"),
    "review_neutral": Said(
        "middling review|middling reviews", "сдержанный отзыв|сдержанных отзыва|сдержанных отзывов"
    ),
    "review_positive": Said("good review|good reviews", "хороший отзыв|хороших отзыва|хороших отзывов"),
    "service_failed": Said("failure on our side|failures on our side", "сбой у нас|сбоя у нас|сбоев у нас"),
    "session_seconds": Said("session|sessions", "сеанс|сеанса|сеансов"),
    "social_share": Said("share|shares", "репост|репоста|репостов"),
    "spam_report": Said("report as spam|reports as spam", "жалоба на спам|жалобы на спам|жалоб на спам"),
    "stage_shown": Said(
        "order stage shown|order stages shown", "этап показан|этапа показано|этапов показано"
    ),
    "stance_attacks": Said("public attack|public attacks", "публичный выпад|публичных выпада|публичных выпадов"),
    "stance_defends": Said(
        "spoke up for us|spoke up for us, {n} times|spoke up for us, {n} times",
        "слово в нашу защиту|слова в нашу защиту|слов в нашу защиту",
    ),
    "suggestion": Said("suggestion|suggestions", "предложение|предложения|предложений"),
    "survey_answer": Said("survey answered|surveys answered", "ответ на опрос|ответа на опросы|ответов на опросы"),
    "survey_sent": Said("survey sent|surveys sent", "опрос отправлен|опроса отправлено|опросов отправлено"),
    "training": Said("training done|trainings done", "обучение|обучения|обучений"),
    "unsubscribed": Said(
        "unsubscribed|unsubscribed, {n} times|unsubscribed, {n} times", "отписка|отписки|отписок"
    ),
    "visit": Said("visit|visits", "визит|визита|визитов"),
    "webinar": Said("webinar|webinars", "вебинар|вебинара|вебинаров"),
    "webinar_question": Said(
        "question at a webinar|questions at webinars",
        "вопрос на вебинаре|вопроса на вебинарах|вопросов на вебинарах",
    ),
    INTEREST: Said("interest|signs of interest", "интерес|проявления интереса|проявлений интереса"),
    VIA: Said("contact|contacts", "обращение|обращения|обращений"),
    SPEND: Said("payment|payments", "оплата|оплаты|оплат"),
    REFUND: Said("refund|refunds", "возврат|возврата|возвратов"),
}  # fmt: skip

TYPES: dict[str, Said] = {
    "ar_object_viewed": Said(
        "object tried in AR|objects tried in AR", "примерка в AR|примерки в AR|примерок в AR"
    ),
    "ar_session_ended": Said(
        "AR session over|AR sessions over", "сеанс AR окончен|сеанса AR окончено|сеансов AR окончено"
    ),
    "ar_session_started": Said(
        "AR session begun|AR sessions begun", "сеанс AR начат|сеанса AR начато|сеансов AR начато"
    ),
    "badge_awarded": Said("badge received|badges received", "значок|значка|значков"),
    "call_started": Said("call|calls", "звонок|звонка|звонков"),
    "cart_changed": Said(
        "cart changed|changes of the cart", "изменение корзины|изменения корзины|изменений корзины"
    ),
    "case_replied": Said(
        "reply in a case|replies in cases", "ответ по обращению|ответа по обращениям|ответов по обращениям"
    ),
    "case_stage_changed": Said(
        "case moved on|moves of cases", "этап обращения|этапа обращений|этапов обращений"
    ),
    "challenge_completed": Said("challenge done|challenges done", "задание|задания|заданий"),
    "emotion_observed": Said(
        "mood seen|moods seen", "замечено настроение|настроения замечено|настроений замечено"
    ),
    "group_joined": Said(
        "group joined|groups joined", "вступление в группу|вступления в группы|вступлений в группы"
    ),
    "message_rated": Said("message rated|messages rated", "оценка письма|оценки писем|оценок писем"),
    "order_stage_changed": Said("order moved on|moves of orders", "этап заказа|этапа заказов|этапов заказов"),
    "page_viewed": Said("page view|page views", "просмотр страницы|просмотра страниц|просмотров страниц"),
    "place_visited": Said("visit|visits", "визит|визита|визитов"),
    "points_earned": Said(
        "points earned|points earned, {n} times|points earned, {n} times",
        "начисление баллов|начисления баллов|начислений баллов",
    ),
    "points_expired": Said(
        "points expired|points expired, {n} times|points expired, {n} times",
        "сгорание баллов|сгорания баллов|сгораний баллов",
    ),
    "points_spent": Said(
        "points spent|points spent, {n} times|points spent, {n} times",
        "списание баллов|списания баллов|списаний баллов",
    ),
    "promise_made": Said("promise made|promises made", "обещание дано|обещания дано|обещаний дано"),
    "session_ended": Said("session|sessions", "сеанс|сеанса|сеансов"),
    "step_confirmed": Said(
        "step confirmed|steps confirmed", "шаг подтверждён|шага подтверждено|шагов подтверждено"
    ),
    "step_supplied": Said("step done|steps done", "шаг выполнен|шага выполнено|шагов выполнено"),
    "tier_changed": Said("level changed|changes of level", "смена уровня|смены уровня|смен уровня"),
    "training_completed": Said(
        "course finished|courses finished", "курс пройден|курса пройдено|курсов пройдено"
    ),
    "unlink": Said(
        "told apart|told apart, {n} times|told apart, {n} times", "разъединение|разъединения|разъединений"
    ),
    "webinar_attended": Said("webinar|webinars", "вебинар|вебинара|вебинаров"),
    "webinar_question_asked": Said(
        "question at a webinar|questions at webinars",
        "вопрос на вебинаре|вопроса на вебинарах|вопросов на вебинарах",
    ),
    "webinar_registered": Said(
        "signed up for a webinar|sign-ups for webinars|sign-ups for webinars",
        "запись на вебинар|записи на вебинары|записей на вебинары",
    ),
}
"""Types of which the words on a timeline say nothing without their fields; a type is a signal of its own too."""

REPAIRS: dict[str, tuple[str, Said]] = {
    "complaint": ("complaint_resolved", Said("if resolved", "если её решить")),
    "promise_broken": ("promise_kept", Said("if the next one is kept", "если сдержать следующее")),
    "promise_overdue": ("promise_kept", Said("if kept now", "если сдержать сейчас")),
    "request_ignored": ("request_answered", Said("if the next is answered in time", "если на следующий ответить")),
    "request_late": ("request_answered", Said("if the next is answered in time", "если на следующий ответить")),
    "case_reopened": ("case_resolved", Said("if solved", "если его решить")),
    "csat_bad": ("csat_good", Said("if the next answer is good", "если следующая оценка хорошая")),
    "ces_hard": ("ces_easy", Said("if the next one is “easy”", "если в следующий раз будет «легко»")),
    "nps_detractor": ("nps_promoter", Said("if won over", "если переубедить")),
    "review_negative": ("review_positive", Said("if a good review follows", "если будет хороший отзыв")),
    "bot_down": ("bot_up", Said("if the next answer helps", "если следующий ответ поможет")),
    "content_useless": ("content_useful", Said("if the next one is useful", "если следующее пригодится")),
    "emotion_negative": ("emotion_positive", Said("if cheered up", "если настроение исправить")),
}  # fmt: skip
"""What undoes a bad signal: the signal that would, and how that is asked."""

MENDS: dict[str, Said] = {
    "csat_good": Said("A good survey answer", "Хорошая оценка в опросе"),
    "ces_easy": Said(
        "“Easy” in a survey",
        "Ответ «легко» в опросе",
    ),
    "nps_promoter": Said("9 or 10 in an NPS survey", "9 или 10 в опросе NPS"),
    "review_positive": Said("A good review", "Хороший отзыв"),
    "purchase": Said("A purchase", "Покупка"),
    "referral_made": Said("Inviting a friend", "Приглашение другу"),
    "visit": Said("A visit", "Визит"),
    "consultation": Said("A consultation", "Консультация"),
    "webinar": Said("A webinar", "Вебинар"),
    "training": Said("A training", "Обучение"),
    "community_post": Said("A post in the community", "Запись в сообществе"),
    "suggestion": Said("A suggestion", "Предложение клиента"),
    "message_open": Said("Opening a message", "Открытое письмо"),
    "message_click": Said("A click in a message", "Переход из письма"),
    "content_useful": Said("A message found useful", "Полезное сообщение"),
    "emotion_positive": Said("A glad conversation", "Разговор в хорошем настроении"),
    "promise_kept": Said("A promise kept", "Сдержанное обещание"),
    "request_answered": Said("An answer in time", "Ответ вовремя"),
}
"""What would do a score good without any matter being open; the most helpful few are told."""


def tier_of(score: str, tier: str | None) -> Tier:
    """How a tier reads, and its tone. One that nobody has put into words has no judgement."""
    if tier is None:
        return NOT_KNOWN
    return TIERS.get(score, {}).get(tier) or Tier("mid", _plain(tier))


def part_words(score: str, part: str, language: Language) -> str:
    return _capital((PARTS.get((score, part)) or _plain(part)).in_(language))


def line_words(score: str, component: str, kind: str, language: Language, n: int = 1) -> str | None:
    """Of a line that is about more than how often a signal was counted; None for one that is not."""
    said = COMPONENTS.get((score, component)) or KINDS.get(kind)
    return None if said is None else _capital(counted(said, language, n))


def signal_words(signal: str, language: Language, n: int = 1) -> str:
    """`n` of a signal: "2 requests ignored"; a single one without its number: "Complaint"."""
    family, colon, rest = signal.partition(":")
    known = SIGNALS.get(family + colon) or TYPES.get(signal)
    if known is not None:
        words = _capital(counted(known, language, n))
        return f"{words}: {rest.replace('_', ' ')}" if colon else words
    words = _of_type(signal, language)
    return words if n == 1 else f"{words} ×{n}"


def counted(said: Said, language: Language, n: int) -> str:
    """The form of counted words that a number takes, with the number unless it is one."""
    single, *forms = said.in_(language).split("|")
    if not forms or n == 1:
        return single
    if len(forms) < (2 if language == "en" else 3):
        forms = [single, *forms]
    form = forms[min(_plural(language, n), len(forms) - 1)]
    return form.replace("{n}", str(n)) if "{n}" in form else f"{n} {form}"


def _plural(language: Language, n: int) -> int:
    return ("one", "few", "many", "other").index(_locale(language).plural_form(n))


@lru_cache
def _locale(language: Language) -> Locale:
    return Locale.parse(language)


def _of_type(signal: str, language: Language) -> str:
    """Every type is a signal too, and reads as on a timeline, without its fields."""
    model = CATALOGUE.get(signal)
    if model is None:
        return _capital(_plain(signal).en)
    headline, _ = model.display.read({}, language)
    return " ".join(word for word in headline.split() if word.strip(f"{MISSING}«»“”:")).rstrip(":, ")


def _plain(name: str) -> Said:
    words = name.replace("_", " ")
    return Said(words, words)


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]

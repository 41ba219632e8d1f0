"""What the fields of touchpoints are called where their data is laid open. One that nobody has put into words, as of a
type of your own, reads as its own name with blanks."""

from __future__ import annotations

import re
from functools import lru_cache

from touchbook.schemas.catalogue import CATALOGUE
from touchbook.schemas.display import Language

FIELDS: dict[str, tuple[str, str]] = {
    "account": ("Account", "Счёт"),
    "action": ("Action", "Действие"),
    "after": ("After", "После"),
    "amount": ("Amount in minor units", "Сумма в мелких единицах"),
    "app": ("App", "Приложение"),
    "app_version": ("App version", "Версия приложения"),
    "badge": ("Badge", "Значок"),
    "balance": ("Balance", "Остаток"),
    "before": ("Before", "До"),
    "by": ("By", "Кем"),
    "campaign": ("Campaign", "Кампания"),
    "cart_id": ("Cart", "Корзина"),
    "case_id": ("Case", "Обращение"),
    "category": ("Category", "Категория"),
    "ces": ("Effort", "Усилие"),
    "challenge": ("Challenge", "Задание"),
    "code": ("Code", "Код"),
    "complaint_id": ("Complaint", "Жалоба"),
    "confidence": ("Confidence", "Уверенность"),
    "consultant": ("Consultant", "Консультант"),
    "consultation_id": ("Consultation", "Консультация"),
    "content": ("Content", "Материал"),
    "content_version": ("Content version", "Версия материала"),
    "csat": ("Satisfaction", "Удовлетворённость"),
    "currency": ("Currency", "Валюта"),
    "day": ("Day", "День"),
    "device": ("Device", "Устройство"),
    "direction": ("Direction", "Направление"),
    "document": ("Document", "Документ"),
    "document_version": ("Document version", "Версия документа"),
    "due": ("Due", "Срок"),
    "emotion": ("Emotion", "Эмоция"),
    "expected_at": ("Expected", "Ожидается"),
    "feedback_id": ("Feedback", "Отзыв"),
    "for_channel": ("For", "Для канала"),
    "frequency": ("How often", "Как часто"),
    "group": ("Group", "Группа"),
    "help": ("Help", "Помощь"),
    "holds_until": ("Holds until", "Держится до"),
    "host": ("Host", "Ведущий"),
    "in_reply_to": ("In reply to", "В ответ на"),
    "incident": ("Incident", "Происшествие"),
    "intent": ("Intent", "Намерение"),
    "kind": ("Kind", "Вид"),
    "language": ("Language", "Язык"),
    "limit": ("At most", "Не больше"),
    "location": ("Place", "Место"),
    "mailing": ("Mailing", "Рассылка"),
    "medium": ("Medium", "Среда"),
    "message_id": ("Message", "Сообщение"),
    "messages": ("Messages", "Сообщения"),
    "method": ("How", "Как"),
    "name": ("Name", "Название"),
    "network": ("Network", "Сеть"),
    "note": ("Note", "Примечание"),
    "now": ("Now", "Стало"),
    "nps": ("Would recommend", "Готовность рекомендовать"),
    "objects": ("Objects", "Предметов"),
    "opened": ("Asked", "Вопрос задан"),
    "order_id": ("Order", "Заказ"),
    "outcome": ("Outcome", "Исход"),
    "page": ("Page", "Страница"),
    "pages": ("Pages", "Страниц"),
    "path": ("Path", "Адрес страницы"),
    "place": ("Place", "Место"),
    "plan": ("Plan", "Тариф"),
    "platform": ("Platform", "Платформа"),
    "points": ("Points", "Баллы"),
    "policy": ("Policy version", "Версия правил"),
    "previous": ("Before", "Прежде"),
    "priority": ("Priority", "Важность"),
    "product_id": ("Product", "Товар"),
    "program": ("Programme", "Программа"),
    "promise_id": ("Promise", "Обещание"),
    "purpose": ("Purpose", "Цель"),
    "question": ("Question", "Вопрос"),
    "queue": ("Queue", "Очередь"),
    "rating": ("Stars", "Звёзды"),
    "reason": ("Reason", "Причина"),
    "recommender": ("Recommended by", "Кто рекомендовал"),
    "recommender_version": ("Its version", "Его версия"),
    "referrer": ("Came from", "Откуда"),
    "replied": ("Answered", "Ответили"),
    "result": ("Result", "Итог"),
    "reward": ("Reward", "Награда"),
    "scene": ("Scene", "Сцена"),
    "score": ("Score", "Оценка"),
    "scorecard_version": ("Scorecard version", "Версия карты"),
    "seconds": ("Lasted", "Длилось"),
    "service": ("Service", "Услуга"),
    "session_id": ("Session", "Сеанс"),
    "severity": ("Severity", "Тяжесть"),
    "since": ("Since", "С"),
    "site": ("Site", "Сайт"),
    "source": ("Source", "Источник"),
    "stage": ("Stage", "Этап"),
    "stance": ("Stance", "Отношение"),
    "starts_at": ("Begins", "Начало"),
    "step": ("Step", "Шаг"),
    "subject": ("Subject", "Тема"),
    "summary": ("Summary", "Суть"),
    "survey": ("Survey", "Опрос"),
    "target": ("Target", "Срок ответа"),
    "target_time": ("Target counted in", "Норма считается"),
    "team": ("Team", "Группа сотрудников"),
    "tier": ("Tier", "Уровень"),
    "title": ("Title", "Название"),
    "topic": ("Topic", "Тема"),
    "total": ("Total", "Сумма"),
    "touchpoint": ("Touchpoint", "Касание"),
    "training": ("Training", "Обучение"),
    "until": ("Until", "До"),
    "url": ("Link", "Ссылка"),
    "usual": ("Usually", "Обычно"),
    "valence": ("Mood", "Настроение"),
    "value_after": ("Value after", "Значение после"),
    "value_before": ("Value before", "Значение до"),
    "waited": ("Waited", "Ожидание"),
    "waited_working": ("Waited, working time", "Ожидание, рабочее время"),
    "was": ("Was", "Было"),
    "webinar": ("Webinar", "Вебинар"),
    "what": ("What", "Что"),
    "who": ("Who", "Кто"),
    "wish": ("Wish", "Пожелание"),
}
"""As the label of a value, in English and Russian."""
WORDED = re.compile(r"\{(\w+)\|words")


def field_words(name: str, language: Language) -> str:
    said = FIELDS.get(name)
    return name.replace("_", " ") if said is None else said[0 if language == "en" else 1]


def value_words(type: str, name: str, value: object, language: Language) -> str:
    """A value of a field that the type's display puts into words, as it does; others as they were sent."""
    model = CATALOGUE.get(type)
    if model is None or name not in _worded(type):
        return str(value)
    wording = model.display.en if language == "en" else model.display.ru
    return wording.words.get(str(value), str(value))


@lru_cache(maxsize=1024)
def _worded(type: str) -> frozenset[str]:
    display = CATALOGUE[type].display
    return frozenset(
        name
        for wording in (display.en, display.ru)
        for template in (wording.headline, wording.detail)
        for name in WORDED.findall(template)
    )

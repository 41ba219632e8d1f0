"""What channels are called. One that nobody has put into words reads as its own name with blanks."""

from __future__ import annotations

from touchbook.schemas.display import Language
from touchbook.schemas.touchpoint import NO_CHANNEL

CHANNELS: dict[str, tuple[str, str]] = {
    "web_chat": ("web chat", "чат"),
    "chat": ("chat", "чат"),
    "email": ("e-mail", "почта"),
    "newsletter": ("newsletter", "рассылка"),
    "phone": ("phone", "телефон"),
    "sms": ("text message", "СМС"),
    "messenger": ("messenger", "мессенджер"),
    "mobile_app": ("mobile app", "приложение"),
    "push": ("push message", "пуш-уведомление"),
    "web": ("website", "сайт"),
    "website": ("website", "сайт"),
    "web_form": ("web form", "форма на сайте"),
    "web_shop": ("web shop", "интернет-магазин"),
    "shop": ("shop", "магазин"),
    "store": ("shop", "магазин"),
    "branch": ("branch", "отделение"),
    "social": ("social media", "соцсети"),
    "community": ("community", "сообщество"),
    "ar": ("AR", "AR"),
    "vr": ("VR", "VR"),
    "video": ("video", "видео"),
    "helpdesk": ("help desk", "служба поддержки"),
    "livestream": ("livestream", "прямой эфир"),
    "marketplace": ("marketplace", "маркетплейс"),
    "kiosk": ("kiosk", "терминал"),
    "help_desk": ("help desk", "служба поддержки"),
    "bot": ("bot", "бот"),
    "survey": ("survey", "опрос"),
    "webinar": ("webinar", "вебинар"),
    "loyalty": ("loyalty programme", "программа лояльности"),
    "desk": ("agents' desk", "рабочее место"),
    "clock": ("clock", "часы"),
    "system": ("system", "система"),
    NO_CHANNEL: ("channel not said", "канал не указан"),
}


def channel_words(channel: str, language: Language, *, capital: bool = False) -> str:
    """In the middle of a sentence, or with a capital at its beginning."""
    en, ru = CHANNELS.get(channel) or (channel.replace("_", " "),) * 2
    words = en if language == "en" else ru
    return words[:1].upper() + words[1:] if capital else words

"""Items that are set aside, in one line."""

from __future__ import annotations

from typing import Any

from touchbook.streams.control import SetAside


def item(key: str = "", **fields: Any) -> SetAside:
    made: dict[str, Any] = {
        "reason": "properties.total: expected a number",
        "code": "field_invalid",
        "source": "shop",
        "channel": "web_chat",
        "route": "segment",
        "inherited": {"context": {"locale": "ru-RU"}},
        "received_at": 500,
        "raw": b'{"type": "track"}',
        "sent_at": None,
    }
    return SetAside(key, **(made | fields))

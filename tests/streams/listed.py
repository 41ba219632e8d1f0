"""The log of decisions over brokers that keep their topics in lists."""

from __future__ import annotations

from typing import Protocol

from touchbook.streams.backends.kafka_decisions import STATED, STATEMENT, KafkaDecisions
from touchbook.streams.backends.kafka_follower import Read


class Brokers(Protocol):
    log: list[Read]


class Listed(KafkaDecisions):
    """Finds where to begin as the real one does, who asks a broker for it."""

    brokers: Brokers

    def _beginning(self) -> tuple[int, str]:
        log = self.brokers.log
        last = log[-1] if log else None
        if last is not None and last.key != STATEMENT:
            last = log[int(dict(last.headers)[STATED])]
        statement = None if last is None else self._opened(last.value)
        return (0, "") if statement is None else (statement.start, statement.before)

"""How a customer stands, encoded once: what answers about scores are put together from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from touchbook.ledger import Day
from touchbook.schemas.times import day_text
from touchbook.scoring import Score

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Standing:
    """Every score of a customer at the end of a day: by name, the member `"name":{…}` of a JSON object. `version` is
    the customer's."""

    customer: str
    at: str
    version: str
    scores: Mapping[str, bytes]

    @classmethod
    def of(cls, customer: str, version: str, at: Day, scores: Mapping[str, Score]) -> Standing:
        encoded = {
            name: f"{_encode(name)}:{_encode(score.to_json())}".encode() for name, score in scores.items()
        }
        return cls(customer, day_text(at), version, encoded)

    def told(self, names: Sequence[str] | None = None) -> dict[str, Any]:
        """As `GET …/scores` answers, every score or those named."""
        scores = json.loads(self._chosen(names))
        return {"customer": self.customer, "at": self.at, "version": self.version, "scores": scores}

    def encoded(self) -> bytes:
        """`told` of every score, encoded."""
        return b'{"customer":"%b","at":"%b","version":"%b","scores":%b}' % (
            self.customer.encode(),
            self.at.encode(),
            self.version.encode(),
            self._chosen(None),
        )

    def encoded_item(self, ref: str, names: Sequence[str] | None = None) -> bytes:
        """One item of a batch, encoded."""
        return b'{"ref":%b,"customer":"%b","at":"%b","scores":%b}' % (
            _encode(ref).encode(),
            self.customer.encode(),
            self.at.encode(),
            self._chosen(names),
        )

    def _chosen(self, names: Sequence[str] | None) -> bytes:
        found = (
            self.scores.values() if names is None else [self.scores[name] for name in dict.fromkeys(names)]
        )
        return b"{%b}" % b",".join(found)

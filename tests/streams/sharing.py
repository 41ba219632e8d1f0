"""A keyring and a control that several processes share through a broker: each process with a directory of its own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from touchbook.identity import IdentityRules
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_control import KafkaControl
from touchbook.streams.backends.kafka_keyring import KafkaKeyring
from touchbook.streams.backends.kafka_producer import Producer
from touchbook.streams.backends.kafka_topics import Identity, ensure
from touchbook.streams.backends.sqlite_keyring import MASTER_KEY_FILE, new_identity
from touchbook.streams.control import Clock
from touchbook.streams.keyring import Keyring

LEASE_SECONDS = 0.4


class Shared:
    def __init__(self, place: KafkaPlace, directory: Path) -> None:
        self.place = place
        self.directory = directory
        self.master_key = directory / MASTER_KEY_FILE
        self.producer = Producer(place)
        self._opened: list[KafkaKeyring | KafkaControl] = []
        ensure(place, rules=IdentityRules(), identity=lambda: Identity(*new_identity(self.master_key)))

    def folder(self, process: str = "") -> Path:
        """The directory of a process; of a new one where it is not named."""
        folder = self.directory / (process or f"process-{len(self._opened)}")
        folder.mkdir(exist_ok=True)
        return folder

    def keyring(self, process: str = "", **settings: Any) -> KafkaKeyring:
        folder = self.folder(process)
        shutil.copyfile(self.master_key, folder / MASTER_KEY_FILE)
        settings = {"lease_seconds": LEASE_SECONDS, **settings}
        keyring = KafkaKeyring.at(folder, self.place, self.producer, **settings)
        self._opened.append(keyring)
        return keyring

    def control(self, keyring: Keyring, clock: Clock, process: str = "") -> KafkaControl:
        control = KafkaControl.at(self.folder(process), self.place, self.producer, keyring, clock)
        self._opened.append(control)
        return control

    def close(self) -> None:
        for opened in reversed(self._opened):
            opened.close()
        self.producer.close()

"""Cycles: a server under load, killed, started again, asked again; and what is left of it in the end."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.books import SHOP
from tests.faults.check import Findings, at_rest, opened
from tests.faults.load import Client, Sent, load, send_again
from tests.faults.servers import Command, Directory, Run

LONGEST = 0.25
"""Seconds under load before a kill, at most."""
NEVER = 30.0


@dataclass
class Cycles:
    """One data directory, and what was sent to the servers over it. `run` starts them."""

    path: Path
    scratch: Path
    run: Run
    seed: int = 0
    clients: int = 4
    sent: Sent = field(default_factory=Sent)
    found: Findings = field(default_factory=Findings)
    done: int = 0

    def __post_init__(self) -> None:
        self.rnd = random.Random(self.seed)
        self.directory = Directory(self.path, self.scratch)
        self.key = self.directory.key(self.run, "publish", SHOP.source, "--channel", SHOP.channel)
        self.agent = self.directory.key(self.run, "agent", "desk")

    def client(self, url: str) -> Client:
        return Client(url, self.key, self.agent, self.sent, self.rnd.randrange(2**32))

    def cycle(self, *, run: Run | None = None, until_gone: bool = False) -> None:
        """Start, send again what is not known, load, kill, look.

        `run`: how this one server is started. `until_gone`: it kills itself, and not we it.
        """
        self.done += 1
        server = self.directory.serve(run or self.run)
        began = time.perf_counter()
        url = server.url()
        if url is not None:
            self.directory.opening.append(time.perf_counter() - began)
            self._under_load(server, url, until_gone)
        elif not until_gone:
            raise AssertionError(f"it did not open: {server.err.read_text()[-2_000:]}")
        server.child.wait()

    def _under_load(self, server: Command, url: str, until_gone: bool) -> None:
        client = self.client(url)
        if not until_gone:
            send_again(client, self.sent)
        with load(url, self.key, self.agent, self.sent, self.rnd.randrange(2**32), self.clients):
            wait(server.gone, NEVER if until_gone else self.rnd.uniform(0.02, LONGEST))
            if not server.gone():
                assert not until_gone, "the point was never reached"
                server.kill()
        client.close()

    def look(self) -> Findings:
        """At the files as they are, nothing opened."""
        found = at_rest(self.path, self.sent)
        self.found.add(found)
        return found

    def finish(self, reference: bool = True) -> Findings:
        """A last server answers what is not known yet and is stopped as it should be; then all is compared."""
        server, url = self.directory.served(self.run)
        client = self.client(url)
        send_again(client, self.sent)
        wait(lambda: client.get("/readyz") == 200, NEVER)
        client.close()
        assert server.end() == 0, server.err.read_text()[-2_000:]
        self.found.add(opened(self.path, self.sent, reference))
        return self.found

    def told(self) -> str:
        """One line of figures."""
        opening = self.directory.opening
        return (
            f"cycles {self.done}, sent {len(self.sent.items)}, acknowledged {len(self.sent.positions)}, "
            f"set aside {len(self.sent.aside)}, refused {self.sent.refused}, lost {len(self.found.lost)}, "
            f"doubled {len(self.found.doubled)}, otherwise wrong {len(self.found.other)}, "
            f"mean time to open {statistics.mean(opening) if opening else 0:.2f} s"
        )


def wait(holds: Callable[[], bool], seconds: float) -> bool:
    """Whether it held within these seconds."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True

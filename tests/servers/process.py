"""A server as a process of its own, which can be stopped, killed and held still, and never outlives the tests."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Self

SECONDS_TO_START = 90
SECONDS_TO_STOP = 90

# Run instead of a preexec_fn, which may deadlock in a process with threads. The kernel kills the server when the thread
# that started it is gone, so one thread that lasts as long as this process starts them all.
_DIES_WITH_ITS_STARTER = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit("whoever started this has gone")
os.execvp(sys.argv[2], sys.argv[2:])
"""
_starter = ThreadPoolExecutor(1, "starts-servers")


def free_port() -> int:
    """A port below those that the system gives to outgoing connections, so that it is still free after a restart."""
    for _ in range(100):
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port on the loopback between 20000 and 31999")


def started(command: Sequence[str], output: Path) -> subprocess.Popen[bytes]:
    """The process of this command, killed by the kernel when this process ends, however it ends."""
    guarded = [sys.executable, "-I", "-S", "-c", _DIES_WITH_ITS_STARTER, str(os.getpid()), *command]
    with output.open("ab") as written:

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                guarded,
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=written,
                start_new_session=True,  # Ctrl-C is for the tests, which then stop it
            )

        return _starter.submit(start).result()


class Server(ABC):
    """Keeps its directory and its ports across stop, kill and start."""

    name: str
    port: int

    def __init__(self, directory: Path | None = None) -> None:
        self._own = tempfile.TemporaryDirectory(prefix=f"{self.name}-") if directory is None else None
        self.directory = Path(self._own.name) if self._own else directory or Path()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._paused = False
        self._unsure = False

    @abstractmethod
    def prepare(self) -> None:
        """What has to be there before the first start."""

    @abstractmethod
    def command(self) -> Sequence[str]:
        """What runs it."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether a real client is answered by what listens there."""

    @property
    def log(self) -> Path:
        return self.directory / f"{self.name}.log"

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Returns when it answers a client. One that runs already is left as it is, one that was paused goes on."""
        if self.running:
            self.resume()
            if self._unsure:  # whoever missed it meanwhile may not take it back at once
                self._wait_for_answers()
            return self
        if self._listens():
            raise RuntimeError(
                f"127.0.0.1:{self.port} belongs to somebody else; {self.name} needs it, or another port"
            )
        self.prepare()
        self._process = started(self.command(), self.log)
        try:
            self._wait_for_answers()
        except BaseException:  # also Ctrl-C, and the time limit of a test
            self.kill()
            raise
        return self

    def stop(self) -> None:
        """As an operator stops it; killed if it takes longer than SECONDS_TO_STOP."""
        self.resume()
        self._signal(signal.SIGTERM)
        try:
            self._wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL: nothing that is not yet with the kernel gets written."""
        self._signal(signal.SIGKILL)
        self._wait(SECONDS_TO_STOP)
        self._paused = False

    def pause(self) -> None:
        """Takes connections and answers nothing, as a machine that hangs."""
        self._signal(signal.SIGSTOP)
        os.waitid(
            os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT
        )  # each of its threads stops by itself
        self._paused = self._unsure = True

    def resume(self) -> None:
        if self._paused:
            self._signal(signal.SIGCONT)
            self._paused = False

    def close(self) -> None:
        """Stopped, and its directory removed if it was made here."""
        self.stop()
        if self._own is not None:
            self._own.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)  # does nothing to one whose end was seen

    def _wait(self, seconds: float) -> None:
        if self._process is not None:
            self._process.wait(seconds)

    def _wait_for_answers(self) -> None:
        deadline = time.monotonic() + SECONDS_TO_START
        while not (self._listens() and self.answers()):
            if not self.running or time.monotonic() > deadline:
                state = f"answers nobody after {SECONDS_TO_START} s" if self.running else "ended by itself"
                raise RuntimeError(f"{self.name} {state}; it said:\n{self._last_words()}")
            time.sleep(0.05)
        self._unsure = False

    def _listens(self) -> bool:
        with socket.socket() as asking:
            return asking.connect_ex(("127.0.0.1", self.port)) == 0

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])

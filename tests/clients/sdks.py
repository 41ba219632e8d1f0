"""The four real server-side SDKs behind one way to call them, so that a test is written once for all of them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import rudderstack.analytics.client
import segment.analytics.client

from tests.needs import needs_or_skip

NODE = Path(__file__).parent / "node"
CACHE = Path(__file__).parents[2] / ".cache" / "clients" / "node"
SECONDS = 60

Call = dict[str, Any]
"""One call as a service makes it: `call` names the SDK's method, the rest are its arguments by Segment's names."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the service heard from its SDK: the errors given to its handler. `exit` and `stderr` are a Node process'."""

    errors: list[str] = field(default_factory=list)
    exit: int = 0
    stderr: str = ""


class Sdk(Protocol):
    """A client that is used as its manual says."""

    @property
    def repeats_at_once(self) -> bool:
        """Whether it sends again without waiting for the seconds that `Retry-After` says."""

    @property
    def tells_retries(self) -> bool:
        """Whether a request that it sends again after a failure says so in X-Retry-Count."""

    @property
    def sends_first_alone(self) -> bool:
        """Whether its first item leaves at once, in a request of its own."""

    def publish(
        self,
        url: str,
        key: str,
        calls: Sequence[Call],
        *,
        batch: int = 0,
        gzip: bool | None = None,
        handled: bool = True,
    ) -> Told:
        """Makes the calls, flushes, and ends. `batch` is the most items of one request, `gzip` its setting of that
        name where it has one; `handled` says whether the service listens to errors."""


@dataclass(frozen=True)
class PythonSdk:
    client: Any
    repeats_at_once: bool = False
    tells_retries: bool = False
    sends_first_alone: bool = False

    def publish(
        self,
        url: str,
        key: str,
        calls: Sequence[Call],
        *,
        batch: int = 0,
        gzip: bool | None = None,
        handled: bool = True,
    ) -> Told:
        errors: list[str] = []
        options: dict[str, Any] = {"upload_interval": 5} if batch else {"upload_interval": 0.1}
        options |= {"upload_size": batch or 100}
        options |= {} if gzip is None else {"gzip": gzip}
        options |= {"on_error": lambda error, items: errors.append(str(error))} if handled else {}
        client = self.client(key, host=url, max_retries=5, **options)
        for one in calls:
            getattr(client, one["call"])(**arguments_of(one))
        client.flush()
        for consumer in client.consumers:
            consumer.pause()  # `shutdown` would also wait for its thread to wake up
        return Told(errors)


def arguments_of(call: Call) -> dict[str, Any]:
    """The call's arguments in Python's spelling."""
    named = {re.sub("([A-Z])", r"_\1", name).lower(): deepcopy(value) for name, value in call.items()}
    del named["call"]
    if "timestamp" in named:
        named["timestamp"] = datetime.fromisoformat(named["timestamp"])
    return named


@dataclass(frozen=True)
class NodeSdk:
    name: str
    repeats_at_once: bool = False
    tells_retries: bool = False
    sends_first_alone: bool = False

    def publish(
        self,
        url: str,
        key: str,
        calls: Sequence[Call],
        *,
        batch: int = 0,
        gzip: bool | None = None,
        handled: bool = True,
    ) -> Told:
        options: dict[str, Any] = {}
        if batch:
            options |= {"flushAt": batch, "maxQueueSize": 4 * 2**20}
        if gzip is not None:
            options["gzip"] = gzip
        wanted = {
            "sdk": self.name,
            "url": url,
            "key": key,
            "options": options,
            "handled": handled,
            "calls": calls,
        }
        return run_node("publish.cjs", wanted)


def run_node(script: str, wanted: dict[str, Any]) -> Told:
    """Runs a script of this folder, which reads what is wanted and answers the errors its SDK told."""
    environment = {**os.environ, "NODE_PATH": str(packages() / "node_modules")}
    done = subprocess.run(
        ["node", str(NODE / script)],
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=environment,
        check=False,
    )
    return Told(json.loads(done.stdout or '{"errors": []}')["errors"], done.returncode, done.stderr)


@cache
def packages() -> Path:
    """The folder where the packages of node/package-lock.json are installed; installs them on first use."""
    lock = (NODE / "package-lock.json").read_bytes()
    folder = CACHE / hashlib.sha256(lock).hexdigest()[:16]
    if not folder.exists():
        _install(folder)
    return folder


def _install(folder: Path) -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        needs_or_skip("the Node SDKs need node and npm on the PATH")
    CACHE.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(dir=CACHE, prefix="making-"))
    for name in ("package.json", "package-lock.json"):
        shutil.copy(NODE / name, making)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        subprocess.run(command, cwd=making, check=True, capture_output=True, text=True, timeout=150)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        shutil.rmtree(making)
        lines = str(error.stderr or "").splitlines()
        said = next((line for line in lines if line.startswith("npm error")), type(error).__name__)
        needs_or_skip(f"the Node SDKs could not be installed ({said})")
    try:
        making.rename(folder)
    except OSError:  # another test process was quicker
        shutil.rmtree(making)


SDKS: dict[str, Sdk] = {
    "segment-analytics-python": PythonSdk(segment.analytics.client.Client, tells_retries=True),
    "rudder-sdk-python": PythonSdk(rudderstack.analytics.client.Client, repeats_at_once=True),
    "@segment/analytics-node": NodeSdk("segment", tells_retries=True),
    "@rudderstack/rudder-sdk-node": NodeSdk("rudder", sends_first_alone=True),
}

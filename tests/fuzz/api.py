"""Schemathesis against `touchbook serve`, over what it says of itself at /openapi.json, with a key of every role.

    python -m tests.fuzz.api [examples for each operation and role, 50 if not said]

Exits 1 where a check fails, anything answers 5xx, or the log shows a failure. Each is shown with a curl command;
FUZZ_SEED in the environment, the seed that a run names at its end, asks the same again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.clients.server import Touchbook, bearer, serving
from touchbook.streams.control import ROLES

NOT_FITTING = (
    "negative_data_rejection",  # doors take whatever comes, and set aside what is no touchpoint: 200
    "positive_data_acceptance",  # an event's source must be the key's, which no schema can say
)
STREAMS = ("/v1/customers/{ref}/timeline/stream", "/v1/changes")
"""They answer for as long as somebody listens."""


def main(examples: int) -> int:
    with tempfile.TemporaryDirectory(prefix="touchbook-fuzz-") as folder:
        log = Path(folder) / "log"
        with log.open("wb") as out, serving(Path(folder) / "data", log=out, log_level="info") as touchbook:
            _fill(touchbook)
            failed = [role for role in ROLES if not _passes(touchbook, role, examples, Path(folder))]
        told = [line for line in log.read_text().splitlines() if " ERROR " in line or "Traceback" in line]
    print("\n".join(told))
    print(f"failed with a key of role: {', '.join(failed) or 'none'}; {len(told)} failures logged")
    return 1 if failed or told else 0


def _fill(touchbook: Touchbook) -> None:
    """Somebody to ask about: the examples in the description speak of user 42."""
    calls = [
        {"type": "page", "userId": "42", "name": "Pricing", "messageId": "page-1"},
        {"type": "track", "userId": "42", "event": "Order Completed", "messageId": "order-1",
         "properties": {"order_id": "1", "total": 12.5, "currency": "EUR"}},
        {"type": "trakc", "userId": "42", "messageId": "set-aside-1"},
    ]  # fmt: skip
    key = touchbook.key("web-shop")
    touchbook.http.post("/v1/batch", json={"batch": calls}, headers=bearer(key)).raise_for_status()
    assert touchbook.timeline("user_id:42")


def _passes(touchbook: Touchbook, role: str, examples: int, folder: Path) -> bool:
    key = touchbook.key("web-shop" if role in ("publish", "channel") else f"fuzz-{role}", role)
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", f"{touchbook.url}/openapi.json",
        "--header", f"Authorization: Bearer {key}",
        "--checks", "all", "--exclude-checks", ",".join(NOT_FITTING),
        *(part for path in STREAMS for part in ("--exclude-path", path)),
        "--max-examples", str(examples), "--request-timeout", "60",
        "--continue-on-failure", "--warnings", "off", "--no-color", "--generation-database", "none",
        "--output-truncate", "false",
        *(("--seed", seed) if (seed := os.environ.get("FUZZ_SEED")) else ()),
    ]  # fmt: skip
    print(f"with a key of role {role}", flush=True)
    return subprocess.run(command, cwd=folder).returncode == 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 50))

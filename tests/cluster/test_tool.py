"""`make cluster`: the demo on many machines' parts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

pytestmark = [pytest.mark.server, pytest.mark.thorough]


def test_the_demo_on_many_machines_parts_shows_its_desk_and_ctrl_c_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    asked = ("--customers", "24", "--port", "0", "--no-trickle", "--json")
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tools.cluster", *asked],
        env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            line = next((one for one in process.stdout if one.startswith("{")), None)
            assert line is not None, process.communicate()[1]
            shown = json.loads(line)
            counts = shown["touchpoints"]
            assert counts["sent"] == counts["accepted"] > 1_000
            assert shown["failures"] == []
            assert counts["verdicts"] > 0, "the clock noticed what nobody published"
            with httpx.Client(trust_env=False, follow_redirects=True, timeout=60) as client:
                assert [client.get(shown[page]).status_code for page in ("desk", "docs")] == [200, 200]
            assert list(tmp_path.iterdir())
            process.send_signal(signal.SIGINT)
            _, messages = process.communicate(timeout=90)
        finally:
            process.send_signal(signal.SIGTERM)  # nothing to one that ended
    assert process.returncode == 0, messages
    assert "nothing is left behind" in messages
    assert list(tmp_path.iterdir()) == []

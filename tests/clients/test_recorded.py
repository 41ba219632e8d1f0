"""Requests of real SDKs, recorded once, sent again byte for byte: older installations keep sending these."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients.server import Touchbook, serving_here

pytestmark = pytest.mark.clients

FOLDERS = (Path(__file__).parent / "recorded", Path(__file__).parents[1] / "api" / "recorded")
RECORDED = {
    file.stem: json.loads(file.read_text()) for folder in FOLDERS for file in sorted(folder.glob("*.json"))
}
OURS = {"host", "authorization", "content-length", "connection"}


def body_of(request: dict[str, Any]) -> bytes:
    """The bytes that were sent, before packing: the recording says how many those were."""
    body = json.dumps(request["body"]).encode()
    assert len(body) == request["body_bytes"]
    return body


def replayed(touchbook: Touchbook, key: str, request: dict[str, Any]) -> httpx.Response:
    headers = {name: value for name, value in request["headers"].items() if name.lower() not in OURS}
    body = body_of(request)
    packed = headers.get("Content-Encoding") == "gzip"
    headers["Authorization"] = "Basic " + base64.b64encode(f"{key}:".encode()).decode()
    return touchbook.http.request(
        request["method"], request["path"], headers=headers, content=gzip.compress(body) if packed else body
    )


def test_recordings_of_both_sdks_are_here() -> None:
    assert {"segment-analytics-python", "segment-analytics-python.gzip", "rudder-sdk-python"} <= set(RECORDED)


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_request_is_taken_whole_and_its_retry_changes_nothing(tmp_path: Path, name: str) -> None:
    with serving_here(tmp_path) as touchbook:
        key = touchbook.key("web-shop")
        for request in RECORDED[name]:
            sent = {item["messageId"]: item for item in request["body"]["batch"]}
            for accepted, duplicates in ((len(sent), 0), (0, len(sent))):
                answer = replayed(touchbook, key, request)
                told = answer.json()
                assert (answer.status_code, told["success"], told["rejected"]) == (200, True, [])
                assert (told["accepted"], told["duplicates"]) == (accepted, duplicates)
            anonymous = {id for id, item in sent.items() if item["userId"] is None}
            assert {item["id"] for item in touchbook.timeline("user_id:u-1")} == sent.keys() - anonymous
            assert {item["id"] for item in touchbook.timeline("anonymous_id:anon-78")} == anonymous
            assert touchbook.card("anonymous_id:anon-77") == touchbook.card("user_id:u-1")
            assert touchbook.count("accepted") == len(sent)

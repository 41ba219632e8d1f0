"""A worker says that it is not ready while its brokers are away, though it goes on by itself."""

from __future__ import annotations

import pytest

from tests.servers.kafka import Kafka
from tests.streams.test_faust_worker import plan
from tests.streams.working import Plan, working

__all__ = ["plan"]


@pytest.mark.thorough
@pytest.mark.server
def test_a_worker_whose_brokers_are_away_is_not_ready(plan: Plan, kafka_server: Kafka) -> None:
    with working(plan) as worker:
        worker.joined()
        kafka_server.kill()
        try:
            worker.until(lambda: worker.ask("/readyz")[0] == 503)
            assert "Kafka" in worker.ask("/readyz")[1]
        finally:
            kafka_server.start()
        worker.until(lambda: worker.ask("/readyz")[0] == 200)

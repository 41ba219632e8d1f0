"""Publishing with Segment's own client for Python: what changes is the host.

pip install segment-analytics-python
export TOUCHBOOK_KEY=$(touchbook keys create --role publish --source website --channel web)
python examples/segment_sdk.py
"""

import os
import sys
from datetime import UTC, datetime
from typing import Any

from segment.analytics.client import Client


def failed(error: Exception, items: list[Any]) -> None:
    sys.exit(f"{len(items)} items were not delivered: {error}")


client = Client(
    os.environ["TOUCHBOOK_KEY"],
    host=os.environ.get("TOUCHBOOK_URL", "http://127.0.0.1:8750"),
    on_error=failed,
    sync_mode=True,  # each call returns once it is durable; leave it out in a service
)

# A visitor looks around, then signs in: both are one customer from now on.
client.page(anonymous_id="visitor-7", name="Lamps", category="lamps", message_id="page-1")
client.identify(
    user_id="segment-customer",
    anonymous_id="visitor-7",
    traits={"name": "Hazel Larkmoor", "email": "hazel.larkmoor@example.test"},
    message_id="identify-1",
)
# The names of Segment's e-commerce spec are understood; so are those of our own catalogue, and any other.
client.track(
    user_id="segment-customer",
    event="Order Completed",
    properties={
        "order_id": "A-1001",
        "total": 49.00,
        "currency": "EUR",
        "products": [
            {"product_id": "lamp-01", "name": "Firefly desk lamp", "category": "lamps", "quantity": 1}
        ],
    },
    timestamp=datetime(2026, 3, 2, 9, 30, tzinfo=UTC),
    message_id="order-1",
)
sys.stdout.write("3 touchpoints are in the journal\n")

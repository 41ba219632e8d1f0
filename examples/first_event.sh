#!/usr/bin/env bash
# A first touchpoint by curl: one CloudEvent, published and durable when the answer is 200.
#
#   touchbook serve &
#   export TOUCHBOOK_URL=http://127.0.0.1:8750
#   export TOUCHBOOK_KEY=$(touchbook keys create --role publish --source examples --channel web_chat)
#   examples/first_event.sh
#
# Sent again with the same id it is answered as a duplicate and recorded once.
set -euo pipefail

curl --silent --show-error --fail-with-body "${TOUCHBOOK_URL:-http://127.0.0.1:8750}/v1/events" \
  --header "Authorization: Bearer ${TOUCHBOOK_KEY:?a key of role publish, source examples}" \
  --header "Content-Type: application/cloudevents+json" \
  --data '{
    "specversion": "1.0",
    "id": "first-event-1",
    "source": "examples",
    "type": "chat_message_sent",
    "time": "2026-03-02T09:30:00Z",
    "data": {
      "identifiers": {"user_id": "first-customer"},
      "thread": "chat-1",
      "text": "Which bulb fits the Lighthouse lamp?",
      "actor": {"kind": "customer"}
    }
  }'

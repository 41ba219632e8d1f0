from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from touchbook.errors import Rejected
from touchbook.schemas.envelope import ID_PATTERN, draft_of_segment

LETTERS = st.characters(exclude_categories=["Cs"]) | st.sampled_from("\0\n\r\t\x1b\x7f\x80\x9f\xa0 ")


@given(st.text(LETTERS, min_size=1, max_size=5) | st.text("ab", min_size=195, max_size=205))
@example("a\n")
@example("\0")
@example("i" * 200)
@example("i" * 201)
def test_an_id_is_taken_exactly_where_the_pattern_says_so(id: str) -> None:
    call = {"type": "track", "event": "Wheel Spun", "userId": "42", "messageId": id}
    try:
        taken = draft_of_segment(call, {}, None).id == id
    except Rejected:
        taken = False
    assert taken == (re.fullmatch(ID_PATTERN.strip("^$"), id) is not None)

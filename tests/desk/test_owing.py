"""What requests let their askers expect is worked out once, and taken over from page to page."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from touchbook.api.desk.matters import Owing, matters_of, owed_to
from touchbook.policy import HOUR, Policies, Reply, Target
from touchbook.registers import OpenRequest

NOON = 1_772_452_800_000
STANDARD = Policies.standard()
AT_NIGHT = Policies(
    (
        replace(
            STANDARD.versions[0],
            reply=Reply(
                (
                    Target(HOUR, "working", channels=("email",), purposes=("support",)),
                    Target(2 * HOUR, channels=("email",), hours=(22 * 60, 6 * 60)),
                    Target(3 * HOUR, channels=("web_chat",)),
                ),
                8 * HOUR,
            ),
        ),
    )
)
requests = st.lists(
    st.builds(
        lambda n, channel, hours, purpose, messages: OpenRequest(
            f"t-{n}", channel, NOON - hours * HOUR, messages, f"{n:032x}", purpose
        ),
        st.integers(0, 40),
        st.sampled_from(["email", "web_chat", "store"]),
        st.integers(-1, 100),
        st.sampled_from([None, "support"]),
        st.integers(1, 3),
    ),
    max_size=20,
)
policies = st.sampled_from([STANDARD, AT_NIGHT])


@given(st.lists(st.tuples(requests, policies), min_size=1, max_size=4))
def test_what_was_known_before_changes_nothing_of_what_is_owed(
    pages: list[tuple[list[OpenRequest], Policies]],
) -> None:
    known: Owing | None = None
    for asked, by in pages:
        known = Owing.of(asked, by, known)
        assert list(known.owed) == [owed_to(one, by) for one in asked]
        assert matters_of([], asked, by, NOON, (), known) == matters_of([], asked, by, NOON)


def test_the_same_requests_are_not_looked_at_again() -> None:
    asked = [OpenRequest("t", "email", NOON, 1, "0" * 32)]
    known = Owing.of(asked, STANDARD)
    assert Owing.of(asked, STANDARD, known) is known
    assert Owing.of(asked, AT_NIGHT, known) is not known
    (taken,) = Owing.of([*asked], STANDARD, known).owed
    assert taken is known.owed[0]

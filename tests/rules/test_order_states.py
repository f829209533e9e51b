"""The table of order states, written down a second time as the business tells it, and compared."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_protocol.entities.orders import OrderStatus
from sync_protocol.rules.order_states import TRANSITIONS, Actor, may_amend, may_move

ALLOWED = {
    "capturer": {
        *("draft submitted", "held submitted", "confirmed submitted"),
        *("submitted cancelled", "held cancelled", "confirmed cancelled"),
    },
    "server": {
        *("submitted confirmed", "submitted held"),
        *("held confirmed", "held held"),
        *("confirmed confirmed", "confirmed held"),
    },
    "manager": {
        *("submitted cancelled", "held cancelled", "confirmed cancelled"),
        *("held confirmed", "held refused"),
        "confirmed completed",
    },
}
TERMINAL = {OrderStatus.COMPLETED, OrderStatus.REFUSED, OrderStatus.CANCELLED}
ON_THE_SERVER = set(OrderStatus) - {OrderStatus.DRAFT}


@pytest.mark.parametrize(("actor", "source", "target"), list(product(Actor, OrderStatus, OrderStatus)))
def test_an_order_moves_only_where_the_business_says(actor: Actor, source: OrderStatus, target: OrderStatus) -> None:
    assert may_move(actor, source, target) == (f"{source} {target}" in ALLOWED[actor])


def test_every_state_has_a_line_in_the_table() -> None:
    assert set(TRANSITIONS) == set(OrderStatus)


@given(start=st.sampled_from(sorted(TERMINAL)), moves=st.lists(st.tuples(st.sampled_from(Actor), st.sampled_from(OrderStatus))))
def test_what_has_ended_stays_ended(start: OrderStatus, moves: list[tuple[Actor, OrderStatus]]) -> None:
    status = start
    for actor, target in moves:
        status = target if may_move(actor, status, target) else status
    assert status is start


@given(moves=st.lists(st.sampled_from(OrderStatus)))
def test_a_device_cannot_confirm_complete_or_release_its_own_order(moves: list[OrderStatus]) -> None:
    status = OrderStatus.DRAFT
    for target in moves:
        status = target if may_move(Actor.CAPTURER, status, target) else status
    assert status in {OrderStatus.DRAFT, OrderStatus.SUBMITTED, OrderStatus.CANCELLED}


@pytest.mark.parametrize("status", OrderStatus)
def test_nobody_but_its_capturer_touches_a_draft_and_nothing_becomes_one(status: OrderStatus) -> None:
    assert not any(may_move(actor, status, OrderStatus.DRAFT) for actor in Actor)
    assert not any(may_move(actor, OrderStatus.DRAFT, status) for actor in Actor if actor is not Actor.CAPTURER)


@pytest.mark.parametrize("status", sorted(ON_THE_SERVER - TERMINAL))
def test_every_living_order_can_be_cancelled_and_amended(status: OrderStatus) -> None:
    assert may_move(Actor.CAPTURER, status, OrderStatus.CANCELLED)
    assert may_amend(status)


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_an_order_that_has_ended_is_not_amended(status: OrderStatus) -> None:
    assert not may_amend(status)

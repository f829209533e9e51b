"""The rows that both ends make of the same intent: what the device shows is what the server writes."""

from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_protocol.entities.customers import CustomerStatus
from sync_protocol.entities.orders import Channel, OrderStatus
from sync_protocol.intents import CreateCustomer, RequestedLine, SubmitOrder
from sync_protocol.rules.documents import decided_status, order_line_rows, order_row, prospect_rows, quotation
from sync_protocol.rules.order_review import DecidedLine, OrderDecision
from sync_protocol.rules.rounding import line_amount
from sync_protocol.verdicts import Code, Outcome
from sync_protocol.wire.codec import row_from_stored, stored_values
from tests.support.strategies import instances


@given(intent=instances(CreateCustomer))
def test_a_prospect_is_what_was_entered_and_waits_for_approval(intent: CreateCustomer) -> None:
    customer, address, contact = prospect_rows(intent)
    assert (customer.id, address.id, contact.id) == (intent.customer_id, intent.address_id, intent.contact_id)
    assert customer.status is CustomerStatus.PROSPECT
    assert address.customer_id == contact.customer_id == customer.id
    assert (customer.name, customer.territory_id, customer.note) == (intent.name, intent.territory_id, intent.note)
    assert (address.street, address.postal_code, address.city, address.country) == (
        *(intent.street, intent.postal_code, intent.city, intent.country),
    )
    assert (contact.name, contact.email, contact.phone) == (intent.contact_name, intent.email, intent.phone)


@given(intent=instances(CreateCustomer))
def test_whatever_may_be_asked_makes_rows_within_their_limits(intent: CreateCustomer) -> None:
    for row in prospect_rows(intent):
        assert row_from_stored(type(row), stored_values(row)) == row


@given(intent=instances(CreateCustomer), other=st.uuids())
def test_a_prospects_code_is_of_its_id_alone_so_that_both_ends_make_the_same(intent: CreateCustomer, other: UUID) -> None:
    renamed = msgspec.structs.replace(intent, name="Somebody else", address_id=other)
    assert prospect_rows(intent)[0].code == prospect_rows(renamed)[0].code
    assert prospect_rows(intent)[0].code == f"P-{str(intent.customer_id)[-12:].upper()}"


@given(lines=st.lists(instances(RequestedLine), min_size=1, max_size=6), currency=st.sampled_from(["EUR", "JPY", "BHD"]))
def test_a_quotation_is_what_the_device_quoted_with_nothing_promised(lines: list[RequestedLine], currency: str) -> None:
    digits = {"EUR": 2, "JPY": 0, "BHD": 3}[currency]
    decision = quotation(lines, currency)
    assert decision.outcome is Outcome.ACCEPTED
    assert [line.amount_minor for line in decision.lines] == [
        line_amount(each.unit_price, each.quantity, 0, digits) for each in lines
    ]
    assert decision.total_minor == sum(line.amount_minor for line in decision.lines)
    assert all((line.allocated, line.backordered) == (0, 0) for line in decision.lines)


def test_lines_are_numbered_from_one_in_the_order_that_was_asked() -> None:
    decided = [
        DecidedLine(
            line_id=UUID(int=n), product_id=UUID(int=50 + n), quantity=3, unit_price=7, amount_minor=9, allocated=1, backordered=2
        )
        for n in (8, 3, 5)
    ]
    rows = order_line_rows(UUID(int=1), UUID(int=2), decided)
    assert [(row.line_number, row.id.int, row.product_id.int) for row in rows] == [(1, 8, 58), (2, 3, 53), (3, 5, 55)]
    assert {(row.order_id.int, row.customer_id.int, row.quantity, row.unit_price) for row in rows} == {(1, 2, 3, 7)}
    assert {(row.amount_minor, row.allocated, row.backordered, row.discount_basis_points) for row in rows} == {(9, 1, 2, 0)}


@given(intent=instances(SubmitOrder), total=st.integers(0, 10**15))
def test_the_header_has_the_decisions_total_and_what_was_entered(intent: SubmitOrder, total: int) -> None:
    decision = OrderDecision(outcome=Outcome.HELD, codes=(Code.CUSTOMER_ON_HOLD, Code.PRICE_CHANGED), total_minor=total)
    row = order_row(
        intent,
        decision,
        number="R1-000001",
        channel=Channel.REP,
        status=OrderStatus.HELD,
        captured_at_ms=1,
        time_zone="Europe/Amsterdam",
        received_at_ms=2,
        rep_id=UUID(int=3),
        stock_location_id=UUID(int=4),
    )
    assert (row.subtotal_minor, row.tax_minor, row.freight_minor, row.total_minor) == (total, 0, 0, total)
    assert (row.id, row.customer_id, row.currency) == (intent.order_id, intent.customer_id, intent.currency)
    assert (row.address_id, row.purchase_order_number, row.note) == (intent.address_id, intent.purchase_order_number, intent.note)
    assert (row.number, row.hold_code, row.revision, row.reason) == ("R1-000001", Code.CUSTOMER_ON_HOLD, 0, "")
    assert (row.captured_at_ms, row.received_at_ms) == (1, 2)
    assert row_from_stored(type(row), stored_values(row)) == row


@pytest.mark.parametrize("outcome", [Outcome.ACCEPTED, Outcome.ACCEPTED_WITH_CHANGES])
def test_an_accepted_order_is_confirmed(outcome: Outcome) -> None:
    assert decided_status(OrderDecision(outcome=outcome)) is OrderStatus.CONFIRMED


def test_a_held_order_is_held_and_a_rejected_one_stands_nowhere() -> None:
    assert decided_status(OrderDecision(outcome=Outcome.HELD)) is OrderStatus.HELD
    with pytest.raises(AssertionError):
        decided_status(OrderDecision(outcome=Outcome.REJECTED))

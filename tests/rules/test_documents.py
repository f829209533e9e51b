"""The rows that both ends make of the same intent: what the device shows is what the server writes."""

from fractions import Fraction
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sync_protocol.entities.customers import CustomerStatus
from sync_protocol.entities.orders import Channel, OrderStatus, PriceSource
from sync_protocol.entities.pricing import TaxTreatment
from sync_protocol.intents import CreateCustomer, QuotedGift, RequestedLine, SubmitOrder
from sync_protocol.rules.documents import (
    decided_status,
    decided_totals,
    order_line_rows,
    order_row,
    prospect_rows,
    quoted_line_rows,
    quoted_totals,
)
from sync_protocol.rules.order_review import DecidedLine, OrderDecision
from sync_protocol.rules.pricing.explanation import BasketPrice, LinePrice, TaxPart
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
def test_an_overlaid_order_is_what_the_device_quoted_with_nothing_promised(lines: list[RequestedLine], currency: str) -> None:
    digits = {"EUR": 2, "JPY": 0, "BHD": 3}[currency]
    rows = quoted_line_rows(UUID(int=1), UUID(int=2), currency, lines, ())
    for row, line in zip(rows, lines, strict=True):
        exact = Fraction(line.unit_price * line.quantity * 10**digits, 10_000 * line.per_quantity)
        assert (
            row.amount_minor == line.amount_minor
            if line.amount_minor is not None
            else abs(row.amount_minor - exact) <= Fraction(1, 2)
        )
        assert (row.id, row.product_id, row.quantity, row.unit_price) == (
            *(line.line_id, line.product_id, line.quantity, line.unit_price),
        )
        assert (row.allocated, row.backordered, row.tax_minor) == (0, 0, line.tax_minor)
    totals = quoted_totals(lines, currency)
    assert totals.subtotal_minor == sum(row.amount_minor for row in rows)
    assert totals.total_minor == totals.subtotal_minor + totals.tax_minor


@given(gift=instances(QuotedGift))
def test_a_quoted_gift_is_a_line_of_nothing_behind_the_others(gift: QuotedGift) -> None:
    line = RequestedLine(line_id=UUID(int=9), product_id=UUID(int=50), quantity=3, unit_price=7)
    goods, given_line = quoted_line_rows(UUID(int=1), UUID(int=2), "EUR", [line], [gift])
    assert (goods.line_number, given_line.line_number) == (1, 2)
    assert (given_line.id, given_line.product_id, given_line.quantity) == (gift.line_id, gift.product_id, gift.quantity)
    assert (given_line.unit_price, given_line.amount_minor, given_line.promotion_id) == (0, 0, gift.promotion_id)


LINE = LinePrice(
    line_id=UUID(int=8),
    product_id=UUID(int=58),
    quantity=3,
    pack_quantity=1,
    obstacle=None,
    source=PriceSource.BASE,
    rule_id=UUID(int=70),
    unit_price=7,
    per_quantity=1,
    tax_treatment=TaxTreatment.EXCLUSIVE,
    candidates=(),
    gross_minor=12,
    steps=(),
    missed=(),
    discount_minor=2,
    order_discount_minor=1,
    amount_minor=9,
    tax_code="standard",
    tax_jurisdiction="NL",
    tax_exemption_id=None,
    taxes=(TaxPart(rule_id=UUID(int=71), name="VAT", rate_ppm=210_000, amount_minor=2),),
    tax_minor=2,
    total_minor=11,
    quantities=(),
    gap=None,
    holds=(),
)
GIFT = replace(LINE, line_id=UUID(int=5), source=PriceSource.GIFT, rule_id=UUID(int=72), unit_price=0, amount_minor=0, taxes=())


def price_of(lines: tuple[LinePrice, ...] = (), gifts: tuple[LinePrice, ...] = (), total: int = 0) -> BasketPrice:
    return BasketPrice(
        customer_id=UUID(int=2),
        address_id=None,
        currency="EUR",
        nearest_currency="EUR",
        instant_ms=3,
        lists=(),
        lines=lines,
        gifts=gifts,
        offers=(),
        obstacle=None,
        order_minimum_gap=None,
        goods_minor=total,
        tax_minor=0,
        freight_minor=0,
        total_minor=total,
    )


def decision_of(outcome: Outcome, price: BasketPrice | None = None) -> OrderDecision:
    return OrderDecision(outcome=outcome, price=price or price_of())


def test_lines_are_numbered_from_one_in_the_order_that_was_asked_and_keep_where_their_price_came_from() -> None:
    quoted = RequestedLine(line_id=UUID(int=8), product_id=UUID(int=58), quantity=3, unit_price=6)
    lines = (
        DecidedLine(price=LINE, allocated=1, backordered=2, quoted=quoted),
        DecidedLine(price=replace(LINE, line_id=UUID(int=3)), allocated=0, backordered=3),
        DecidedLine(price=GIFT, allocated=0, backordered=3),
    )
    rows = order_line_rows(UUID(int=1), UUID(int=2), OrderDecision(outcome=Outcome.ACCEPTED, price=price_of(), lines=lines))
    assert [(row.line_number, row.id.int) for row in rows] == [(1, 8), (2, 3), (3, 5)]
    assert {(row.order_id.int, row.customer_id.int, row.quantity, row.product_id.int) for row in rows} == {(1, 2, 3, 58)}
    first, second, gift = rows
    assert (first.unit_price, first.amount_minor, first.discount_minor, first.order_discount_minor) == (7, 9, 2, 1)
    assert (first.tax_minor, first.tax_rate_ppm, first.tax_code, first.tax_jurisdiction) == (2, 210_000, "standard", "NL")
    assert (first.price_source, first.price_rule_id, first.promotion_id) == (PriceSource.BASE, UUID(int=70), None)
    assert (first.quoted_unit_price, first.quoted_amount_minor, second.quoted_unit_price) == (6, 0, None)
    assert (first.allocated, first.backordered) == (1, 2)
    assert (gift.price_source, gift.price_rule_id, gift.promotion_id) == (PriceSource.GIFT, None, UUID(int=72))


@given(intent=instances(SubmitOrder), total=st.integers(0, 10**15))
def test_the_header_has_the_decisions_total_and_what_was_entered(intent: SubmitOrder, total: int) -> None:
    row = order_row(
        intent,
        decided_totals(decision_of(Outcome.HELD, price_of(total=total))),
        number="R1-000001",
        channel=Channel.REP,
        status=OrderStatus.HELD,
        captured_at_ms=1,
        time_zone="Europe/Amsterdam",
        received_at_ms=2,
        priced_at_ms=3,
        rep_id=UUID(int=3),
        stock_location_id=UUID(int=4),
        hold_code=Code.CUSTOMER_ON_HOLD,
    )
    assert (row.subtotal_minor, row.tax_minor, row.freight_minor, row.total_minor) == (total, 0, 0, total)
    assert (row.id, row.customer_id, row.currency) == (intent.order_id, intent.customer_id, intent.currency)
    assert (row.address_id, row.purchase_order_number, row.note) == (intent.address_id, intent.purchase_order_number, intent.note)
    assert (row.number, row.hold_code, row.revision, row.reason) == ("R1-000001", Code.CUSTOMER_ON_HOLD, 0, "")
    assert (row.captured_at_ms, row.received_at_ms, row.priced_at_ms) == (1, 2, 3)
    assert row_from_stored(type(row), stored_values(row)) == row


@pytest.mark.parametrize("outcome", [Outcome.ACCEPTED, Outcome.ACCEPTED_WITH_CHANGES])
def test_an_accepted_order_is_confirmed(outcome: Outcome) -> None:
    assert decided_status(decision_of(outcome)) is OrderStatus.CONFIRMED


def test_a_held_order_is_held_and_a_rejected_one_stands_nowhere() -> None:
    assert decided_status(decision_of(Outcome.HELD)) is OrderStatus.HELD
    with pytest.raises(AssertionError):
        decided_status(decision_of(Outcome.REJECTED))

"""An order that names a quote, by its device: it buys what was agreed and no more, and the quote is its customer's."""

from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from server.customers.models import CustomerModel
from server.identity.principals import Role
from server.orders.models import OrderLineModel
from server.pricing.models import AgreedPriceModel
from server.quotes.models import NegotiatedQuoteModel, NegotiatedQuoteRoundModel
from sync_protocol.entities.customers import CustomerStatus
from sync_protocol.intents import AmendOrder, CancelOrder, RequestedLine, RequestQuote, SubmitOrder, WantedQuoteLine
from sync_protocol.verdicts import Code, Outcome
from tests.support.office import PRICE, START_MS, Office, Tablet

AGREED = 10_0000
QUANTITY = 50


class Deal:
    """A quote that the office took as the rep wanted it."""

    def __init__(self, office: Office, tablet: Tablet) -> None:
        self.office, self.tablet = office, tablet
        self.quote_id, self.order_id = office.ids.new(), office.ids.new()

    def request(self) -> RequestQuote:
        line = WantedQuoteLine(
            line_id=self.office.ids.new(), product_id=self.office.product, quantity=QUANTITY, wanted_unit_price=AGREED
        )
        return RequestQuote(
            quote_id=self.quote_id,
            number=f"{self.tablet.enrolment.number_prefix}-Q000001",
            customer_id=self.office.customer,
            currency="EUR",
            lines=(line,),
        )

    async def agree(self) -> None:
        assert (await self.tablet.push(self.request())).outcome is Outcome.ACCEPTED
        body = {"revision": 0, "valid_until_ms": START_MS + 7_200_000}
        path = f"/negotiated-quotes/{self.quote_id}/acceptance"
        response = await self.office.client.post(path, headers=self.office.as_(Role.MANAGER), json=body)
        assert response.status_code == 200, response.text

    def lines(self, quantity: int) -> tuple[RequestedLine, ...]:
        line_id = self.office.ids.new()
        return (RequestedLine(line_id=line_id, product_id=self.office.product, quantity=quantity, unit_price=AGREED),)

    def order(self, customer_id: UUID | None = None) -> SubmitOrder:
        return SubmitOrder(
            order_id=self.order_id,
            number=f"{self.tablet.enrolment.number_prefix}-000001",
            customer_id=customer_id or self.office.customer,
            currency="EUR",
            lines=self.lines(QUANTITY),
            quote_id=self.quote_id,
        )


@pytest.fixture
async def deal(office: Office) -> Deal:
    return Deal(office, await office.enrol())


async def one(office: Office, query: sa.Select[Any]) -> Any:
    async with office.database.read() as session:
        return (await session.execute(query)).scalar_one()


async def test_an_amended_order_buys_no_more_than_was_agreed_and_keeps_what_fits(office: Office, deal: Deal) -> None:
    await deal.agree()
    assert (await deal.tablet.push(deal.order())).outcome is Outcome.ACCEPTED
    price, left = sa.select(OrderLineModel.unit_price), sa.select(AgreedPriceModel.remaining_quantity)
    assert (await one(office, price), await one(office, left)) == (AGREED, 0)
    more = AmendOrder(order_id=deal.order_id, revision=0, lines=deal.lines(QUANTITY + 1))
    assert Code.PRICE_CHANGED in (await deal.tablet.push(more)).codes
    assert (await one(office, price), await one(office, left)) == (PRICE, QUANTITY)
    again = AmendOrder(order_id=deal.order_id, revision=1, lines=deal.lines(QUANTITY))
    assert (await deal.tablet.push(again)).outcome is Outcome.ACCEPTED
    assert (await one(office, price), await one(office, left)) == (AGREED, 0)
    assert await one(office, sa.select(NegotiatedQuoteModel.status)) == "ordered"


async def test_a_quote_is_not_ordered_by_another_customer(office: Office, deal: Deal) -> None:
    await deal.agree()
    assert (await deal.tablet.push(deal.order(office.stranger))).codes == (Code.UNKNOWN_QUOTE,)
    assert await one(office, sa.select(NegotiatedQuoteModel.status)) == "accepted"


async def test_a_closed_customer_asks_for_nothing_and_orders_nothing_that_was_agreed(office: Office, deal: Deal) -> None:
    await deal.agree()
    async with office.database.write() as session:
        await session.execute(
            sa.update(CustomerModel).where(CustomerModel.id == office.customer).values(status=CustomerStatus.CLOSED)
        )
    assert (await deal.tablet.push(Deal(office, deal.tablet).request())).codes == (Code.CUSTOMER_CLOSED,)
    assert (await deal.tablet.push(deal.order())).codes == (Code.CUSTOMER_CLOSED,)
    assert await one(office, sa.select(AgreedPriceModel.remaining_quantity)) == QUANTITY


async def test_every_step_of_an_order_is_a_round_of_its_quote(office: Office, deal: Deal) -> None:
    await deal.agree()
    await deal.tablet.push(deal.order())
    assert (await deal.tablet.push(CancelOrder(order_id=deal.order_id))).outcome is Outcome.ACCEPTED
    assert (await deal.tablet.push(CancelOrder(order_id=deal.order_id))).outcome is Outcome.REJECTED
    async with office.database.read() as session:
        rounds = sa.select(NegotiatedQuoteRoundModel.revision, NegotiatedQuoteRoundModel.status)
        found = (await session.execute(rounds.order_by(NegotiatedQuoteRoundModel.revision))).all()
    assert [tuple(each) for each in found] == [(0, "requested"), (1, "accepted"), (2, "ordered"), (3, "accepted")]
    assert await one(office, sa.select(NegotiatedQuoteModel.revision)) == 3
    assert await one(office, sa.select(AgreedPriceModel.remaining_quantity)) == QUANTITY

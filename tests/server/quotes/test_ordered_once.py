"""However often and in whatever order a quote is ordered and given back: one order at a time, of what was agreed and no more."""

import asyncio
from random import Random
from typing import Any
from uuid import UUID

import httpx2
import pytest
import sqlalchemy as sa

from server.identity.principals import Role
from server.orders.models import OrderLineModel, OrderModel
from server.pricing.models import AgreedPriceModel
from tests.support.office import START_MS, Office

AGREED = 10_0000
QUANTITY = 10
TRIALS = 8


async def post(office: Office, role: Role, path: str, **body: Any) -> httpx2.Response:
    return await office.client.post(path, headers=office.as_(role), json=body)


async def agree(office: Office, customer_id: UUID) -> str:
    """The path of a quote that the office asked for and took; orders of who is on hold are held, and can be refused."""
    line = {"product_id": str(office.product), "quantity": QUANTITY, "wanted_unit_price": AGREED}
    body = {"currency": "EUR", "customer_id": str(customer_id), "lines": [line]}
    asked = await post(office, Role.MANAGER, "/negotiated-quotes", **body)
    path = f"/negotiated-quotes/{asked.json()['id']}"
    taken = await post(office, Role.MANAGER, f"{path}/acceptance", revision=0, valid_until_ms=START_MS + 7_200_000)
    assert taken.status_code == 200, taken.text
    return path


async def counted(office: Office) -> tuple[int, int]:
    """How many orders there are, and how much of what was agreed is left."""
    async with office.database.read() as session:
        orders = (await session.execute(sa.select(sa.func.count()).select_from(OrderModel))).scalar_one()
        left = (await session.execute(sa.select(AgreedPriceModel.remaining_quantity))).scalar_one()
    return orders, left or 0


async def test_a_quote_that_is_ordered_several_times_at_once_is_one_order(office: Office) -> None:
    path = await agree(office, office.customer)
    answers = await asyncio.gather(*(post(office, Role.BUYER, f"{path}/order") for _ in range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4, [answer.text for answer in answers]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await counted(office) == (1, 0)


@pytest.mark.parametrize("seed", range(3))
async def test_a_quote_has_one_order_at_a_time_and_what_is_given_back_is_all_there_is(office: Office, seed: int) -> None:
    await office.enrol()
    chance = Random(seed)
    path = await agree(office, office.on_hold)
    order: dict[str, Any] | None = None
    made = 0
    for _ in range(TRIALS):
        if order is not None and chance.random() < 0.5:
            refused = await post(office, Role.MANAGER, f"/orders/{order['id']}/refusal", reason="they do not pay")
            assert refused.status_code < 300, refused.text
            order = None
        else:
            answer = await post(office, Role.REP, f"{path}/order")
            assert answer.status_code == 200, answer.text
            made += order is None
            assert order is None or answer.json()["id"] == order["id"]
            order = answer.json()
        assert await counted(office) == (made, 0 if order is not None else QUANTITY)
        quote = (await office.client.get(path, headers=office.as_(Role.MANAGER))).json()
        assert quote["status"] == ("accepted" if order is None else "ordered")
        assert [each["revision"] for each in quote["rounds"]] == [*range(quote["revision"] + 1)]
    async with office.database.read() as session:
        prices = (await session.execute(sa.select(OrderLineModel.unit_price, OrderLineModel.quantity))).all()
    assert set(prices) == {(AGREED, QUANTITY)}

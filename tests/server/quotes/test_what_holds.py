"""What was agreed is what is paid, whatever the quote looks like; and what can never be paid is not agreed."""

from typing import Any

import pytest
import sqlalchemy as sa

from server.identity.principals import Role
from server.orders.models import OrderModel
from server.pricing.models import AgreedPriceModel
from server.quotes.jobs import expire_offers
from server.runtime.rows import insert_rows
from server.runtime.slices import JobContext
from sync_protocol.entities.pricing import AgreedPrice, AgreementSource
from sync_protocol.intents import CounterQuote, RequestQuote, WantedQuoteLine
from sync_protocol.verdicts import Code
from tests.support.office import START_MS, Office, problem

UNTIL = START_MS + 7_200_000
WANTED = 10_0000


async def post(office: Office, role: Role, path: str, **body: Any) -> Any:
    return await office.client.post(f"/negotiated-quotes{path}", headers=office.as_(role), json=body)


async def taken(office: Office, role: Role, path: str, **body: Any) -> dict[str, Any]:
    response = await post(office, role, path, **body)
    assert response.status_code < 300, response.text
    answer: dict[str, Any] = response.json()
    return answer


def wanted(office: Office, quantity: int = 100, price: int | None = WANTED, **more: Any) -> dict[str, Any]:
    return {"product_id": str(office.product), "quantity": quantity, "wanted_unit_price": price} | more


async def agreed_on(office: Office, **line: Any) -> dict[str, Any]:
    asked = await taken(office, Role.BUYER, "", currency="EUR", lines=[wanted(office, **line)])
    return await taken(office, Role.MANAGER, f"/{asked['id']}/acceptance", revision=0, valid_until_ms=UNTIL)


async def test_a_price_for_a_hundred_is_paid_for_hundreds(office: Office) -> None:
    quote = await agreed_on(office, quantity=300, per_quantity=100, price=1_000_0000)
    order = await taken(office, Role.BUYER, f"/{quote['id']}/order")
    assert order["subtotal_minor"] == quote["rounds"][-1]["amount_minor"] == 3_000_00


async def test_a_price_for_a_hundred_is_not_asked_for_half_of_them(office: Office) -> None:
    lines = [wanted(office, quantity=150, per_quantity=100)]
    refused = problem(await post(office, Role.BUYER, "", currency="EUR", lines=lines), 409, "quote_refused")
    assert refused["fields"]["verdict"] == "quantity_not_sold"
    assert refused["fields"]["lines[0]"].endswith("The nearest is 200.")
    asked = await taken(office, Role.BUYER, "", currency="EUR", lines=[wanted(office)])
    problem(await post(office, Role.BUYER, f"/{asked['id']}/counter", revision=0, lines=lines), 409, "quote_refused")


async def test_a_product_stands_on_one_line(office: Office) -> None:
    lines = [wanted(office), wanted(office, price=9_0000)]
    refused = problem(await post(office, Role.BUYER, "", currency="EUR", lines=lines), 409, "quote_refused")
    assert "one line" in refused["detail"]
    asked = await taken(office, Role.BUYER, "", currency="EUR", lines=[wanted(office)])
    problem(await post(office, Role.BUYER, f"/{asked['id']}/counter", revision=0, lines=lines), 409, "quote_refused")


async def test_an_order_of_a_quote_is_not_made_at_another_price(office: Office) -> None:
    first, second = await agreed_on(office, price=12_0000), await agreed_on(office, price=8_0000)
    problem(await post(office, Role.BUYER, f"/{second['id']}/order"), 409, "quote_overtaken")
    async with office.database.read() as session:
        assert (await session.execute(sa.select(sa.func.count()).select_from(OrderModel))).scalar_one() == 0
    await taken(office, Role.BUYER, f"/{first['id']}/order")
    assert (await taken(office, Role.BUYER, f"/{second['id']}/order"))["subtotal_minor"] == 800_00


@pytest.mark.parametrize("step", ["acceptance", "counter"])
@pytest.mark.parametrize("seen", [1, 2])
async def test_that_an_offer_ran_out_is_no_change_that_a_customer_must_look_at_first(office: Office, step: str, seen: int) -> None:
    asked = await taken(office, Role.BUYER, "", currency="EUR", lines=[wanted(office)])
    priced = [{"line_id": line["id"], "unit_price": WANTED} for line in asked["lines"]]
    await taken(office, Role.MANAGER, f"/{asked['id']}/offer", revision=0, lines=priced, valid_until_ms=UNTIL)
    office.clock.advance(3 * 3_600)
    await expire_offers(JobContext(database=office.database, clock=office.clock, retention_days=90))
    lines = {"lines": [wanted(office)]} if step == "counter" else {}
    problem(await post(office, Role.BUYER, f"/{asked['id']}/{step}", revision=0, **lines), 409, "quote_changed_meanwhile")
    answered = await taken(office, Role.BUYER, f"/{asked['id']}/{step}", revision=seen, **lines)
    assert (answered["status"], answered["revision"]) == ("countered", 3)


async def test_a_line_does_not_take_the_place_of_a_contract(office: Office) -> None:
    contract = AgreedPrice(
        id=office.ids.new(),
        customer_id=office.stranger,
        product_id=office.product,
        source=AgreementSource.CONTRACT,
        reference="C-1",
        currency="EUR",
        min_quantity=1,
        unit_price=1_0000,
    )
    async with office.database.write() as session:
        await insert_rows(session, [contract])
    tablet = await office.enrol()
    prefix = tablet.enrolment.number_prefix

    def line(line_id: Any) -> WantedQuoteLine:
        return WantedQuoteLine(line_id=line_id, product_id=office.product, quantity=1, wanted_unit_price=WANTED)

    def request(number: int, line_id: Any) -> RequestQuote:
        return RequestQuote(
            quote_id=office.ids.new(),
            number=f"{prefix}-Q{number:06d}",
            customer_id=office.customer,
            currency="EUR",
            lines=(line(line_id),),
        )

    assert (await tablet.push(request(1, contract.id))).codes == (Code.MALFORMED,)
    plain = request(2, office.ids.new())
    await tablet.push(plain)
    counter = CounterQuote(quote_id=plain.quote_id, revision=0, lines=(line(contract.id),))
    assert (await tablet.push(counter)).codes == (Code.MALFORMED,)
    async with office.database.read() as session:
        kept = (await session.execute(sa.select(AgreedPriceModel))).scalar_one()
    assert (kept.source, kept.unit_price) == ("contract", 1_0000)


async def test_the_office_asks_for_any_customer_and_a_rep_for_none_of_others(office: Office) -> None:
    body = {"currency": "EUR", "customer_id": str(office.stranger), "lines": [wanted(office)]}
    assert (await taken(office, Role.MANAGER, "", **body))["customer_id"] == str(office.stranger)
    for role in (Role.REP, Role.BUYER):
        problem(await post(office, role, "", **body), 404, "quoted_customer_not_found")
    nobody = body | {"customer_id": str(office.ids.new())}
    problem(await post(office, Role.MANAGER, "", **nobody), 404, "quoted_customer_not_found")


async def test_a_refused_order_gives_its_quote_back(office: Office) -> None:
    lines = [wanted(office)]
    asked = await taken(office, Role.MANAGER, "", currency="EUR", customer_id=str(office.on_hold), lines=lines)
    await taken(office, Role.MANAGER, f"/{asked['id']}/acceptance", revision=0, valid_until_ms=UNTIL)
    await office.enrol()
    order = await taken(office, Role.REP, f"/{asked['id']}/order")
    assert (order["status"], order["hold_code"]) == ("held", "customer_on_hold")
    path, body = f"/orders/{order['id']}/refusal", {"reason": "they do not pay"}
    refused = await office.client.post(path, headers=office.as_(Role.MANAGER), json=body)
    assert refused.status_code < 300, refused.text
    seen = await office.client.get(f"/negotiated-quotes/{asked['id']}", headers=office.as_(Role.MANAGER))
    assert (seen.json()["status"], seen.json()["order_id"]) == ("accepted", None)
    async with office.database.read() as session:
        assert (await session.execute(sa.select(AgreedPriceModel.remaining_quantity))).scalar_one() == 100

"""The way from a request to an order, through the API and from a device, and what may go wrong on it."""

import asyncio
from typing import Any
from uuid import UUID

import httpx2
import pytest
import sqlalchemy as sa

from server.identity.principals import Role
from server.pricing.models import AgreedPriceModel
from server.quotes.jobs import expire_offers
from server.quotes.models import NegotiatedQuoteModel
from server.runtime.rows import insert_rows
from server.runtime.slices import JobContext
from sync_protocol.entities.catalog import Product, ProductStatus
from sync_protocol.intents import AcceptQuote, CancelOrder, CounterQuote, RequestedLine, RequestQuote, SubmitOrder, WantedQuoteLine
from sync_protocol.verdicts import Code, Outcome
from tests.support.office import PRICE, SECOND_MS, START_MS, Office, Tablet, problem

HOUR_MS = 3_600 * SECOND_MS
WANTED = 10_0000
OFFERED = 11_0000
UNTIL = START_MS + 2 * HOUR_MS


class Talk:
    """One negotiation over HTTP, by the buyer and a manager."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.known: dict[str, Any] = {}

    async def post(self, role: Role, step: str, **body: Any) -> httpx2.Response:
        path = "/negotiated-quotes" if not step else f"/negotiated-quotes/{self.known['id']}/{step}"
        return await self.office.client.post(path, headers=self.office.as_(role), json=body)

    async def take(self, role: Role, step: str, **body: Any) -> dict[str, Any]:
        response = await self.post(role, step, **body)
        assert response.status_code < 300, response.text
        self.known = response.json()
        return self.known

    async def request(self, quantity: int = 100, **line: Any) -> dict[str, Any]:
        wanted = {"product_id": str(self.office.product), "quantity": quantity} | line
        return await self.take(Role.BUYER, "", currency="EUR", lines=[wanted])

    async def offer(self, price: int = OFFERED, until: int = UNTIL, **body: Any) -> dict[str, Any]:
        lines = [{"line_id": line["id"], "unit_price": price} for line in self.known["lines"]]
        return await self.take(Role.MANAGER, "offer", **({"lines": lines, "valid_until_ms": until} | self.seen() | body))

    def seen(self) -> dict[str, Any]:
        return {"revision": self.known["revision"]}


@pytest.fixture
def talk(office: Office) -> Talk:
    return Talk(office)


async def agreed(office: Office) -> list[AgreedPriceModel]:
    async with office.database.read() as session:
        return list((await session.execute(sa.select(AgreedPriceModel))).scalars())


async def test_a_buyer_gets_from_a_request_over_a_counter_to_an_order_at_the_agreed_price(office: Office, talk: Talk) -> None:
    asked = await talk.request(wanted_unit_price=9_0000)
    assert (asked["status"], asked["revision"], asked["channel"]) == ("requested", 0, "online")
    assert asked["lines"][0]["list_unit_price"] == PRICE
    await talk.offer(12_0000, note="for this quantity")
    lines = [{"product_id": str(office.product), "quantity": 200, "wanted_unit_price": WANTED}]
    countered = await talk.take(Role.BUYER, "counter", lines=lines, note="we take twice as many", **talk.seen())
    assert countered["valid_until"] is None
    await talk.offer(OFFERED)
    accepted = await talk.take(Role.BUYER, "acceptance", **talk.seen())
    assert [taken["status"] for taken in accepted["rounds"]] == ["requested", "offered", "countered", "offered", "accepted"]
    assert [taken["amount_minor"] for taken in accepted["rounds"]] == [90_000, 120_000, 200_000, 220_000, 220_000]
    assert [taken["revision"] for taken in accepted["rounds"]] == [*range(5)]
    assert {taken["taken_by"] for taken in accepted["rounds"]} == {"The buyer", "The manager"}
    (price,) = await agreed(office)
    assert (price.unit_price, price.min_quantity, price.remaining_quantity) == (OFFERED, 200, 200)
    assert (price.reference, price.valid_until_ms) == (accepted["number"], UNTIL)
    ordered = await talk.post(Role.BUYER, "order", purchase_order_number="PO-7")
    assert ordered.status_code == 200, ordered.text
    order = ordered.json()
    assert (order["subtotal_minor"], order["status"], order["channel"]) == (220_000, "confirmed", "online")
    assert (await talk.post(Role.BUYER, "order")).json()["id"] == order["id"], "asked twice it is one order"
    assert [each.remaining_quantity for each in await agreed(office)] == [0]
    seen = (await office.client.get(f"/negotiated-quotes/{accepted['id']}", headers=office.as_(Role.BUYER))).json()
    assert (seen["status"], seen["order_id"]) == ("ordered", order["id"])


async def test_the_office_takes_what_the_customer_wants(office: Office, talk: Talk) -> None:
    await talk.request(wanted_unit_price=WANTED)
    problem(await talk.post(Role.MANAGER, "acceptance", **talk.seen()), 400, "unfit_offer")
    await talk.take(Role.MANAGER, "acceptance", valid_until_ms=UNTIL, note="for once", **talk.seen())
    assert [each.unit_price for each in await agreed(office)] == [WANTED]


async def test_the_office_cannot_take_a_price_that_nobody_named(talk: Talk) -> None:
    await talk.request()
    refused = problem(await talk.post(Role.MANAGER, "acceptance", valid_until_ms=UNTIL, **talk.seen()), 400, "unfit_offer")
    assert "make an offer" in refused["fields"]["lines"]


async def test_a_refusal_ends_it_and_needs_a_reason(talk: Talk) -> None:
    await talk.request()
    problem(await talk.post(Role.MANAGER, "refusal", reason="  ", **talk.seen()), 400, "unfit_offer")
    refused = await talk.take(Role.MANAGER, "refusal", reason="not below cost", **talk.seen())
    assert (refused["status"], refused["answer"]) == ("refused", "not below cost")
    problem(await talk.post(Role.BUYER, "acceptance", **talk.seen()), 409, "quote_state_forbids")
    problem(await talk.post(Role.BUYER, "withdrawal"), 409, "quote_state_forbids")


async def test_an_acceptance_that_comes_too_late_is_kept_for_the_office(office: Office, talk: Talk) -> None:
    await talk.request()
    await talk.offer()
    office.clock.advance(3 * 3_600)
    late = await talk.take(Role.BUYER, "acceptance", **talk.seen())
    assert (late["status"], late["lines"][0]["wanted_unit_price"]) == ("countered", OFFERED)
    assert await agreed(office) == []
    await talk.take(Role.MANAGER, "acceptance", valid_until_ms=UNTIL + 9 * HOUR_MS, **talk.seen())
    assert [each.unit_price for each in await agreed(office)] == [OFFERED]


async def test_offers_run_out_by_themselves_and_the_customers_word_counts_even_then(office: Office, talk: Talk) -> None:
    await talk.request()
    offered = await talk.offer()
    job = JobContext(database=office.database, clock=office.clock, retention_days=90)
    await expire_offers(job)
    office.clock.advance(3 * 3_600)
    await expire_offers(job)
    await expire_offers(job)
    seen = (await office.client.get(f"/negotiated-quotes/{offered['id']}", headers=office.as_(Role.BUYER))).json()
    assert (seen["status"], seen["revision"], seen["rounds"][-1]["taken_by"]) == ("expired", 2, "Roadbook")
    late = await talk.take(Role.BUYER, "acceptance", revision=offered["revision"])
    assert late["status"] == "countered"


async def test_what_was_agreed_is_not_ordered_after_it_ran_out(office: Office, talk: Talk) -> None:
    await talk.request()
    await talk.offer()
    await talk.take(Role.BUYER, "acceptance", **talk.seen())
    office.clock.advance(3 * 3_600)
    problem(await talk.post(Role.BUYER, "order"), 409, "quote_ran_out")


async def test_what_another_order_bought_is_not_ordered_again(office: Office, talk: Talk) -> None:
    await talk.request(quantity=10)
    await talk.offer()
    await talk.take(Role.BUYER, "acceptance", **talk.seen())
    tablet = await office.enrol()
    await tablet.submit(office.customer, quantity=10)
    problem(await talk.post(Role.BUYER, "order"), 409, "quote_used_up")


async def test_of_two_steps_at_once_one_is_taken(office: Office, talk: Talk) -> None:
    await talk.request()
    await talk.offer()
    seen = talk.seen()
    lines = [{"product_id": str(office.product), "quantity": 1}]
    answers = await asyncio.gather(
        talk.post(Role.BUYER, "acceptance", **seen), talk.post(Role.BUYER, "counter", lines=lines, **seen)
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    async with office.database.read() as session:
        assert (await session.execute(sa.select(NegotiatedQuoteModel.revision))).scalar_one() == 2


async def test_an_offer_prices_every_line_once_and_holds_for_a_while(talk: Talk) -> None:
    await talk.request()
    (line,) = talk.known["lines"]
    priced = {"line_id": line["id"], "unit_price": OFFERED}
    for field, body in {
        "lines": {"lines": [priced, priced], "valid_until_ms": UNTIL},
        "valid_until_ms": {"lines": [priced], "valid_until_ms": START_MS},
    }.items():
        refused = problem(await talk.post(Role.MANAGER, "offer", **talk.seen(), **body), 400, "unfit_offer")
        assert refused["fields"].keys() == {field}
    strange = {"line_id": talk.known["id"], "unit_price": OFFERED}
    for lines in ([strange], [priced, strange]):
        body = {"lines": lines, "valid_until_ms": UNTIL}
        problem(await talk.post(Role.MANAGER, "offer", **talk.seen(), **body), 400, "unfit_offer")
    stale = {"revision": 5, "lines": [priced], "valid_until_ms": UNTIL}
    problem(await talk.post(Role.MANAGER, "offer", **stale), 409, "quote_changed_meanwhile")


async def test_an_offer_is_worth_no_more_than_an_order_may_be(talk: Talk) -> None:
    await talk.request(quantity=10_000_000)
    (line,) = talk.known["lines"]
    body = {"lines": [{"line_id": line["id"], "unit_price": 10**13}], "valid_until_ms": UNTIL}
    problem(await talk.post(Role.MANAGER, "offer", **talk.seen(), **body), 400, "unfit_offer")


async def test_a_quote_is_seen_by_its_company_its_rep_and_the_office_alone(office: Office, talk: Talk) -> None:
    await talk.request()
    path = f"/negotiated-quotes/{talk.known['id']}"
    problem(await office.client.get(path, headers=office.as_(Role.REP)), 404, "quote_not_found")
    problem(await talk.post(Role.REP, "acceptance", **talk.seen()), 404, "quote_not_found")
    problem(await talk.post(Role.REP, "order"), 404, "quote_not_found")
    await office.enrol()  # which puts the rep into the territory
    for role in (Role.REP, Role.BUYER, Role.MANAGER):
        assert (await office.client.get(path, headers=office.as_(role))).status_code == 200
        page = (await office.client.get("/negotiated-quotes?status=requested", headers=office.as_(role))).json()
        assert [item["id"] for item in page["items"]] == [talk.known["id"]]
    other = {"currency": "EUR", "customer_id": str(office.stranger), "lines": [{"product_id": str(office.product), "quantity": 1}]}
    problem(await talk.post(Role.BUYER, "", **other), 404, "quoted_customer_not_found")
    assert (await talk.post(Role.REP, "", **other)).status_code == 201
    page = (await office.client.get("/negotiated-quotes", headers=office.as_(Role.BUYER))).json()
    assert [item["id"] for item in page["items"]] == [talk.known["id"]]


async def test_quotes_are_listed_page_by_page_the_newest_first(office: Office, talk: Talk) -> None:
    made = [(await talk.request())["id"] for _ in range(5)]
    seen, after = [], ""
    while after is not None:
        path = f"/negotiated-quotes?limit=2&after={after}"
        page = (await office.client.get(path, headers=office.as_(Role.MANAGER))).json()
        seen += [item["id"] for item in page["items"]]
        after = page["next"]
    assert seen == made[::-1]
    problem(await office.client.get("/negotiated-quotes?after=x", headers=office.as_(Role.MANAGER)), 400, "cursor_invalid")


async def test_a_request_that_is_repeated_under_its_own_id_makes_one_quote(office: Office, talk: Talk) -> None:
    body = {"currency": "EUR", "quote_id": str(office.ids.new()), "lines": [{"product_id": str(office.product), "quantity": 1}]}
    first, again = [await talk.post(Role.BUYER, "", **body) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    other = body | {"customer_id": str(office.stranger)}
    assert (await talk.post(Role.MANAGER, "", **other)).json() == first.json(), "the office sees it, whomever it names"


async def test_the_id_of_another_companys_quote_is_just_in_use(office: Office, talk: Talk) -> None:
    lines = [{"product_id": str(office.product), "quantity": 1}]
    theirs = {"currency": "EUR", "quote_id": str(office.ids.new()), "customer_id": str(office.stranger), "lines": lines}
    assert (await talk.post(Role.MANAGER, "", **theirs)).status_code == 201
    mine = theirs | {"customer_id": str(office.customer)}
    refused = problem(await talk.post(Role.BUYER, "", **mine), 400, "unfit_quote")
    assert refused["fields"] == {"quote_id": "is in use; make one anew, or leave it out"}
    odd = mine | {"quote_id": str(UUID(int=7))}
    assert problem(await talk.post(Role.BUYER, "", **odd), 400, "unfit_quote")["fields"].keys() == {"quote_id"}


async def test_a_product_on_two_lines_is_named_where_it_stands_again(office: Office, talk: Talk) -> None:
    line = {"product_id": str(office.product), "quantity": 1}
    refused = problem(await talk.post(Role.BUYER, "", currency="EUR", lines=[line, line]), 409, "quote_refused")
    assert refused["fields"].keys() == {"verdict", "lines[1].product_id"}
    assert "app" not in refused["detail"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"currency": "USD"}, "currency_differs"),
        ({"lines": [{"product_id": str(UUID(int=7)), "quantity": 1}]}, "unknown_product"),
        ({"address_id": str(UUID(int=7))}, "unknown_address"),
    ],
)
async def test_what_no_order_could_be_made_of_is_refused(office: Office, talk: Talk, body: dict[str, Any], code: str) -> None:
    asked = {"currency": "EUR", "lines": [{"product_id": str(office.product), "quantity": 1}]} | body
    fields = problem(await talk.post(Role.BUYER, "", **asked), 409, "quote_refused")["fields"]
    assert fields["verdict"] == code
    assert set(fields) == {"verdict", *(["lines[0]"] if "lines" in body else [])}


async def test_a_product_without_a_price_can_be_quoted_for(office: Office, talk: Talk) -> None:
    unpriced = office.ids.new()
    async with office.database.write() as session:
        product = Product(id=unpriced, sku="NEW", name="New", description="", unit_id=office.unit, status=ProductStatus.ACTIVE)
        await insert_rows(session, [product])
    await talk.request(product_id=str(unpriced))
    assert talk.known["lines"][0]["list_unit_price"] is None
    await talk.offer()
    await talk.take(Role.BUYER, "acceptance", **talk.seen())
    assert (await talk.post(Role.BUYER, "order")).json()["subtotal_minor"] == 110_000


class Negotiator:
    """The side of a rep with a device, intent by intent."""

    def __init__(self, office: Office, tablet: Tablet) -> None:
        self.office, self.tablet = office, tablet
        self.quote_id, self.line_id = office.ids.new(), office.ids.new()

    def line(self, quantity: int = 50, wanted: int | None = WANTED) -> WantedQuoteLine:
        return WantedQuoteLine(line_id=self.line_id, product_id=self.office.product, quantity=quantity, wanted_unit_price=wanted)

    def request(self, number: int = 1) -> RequestQuote:
        return RequestQuote(
            quote_id=self.quote_id,
            number=f"{self.tablet.enrolment.number_prefix}-Q{number:06d}",
            customer_id=self.office.customer,
            currency="EUR",
            lines=(self.line(),),
        )

    def order(self, quantity: int = 50, quote_id: UUID | None = None) -> SubmitOrder:
        line = RequestedLine(line_id=self.office.ids.new(), product_id=self.office.product, quantity=quantity, unit_price=WANTED)
        self.tablet.orders_made += 1
        return SubmitOrder(
            order_id=self.office.ids.new(),
            number=f"{self.tablet.enrolment.number_prefix}-{self.tablet.orders_made:06d}",
            customer_id=self.office.customer,
            currency="EUR",
            lines=(line,),
            quote_id=quote_id or self.quote_id,
        )


@pytest.fixture
async def negotiator(office: Office) -> Negotiator:
    return Negotiator(office, await office.enrol())


async def agree(office: Office, negotiator: Negotiator, revision: int = 0) -> None:
    body = {"revision": revision, "valid_until_ms": UNTIL}
    path = f"/negotiated-quotes/{negotiator.quote_id}/acceptance"
    response = await office.client.post(path, headers=office.as_(Role.MANAGER), json=body)
    assert response.status_code == 200, response.text


async def test_a_cancelled_order_gives_its_quote_back_and_it_can_be_ordered_again(office: Office, negotiator: Negotiator) -> None:
    assert (await negotiator.tablet.push(negotiator.request())).outcome is Outcome.ACCEPTED
    await agree(office, negotiator)
    order = negotiator.order()
    assert (await negotiator.tablet.push(order)).outcome is Outcome.ACCEPTED
    again = await negotiator.tablet.push(negotiator.order())
    assert (again.codes, again.detail) == ((Code.QUOTE_STATE_FORBIDS,), "the quote is ordered")
    await negotiator.tablet.push(CancelOrder(order_id=order.order_id))
    assert [each.remaining_quantity for each in await agreed(office)] == [50]
    assert (await negotiator.tablet.push(negotiator.order())).outcome is Outcome.ACCEPTED
    assert [each.remaining_quantity for each in await agreed(office)] == [0]


async def test_an_order_of_a_quote_that_is_not_accepted_or_not_there_is_refused(negotiator: Negotiator) -> None:
    strange = await negotiator.tablet.push(negotiator.order())
    assert strange.codes == (Code.UNKNOWN_QUOTE,)
    await negotiator.tablet.push(negotiator.request())
    early = await negotiator.tablet.push(negotiator.order())
    assert (early.codes, early.detail) == ((Code.QUOTE_STATE_FORBIDS,), "the quote is requested")


async def test_what_follows_a_refused_request_says_so(office: Office, negotiator: Negotiator) -> None:
    refused = RequestQuote(
        quote_id=negotiator.quote_id,
        number=negotiator.request().number,
        customer_id=office.ids.new(),
        currency="EUR",
        lines=(negotiator.line(),),
    )
    assert (await negotiator.tablet.push(refused)).codes == (Code.UNKNOWN_CUSTOMER,)
    for following in (AcceptQuote(quote_id=negotiator.quote_id, revision=1), negotiator.order()):
        assert (await negotiator.tablet.push(following)).codes == (Code.DEPENDENCY_REFUSED,)


async def test_a_line_of_another_quote_is_not_taken_over(office: Office, negotiator: Negotiator) -> None:
    await negotiator.tablet.push(negotiator.request())
    other = Negotiator(office, negotiator.tablet)
    await other.tablet.push(other.request(2))
    counter = CounterQuote(quote_id=other.quote_id, revision=0, lines=(negotiator.line(),))
    assert (await other.tablet.push(counter)).codes == (Code.MALFORMED,)
    twice = RequestQuote(
        quote_id=office.ids.new(),
        number=f"{other.tablet.enrolment.number_prefix}-Q000003",
        customer_id=office.customer,
        currency="EUR",
        lines=(negotiator.line(),),
    )
    assert (await other.tablet.push(twice)).codes == (Code.MALFORMED,)


async def test_a_number_that_is_taken_is_changed(office: Office, negotiator: Negotiator) -> None:
    await negotiator.tablet.push(negotiator.request())
    other = Negotiator(office, negotiator.tablet)
    verdict = await other.tablet.push(other.request())
    assert verdict.outcome is Outcome.ACCEPTED_WITH_CHANGES
    assert verdict.changes[0].after == f"{other.request().number}-2"

"""Quotes on a device: what is refused here at once, and what is shown before the server has heard of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from client_sdk import BlockingOrderClient, OrderClient, WantedQuote
from client_sdk.errors import EmptyOrderError, InvalidEntryError, NotEnrolledError, OrderingError, UnknownRowError
from client_sdk.quote_errors import QuoteEntryError, QuoteStateError, QuoteUnpricedError, QuoteUsedUpError
from server.runtime.database import Database
from sync_protocol.entities.catalog import Product, ProductStatus
from sync_protocol.entities.orders import PriceSource
from sync_protocol.entities.pricing import AgreedPrice
from sync_protocol.entities.quotes import NegotiatedQuote, NegotiatedQuoteLine, QuoteStatus
from tests.support.world import World, make_id

OFFERED = 8_000
HOUR_MS = 3_600_000


@pytest.fixture
async def world(sqlite_database: Database) -> World:
    founded = await World.found(sqlite_database)
    await founded.change(Product, founded.company.products[5].id, status=ProductStatus.DISCONTINUED)
    return founded


@pytest.fixture
async def device(world: World, tmp_path: Path) -> AsyncIterator[OrderClient]:
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as opened:
        await opened.sync()
        yield opened


async def offered(world: World, device: OrderClient, *, priced: int = 2) -> NegotiatedQuote:
    """A quote of five of the first product and three of the second; an offer for the first of them so many."""
    first, second, *_ = world.company.products
    lines = [WantedQuote(first.id, 5), WantedQuote(second.id, 3)]
    made = await device.quotes.request(world.company.customers[0].id, lines)
    await device.sync()
    until_ms = world.clock.now_ms() + HOUR_MS
    for line in made.lines[:priced]:
        await world.change(NegotiatedQuoteLine, line.id, offered_unit_price=OFFERED)
    await world.change(NegotiatedQuote, made.quote.id, status=QuoteStatus.OFFERED, revision=1, valid_until_ms=until_ms)
    await device.sync()
    return (await device.quotes.open(made.quote.id)).quote


async def test_quotes_are_numbered_from_a_series_of_their_own_and_shown_at_once(world: World, device: OrderClient) -> None:
    customer, product = world.company.customers[0], world.company.products[0]
    draft = await device.draft_order(customer.id)
    await draft.add_line(product.id, 1)
    assert (await draft.submit()).order.number == "R1-000001"
    first = await device.quotes.request(customer.id, [WantedQuote(product.id, 40, 7_5000, 10)], note="  for the school ")
    second = await device.quotes.request(world.company.customers[1].id, [WantedQuote(product.id, 2)])
    assert [first.quote.number, second.quote.number] == ["R1-Q000001", "R1-Q000002"]
    assert (first.quote.currency, first.quote.note, first.amount_minor) == ("EUR", "for the school", 3_000)
    assert (first.standing, first.pending, first.is_unsent, second.amount_minor) == (QuoteStatus.REQUESTED, True, True, None)
    assert {view.quote.number for view in await device.quotes.list()} == {"R1-Q000001", "R1-Q000002"}
    assert await device.quotes.list(customer_id=customer.id) == [first]
    assert len(await device.quotes.list(limit=1)) == 1
    assert await device.quotes.open("R1-Q000001") == first
    with pytest.raises(UnknownRowError, match="no quote R9-Q000009"):
        await device.quotes.open("R9-Q000009")


async def test_what_cannot_be_quoted_names_its_field_and_saves_nothing(world: World, device: OrderClient) -> None:
    product, gone = world.company.products[0].id, world.company.products[5].id
    refused: list[tuple[list[WantedQuote], str, type[OrderingError], str]] = [
        ([], "", QuoteEntryError, "lines: 0 is not between"),
        ([WantedQuote(product, 0)], "", InvalidEntryError, r"lines\[1\]\.quantity"),
        ([WantedQuote(gone, 1), WantedQuote(product, 10_000_001)], "", InvalidEntryError, r"lines\[2\]\.quantity"),
        ([WantedQuote(product, 1, -1)], "", QuoteEntryError, r"lines\[1\]\.unit_price"),
        ([WantedQuote(product, 1, 1, 0)], "", InvalidEntryError, r"lines\[1\]\.per_quantity"),
        (
            [WantedQuote(product, 1), WantedQuote(gone, 1)],
            "",
            QuoteEntryError,
            r"lines\[2\]\.product_id: SKU-5 is not sold any more",
        ),
        ([WantedQuote(product, 15, 1, 10)], "", QuoteEntryError, r"lines\[1\]\.quantity: 15 is no multiple of the 10"),
        ([WantedQuote(product, 1), WantedQuote(product, 2)], "", QuoteEntryError, r"lines\[2\]\.product_id: .* on another line"),
        ([WantedQuote(make_id(9), 1)], "", UnknownRowError, "no product"),
        ([WantedQuote(product, 1)], "x" * 4_001, InvalidEntryError, "note: has more than 4000 characters"),
        ([WantedQuote(product, 10_000_000, 10**13)], "", InvalidEntryError, "total: .* split it"),
    ]
    customer = world.company.customers[0].id
    for lines, note, kind, words in refused:
        with pytest.raises(kind, match=words):
            await device.quotes.request(customer, lines, note=note)
    foreign = world.company.addresses[1].id
    with pytest.raises(UnknownRowError, match="no address of the customer"):
        await device.quotes.request(customer, [WantedQuote(product, 1)], address_id=foreign)
    with pytest.raises(UnknownRowError, match="no customer"):
        await device.quotes.request(make_id(9), [WantedQuote(product, 1)])
    assert (await device.quotes.list(), await device.outbox()) == ([], [])
    made = await device.quotes.request(customer, [WantedQuote(product, 1)])
    assert made.quote.number == "R1-Q000001", "what was refused took no number"
    with pytest.raises(QuoteEntryError, match="SKU-5"):
        await device.quotes.counter(made.quote.id, [WantedQuote(gone, 1)])
    assert await device.quotes.open(made.quote.id) == made


async def test_a_step_that_the_standing_does_not_allow_is_refused_with_what_can_be_done(world: World, device: OrderClient) -> None:
    product = world.company.products[0].id
    made = await device.quotes.request(world.company.customers[0].id, [WantedQuote(product, 1)])
    with pytest.raises(QuoteStateError, match="is requested and cannot become accepted: wait for the office"):
        await device.quotes.accept(made.quote.number)
    with pytest.raises(QuoteStateError, match="cannot become ordered"):
        await device.quotes.order(made.quote.number)
    withdrawn = await device.quotes.withdraw(made.quote.number, reason="too late")
    assert (withdrawn.standing, withdrawn.quote.note) == (QuoteStatus.WITHDRAWN, "too late")
    for act in (device.quotes.withdraw, device.quotes.accept, device.quotes.order):
        with pytest.raises(QuoteStateError, match=r"is withdrawn .*: ask for a new quote"):
            await act(made.quote.number)
    with pytest.raises(QuoteStateError, match="is withdrawn"):
        await device.quotes.counter(made.quote.number, [WantedQuote(product, 2)])


async def test_an_offer_without_a_price_for_each_line_is_not_accepted(world: World, device: OrderClient) -> None:
    quote = await offered(world, device, priced=1)
    with pytest.raises(QuoteUnpricedError, match="no offered price for SKU-1"):
        await device.quotes.accept(quote.id)


async def test_an_offer_that_ran_out_is_listed_as_expired(world: World, device: OrderClient) -> None:
    quote = await offered(world, device)
    world.clock.advance(HOUR_MS - 1)
    assert [view.standing for view in await device.quotes.list(standing=QuoteStatus.OFFERED)] == [QuoteStatus.OFFERED]
    world.clock.advance(1)
    assert await device.quotes.list(standing=QuoteStatus.OFFERED) == []
    (view,) = await device.quotes.list(standing=QuoteStatus.EXPIRED)
    assert (view.quote.id, view.standing, view.quote.status) == (quote.id, QuoteStatus.EXPIRED, QuoteStatus.OFFERED)


async def test_a_draft_of_a_quote_is_begun_once_and_says_where_the_agreed_price_is_not_reached(
    world: World, device: OrderClient
) -> None:
    quote = await offered(world, device)
    await device.quotes.accept(quote.id)
    draft = await device.quotes.order(quote.id)
    assert (await device.quotes.order(quote.number)).order_id == draft.order_id
    first, second = (await draft.view()).lines
    assert (first.quantity, first.unit_price, second.quantity, second.unit_price) == (5, OFFERED, 3, OFFERED)
    await draft.set_quantity(first.line_id, 4)
    changed = (await draft.view()).lines[0]
    assert changed.explanation is not None
    assert (changed.unit_price, changed.explanation.source) == (10_000, PriceSource.BASE)
    for line in (first, second):
        await draft.remove_line(line.line_id)
    with pytest.raises(EmptyOrderError):
        await draft.submit()
    await draft.discard()
    assert (await device.quotes.order(quote.id)).order_id != draft.order_id


async def test_what_is_used_up_cannot_be_ordered(world: World, device: OrderClient) -> None:
    quote = await offered(world, device)
    view = await device.quotes.accept(quote.id)
    await device.sync()
    await world.change(AgreedPrice, view.lines[0].id, remaining_quantity=4)
    await device.sync()
    with pytest.raises(QuoteUsedUpError, match="used up"):
        await device.quotes.order(quote.id)


async def test_a_draft_of_a_quote_and_its_order_survive_that_the_device_is_opened_anew(world: World, tmp_path: Path) -> None:
    path = tmp_path / "again.db"
    async with await world.enrolled_device("rep0", path) as opened:
        await opened.sync()
        quote = await offered(world, opened)
        await opened.quotes.accept(quote.id)
        draft = await opened.quotes.order(quote.id)
    async with await world.open_device(path) as opened:
        (seen,) = await opened.drafts()
        assert (seen.order_id, seen.quote_id, seen.lines[0].unit_price) == (draft.order_id, quote.id, OFFERED)
        await (await opened.draft(draft.order_id)).submit()
        shown = await opened.quotes.open(quote.id)
        assert (shown.standing, shown.quote.order_id, shown.is_unsent) == (QuoteStatus.ORDERED, draft.order_id, True)


def test_code_without_await_asks_through_the_same_door(tmp_path: Path) -> None:
    with BlockingOrderClient(tmp_path / "device.db") as client:
        assert client.call(client.device.quotes.list) == []
        with pytest.raises(NotEnrolledError):
            client.call(client.device.quotes.request, make_id(1), [WantedQuote(make_id(2), 1)])

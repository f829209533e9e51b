"""Negotiated quotes from a device and back: asked for on the road, offered by the office, accepted and ordered on the road."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from client_sdk import OrderClient, WantedQuote
from client_sdk.quote_errors import QuoteRanOutError, QuoteStateError
from client_sdk.quote_views import QuoteView
from server.runtime.database import Database
from sync_protocol.entities.orders import Order, OrderLine, OrderStatus, PriceSource
from sync_protocol.entities.pricing import AgreedPrice
from sync_protocol.entities.quotes import NegotiatedQuote, QuoteStatus
from sync_protocol.verdicts import Code, Outcome
from tests.support.management import Manager, managing
from tests.support.world import World

HOUR_MS = 3_600_000
WANTED, OFFERED = 7_000, 8_000


@pytest.fixture
async def world(database: Database) -> World:
    return await World.found(database)


@pytest.fixture
async def manager(world: World) -> AsyncIterator[Manager]:
    async with managing(world) as opened:
        yield opened


@pytest.fixture
async def device(world: World, tmp_path: Path) -> AsyncIterator[OrderClient]:
    async with await world.enrolled_device("REP0", tmp_path / "device.db") as opened:
        await opened.sync()
        yield opened


async def asked(device: OrderClient, world: World) -> QuoteView:
    """Five of the first product, and three of the second without a word on the price; the server knows of it."""
    first, second, *_ = world.company.products
    customer, address = world.company.customers[0], world.company.addresses[0]
    lines = [WantedQuote(first.id, 5, WANTED), WantedQuote(second.id, 3)]
    made = await device.quotes.request(customer.id, lines, address_id=address.id, note="for the school")
    await device.sync()
    return await device.quotes.open(made.quote.id)


async def offer(manager: Manager, world: World, view: QuoteView, price: int = OFFERED) -> dict[str, Any]:
    until_ms = world.clock.now_ms() + HOUR_MS
    lines = [{"line_id": str(line.id), "unit_price": price} for line in view.lines]
    path = f"/negotiated-quotes/{view.quote.id}/offer"
    return await manager.post(path, lines=lines, valid_until_ms=until_ms, revision=view.quote.revision, note="our best")


async def offered(device: OrderClient, world: World, manager: Manager) -> QuoteView:
    view = await asked(device, world)
    await offer(manager, world, view)
    await device.sync()
    return await device.quotes.open(view.quote.id)


async def test_a_quote_is_accepted_and_ordered_without_a_network_at_the_prices_of_both_ends(
    world: World, manager: Manager, device: OrderClient
) -> None:
    view = await offered(device, world, manager)
    assert (view.standing, view.quote.answer, view.amount_minor) == (QuoteStatus.OFFERED, "our best", 8 * 80)
    assert [each.status for each in view.rounds] == [QuoteStatus.REQUESTED, QuoteStatus.OFFERED]
    countered = await device.quotes.counter(view.quote.id, [WantedQuote(world.company.products[0].id, 6, WANTED)], note="six?")
    assert (countered.standing, countered.pending, countered.is_unsent) == (QuoteStatus.COUNTERED, True, True)
    await device.sync()
    again = await device.quotes.open(view.quote.number)
    assert (again.pending, again.lines[0].list_unit_price, again.lines[0].quantity) == (False, 10_000, 6)
    await offer(manager, world, again)
    await device.sync()
    accepted = await device.quotes.accept(view.quote.id)
    assert accepted.standing is QuoteStatus.ACCEPTED
    draft = await device.quotes.order(view.quote.id)
    seen = await draft.view()
    (line,) = seen.lines
    assert line.explanation is not None
    assert (line.unit_price, line.explanation.source, line.amount_minor) == (OFFERED, PriceSource.QUOTE, 480)
    assert (seen.quote_id, seen.address_id) == (view.quote.id, world.company.addresses[0].id)
    foretold = await draft.preview()
    order = await draft.submit()
    ordered = await device.quotes.open(view.quote.id)
    assert (ordered.standing, ordered.quote.order_id, ordered.is_unsent) == (QuoteStatus.ORDERED, order.order.id, True)
    report = await device.sync()
    assert [entry.verdict.outcome for entry in report.verdicts] == [Outcome.ACCEPTED] * 2
    here = (await device.order(order.order.id)).lines
    assert here[0] == await world.fetch(OrderLine, here[0].id)
    assert (here[0].unit_price, here[0].amount_minor, here[0].price_source) == (OFFERED, 480, PriceSource.QUOTE)
    assert here[0].price_rule_id == line.explanation.rule_id
    assert foretold.outcome is Outcome.ACCEPTED
    there = await world.fetch(NegotiatedQuote, view.quote.id)
    seen_quote = await device.quotes.open(view.quote.id)
    assert (seen_quote.quote, seen_quote.pending) == (there, False)
    assert there.status is QuoteStatus.ORDERED
    assert (await world.fetch(AgreedPrice, ordered.lines[0].id)).remaining_quantity == 0
    assert [each.revision for each in seen_quote.rounds] == [*range(6)]


async def test_a_cancelled_order_gives_its_quote_back_to_be_ordered_again(
    world: World, manager: Manager, device: OrderClient
) -> None:
    view = await offered(device, world, manager)
    await device.quotes.accept(view.quote.id)
    order = await (await device.quotes.order(view.quote.id)).submit()
    await device.sync()
    with pytest.raises(QuoteStateError, match="ordered"):
        await device.quotes.order(view.quote.id)
    await device.cancel_order(order.order.id)
    await device.sync()
    again = await (await device.quotes.order(view.quote.id)).submit()
    await device.sync()
    there = await world.fetch(Order, again.order.id)
    assert (there.status, there.subtotal_minor) == (OrderStatus.CONFIRMED, 8 * 80)


async def test_an_acceptance_that_comes_too_late_is_the_offices_to_decide_and_its_order_comes_back(
    world: World, manager: Manager, device: OrderClient
) -> None:
    view = await offered(device, world, manager)
    await device.quotes.accept(view.quote.id)
    draft = await device.quotes.order(view.quote.id)
    await draft.submit()
    world.clock.advance(2 * HOUR_MS)
    verdicts = (await device.sync()).verdicts
    assert [(entry.verdict.outcome, *entry.verdict.codes) for entry in verdicts] == [
        (Outcome.HELD, Code.QUOTE_EXPIRED),
        (Outcome.REJECTED, Code.QUOTE_STATE_FORBIDS),
    ]
    shown = await device.quotes.open(view.quote.id)
    assert shown.quote == await world.fetch(NegotiatedQuote, view.quote.id)
    assert (shown.standing, shown.pending) == (QuoteStatus.COUNTERED, False)
    assert [line.wanted_unit_price for line in shown.lines] == [OFFERED, OFFERED]
    returned = await draft.view()
    assert (returned.quote_id, returned.lines[0].unit_price) == (view.quote.id, 10_000)
    with pytest.raises(QuoteStateError, match="wait for the office"):
        await draft.submit()


async def test_an_acceptance_of_what_the_office_took_back_meanwhile_shows_what_the_office_did(
    world: World, manager: Manager, device: OrderClient
) -> None:
    view = await offered(device, world, manager)
    path = f"/negotiated-quotes/{view.quote.id}/refusal"
    await manager.post(path, reason="sold out", revision=view.quote.revision)
    await device.quotes.accept(view.quote.id)
    (entry,) = (await device.sync()).verdicts
    assert (entry.verdict.outcome, entry.verdict.codes) == (Outcome.REJECTED, (Code.QUOTE_CHANGED_MEANWHILE,))
    shown = await device.quotes.open(view.quote.id)
    assert (shown.standing, shown.quote.answer, shown.pending) == (QuoteStatus.REFUSED, "sold out", False)


async def test_an_offer_that_ran_out_is_not_accepted_here_and_what_was_agreed_not_ordered(
    world: World, manager: Manager, device: OrderClient
) -> None:
    view = await offered(device, world, manager)
    world.clock.advance(HOUR_MS)
    assert (await device.quotes.open(view.quote.id)).standing is QuoteStatus.EXPIRED
    with pytest.raises(QuoteRanOutError, match=r"held until .* UTC: counter it") as refused:
        await device.quotes.accept(view.quote.id)
    assert refused.value.valid_until_ms == view.quote.valid_until_ms
    assert await device.outbox() == []
    await device.quotes.counter(view.quote.id, [WantedQuote(view.lines[0].product_id, 5, OFFERED)])
    await device.sync()
    countered = await device.quotes.open(view.quote.id)
    assert (countered.standing, countered.pending) == (QuoteStatus.COUNTERED, False)
    await offer(manager, world, countered)
    await device.sync()
    await device.quotes.accept(view.quote.id)
    draft = await device.quotes.order(view.quote.id)
    world.clock.advance(HOUR_MS)
    for act in (draft.submit, lambda: device.quotes.order(view.quote.id)):
        with pytest.raises(QuoteRanOutError):
            await act()


async def test_a_price_for_ten_is_ordered_in_packs_of_ten_at_the_same_amount_on_both_ends(
    world: World, manager: Manager, device: OrderClient
) -> None:
    customer, product = world.company.customers[0], world.company.products[0]
    made = await device.quotes.request(customer.id, [WantedQuote(product.id, 20, 7_5555, 10)])
    await device.sync()
    await offer(manager, world, made, 7_7777)
    await device.sync()
    await device.quotes.accept(made.quote.id)
    order = await (await device.quotes.order(made.quote.id)).submit()
    assert [(line.unit_price, line.per_quantity, line.amount_minor) for line in order.lines] == [(7_7777, 10, 1_556)]
    (_, entry) = (await device.sync()).verdicts
    assert Code.PRICE_CHANGED not in entry.verdict.codes
    (line,) = (await device.order(order.order.id)).lines
    assert (line.unit_price, line.per_quantity, line.amount_minor, line.price_source) == (7_7777, 10, 1_556, PriceSource.QUOTE)

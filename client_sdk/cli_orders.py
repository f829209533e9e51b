"""The commands about orders: take one, change it, mend it, look at them."""

from collections.abc import Iterable
from contextlib import suppress
from uuid import UUID

import click

from client_sdk.catalog import OrderView
from client_sdk.cli_command import Lines, command, lines_argument, products_of
from client_sdk.cli_draft import show_draft
from client_sdk.cli_screen import Screen
from client_sdk.cli_subjects import GONE_CUSTOMER
from client_sdk.client import OrderClient
from client_sdk.draft_view import DraftState, DraftView
from client_sdk.errors import CustomerGoneError, RoadbookError, UnknownRowError
from client_sdk.order_draft import OrderDraft
from client_sdk.wanted import WantedLine
from sync_protocol.entities.catalog import Product
from sync_protocol.entities.customers import Customer
from sync_protocol.entities.orders import OrderStatus


@command(
    "roadbook device order RAN-001 P130-04:10 H475-07 --po PO4711 --note 'Before 7:30'",
    "roadbook device order RAN-001 P130-04:24/6 H475-07:10-5% --reason 'As agreed with Bos' --preview",
)
@click.argument("customer")
@lines_argument
@click.option("--note", default="", help="For the office and the warehouse.")
@click.option("--po", default="", help="The customer's own purchase order number.")
@click.option(
    "--preview", is_flag=True, help="Show what it comes to, what offers give and what is missing to more; submit nothing."
)
async def order(client: OrderClient, screen: Screen, *, customer: str, lines: Lines, note: str, po: str, preview: bool) -> None:
    """Write an order and submit it. Without a network it waits in the outbox until the next sync.

    A line is SKU:QTY; in packs of six SKU:QTY/6; at a price or a discount by hand SKU:QTY@12.50 or SKU:QTY-5%.
    """
    buyer = await client.customer(customer)
    wanted = await products_of(client, lines)
    draft = await client.draft_order(buyer.id)
    try:
        await _fill(draft, wanted)
        await draft.set_note(note)
        await draft.set_purchase_order_number(po)
        if preview:
            await _show_draft(client, screen, await draft.view())
        foretold = await draft.preview()
        if preview:
            await draft.discard()
        else:
            await show_order(client, screen, await draft.submit())
    except RoadbookError:
        # Nobody goes on with a draft that this command could not finish; it is typed again.
        await draft.discard()
        raise
    if not screen.as_json:
        screen.foretold(foretold)


async def _fill(draft: OrderDraft, wanted: Iterable[WantedLine]) -> None:
    for line in wanted:
        await draft.add_line(line.product_id, line.quantity, pack_quantity=line.pack_quantity, manual=line.manual)


@command(
    "roadbook device amend R17-000001 P130-04:5", "roadbook device amend R17-000001 P130-04:5 P131-02:10 --note 'Half for now'"
)
@click.argument("number")
@lines_argument
@click.option("--note", help="In place of the order's, for the office; an empty one takes it back.")
async def amend(client: OrderClient, screen: Screen, *, number: str, lines: Lines, note: str | None) -> None:
    """Give an order other lines, all of them anew, while it is not completed."""
    view = await client.order(number)
    await show_order(client, screen, await client.amend_order(view.order.id, await products_of(client, lines), note=note))


@command("roadbook device cancel R17-000001 --reason 'Ordered twice'")
@click.argument("number")
@click.option("--reason", default="", help="Why, for the office.")
async def cancel(client: OrderClient, screen: Screen, *, number: str, reason: str) -> None:
    """Cancel an order that is not completed."""
    view = await client.order(number)
    await show_order(client, screen, await client.cancel_order(view.order.id, reason=reason))


@command("roadbook device mend R17-000005 H477-08:3", "roadbook device mend R17-000005 H477-08:3 H493-01")
@click.argument("number")
@lines_argument
async def mend(client: OrderClient, screen: Screen, *, number: str, lines: Lines) -> None:
    """Submit an order again that the server rejected, with these lines in place of its own."""
    rejected = await _draft_of(client, number)
    if not await _customers(client, [rejected.customer_id]):
        raise CustomerGoneError(rejected.customer_id)
    wanted = await products_of(client, lines)
    draft = await client.draft(rejected.order_id)
    for line in rejected.lines:
        await draft.remove_line(line.line_id)
    await _fill(draft, wanted)
    await show_order(client, screen, await draft.submit())


@command("roadbook device drafts", "roadbook device drafts R17-000005", "roadbook device drafts --discard R17-000005", reads=True)
@click.argument("number", default="")
@click.option("--discard", metavar="NUMBER", default="", help="Throw the rejected order with this number away.")
async def drafts(client: OrderClient, screen: Screen, *, number: str = "", discard: str = "") -> None:
    """List orders that the server rejected, to be mended or thrown away, and any that were not submitted yet.

    With a number, show what that one comes to now, what offers give and what stands in its way.
    """
    if number:
        await _show_draft(client, screen, await _draft_of(client, number))
        return
    if discard:
        rejected = await _draft_of(client, discard)
        await (await client.draft(rejected.order_id)).discard()
    found = await client.drafts()
    if screen.as_json:
        screen.data(found)
    else:
        screen.drafts(found, await _whose(client, found))
        returned = [view.number for view in found if view.state is DraftState.RETURNED]
        if returned:
            screen.say(f"What one asked for, and what became of it: roadbook device journal {returned[0]}", "dim")


async def _whose(client: OrderClient, drafts: Iterable[DraftView]) -> dict[UUID, str]:
    """Whose each draft is, by the draft's order: of a customer that is gone, what the verdict says."""
    customers = await _customers(client, (view.customer_id for view in drafts))
    whose = {}
    for view in drafts:
        verdicts = await client.journal(limit=1, subject_id=view.order_id) if view.customer_id not in customers else []
        said = verdicts[0].verdict.detail if verdicts else ""
        whose[view.order_id] = customers[view.customer_id].name if view.customer_id in customers else said or GONE_CUSTOMER
    return whose


async def _draft_of(client: OrderClient, number: str) -> DraftView:
    for view in await client.drafts():
        if view.number == number:
            return view
    raise UnknownRowError("rejected order", number)


@command(
    "roadbook device orders",
    "roadbook device orders R17-000001",
    "roadbook device orders --customer RAN-001 --status held",
    reads=True,
)
@click.argument("number", default="")
@click.option("--customer", default="", help="Only those of this customer.")
@click.option("--status", type=click.Choice([str(status) for status in OrderStatus]), help="Only those that stand there.")
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="At most so many.")
async def orders(client: OrderClient, screen: Screen, *, number: str, customer: str, status: str | None, limit: int) -> None:
    """List orders, newest first, or open the one with this number."""
    if number:
        await show_order(client, screen, await client.order(number))
        return
    buyer_id = (await client.customer(customer)).id if customer else None
    found = await client.orders(customer_id=buyer_id, status=OrderStatus(status) if status else None, limit=limit)
    if screen.as_json:
        screen.data(found)
    else:
        screen.orders(found, await _customers(client, (view.order.customer_id for view in found)))


async def show_order(client: OrderClient, screen: Screen, view: OrderView) -> None:
    """An order as it stands on the device."""
    if screen.as_json:
        screen.data(view)
        return
    buyer = (await _customers(client, [view.order.customer_id])).get(view.order.customer_id)
    named = f"{buyer.name} ({buyer.code})" if buyer is not None else GONE_CUSTOMER
    screen.order(view, named, await _products(client, (line.product_id for line in view.lines)))


async def _show_draft(client: OrderClient, screen: Screen, view: DraftView) -> None:
    if screen.as_json:
        screen.data(view)
        return
    whose = (await _whose(client, [view]))[view.order_id]
    gifts = view.price.gifts if view.price is not None else ()
    show_draft(screen, view, whose, await _products(client, (gift.product_id for gift in gifts)))


async def _customers(client: OrderClient, ids: Iterable[UUID]) -> dict[UUID, Customer]:
    """Those that are on the device: one may have left its scope while a draft or an order of it is still here."""
    known = {}
    for customer_id in set(ids):
        with suppress(UnknownRowError):
            known[customer_id] = await client.customer(customer_id)
    return known


async def _products(client: OrderClient, ids: Iterable[UUID]) -> dict[UUID, Product]:
    """Products by id, without those that are not on the device any more."""
    products = {}
    for product_id in set(ids):
        try:
            products[product_id] = await client.product(product_id)
        except UnknownRowError:
            continue
    return products

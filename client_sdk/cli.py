"""`roadbook device …`: act as the app on a rep's tablet, from a terminal. It uses nothing but `OrderClient`."""

import asyncio
import functools
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from client_sdk.cli_screen import Screen
from client_sdk.cli_text import counted, instant_text
from client_sdk.client import OrderClient
from client_sdk.errors import NoPriceError, NotEnrolledError, RoadbookError, UnknownRowError
from client_sdk.views import JournalEntry, OrderView, SyncProgress, SyncReport
from sync_protocol.entities.catalog import Product
from sync_protocol.entities.orders import OrderLine, OrderStatus

_NOT_ENROLLED: Final = 3
_TRY_AGAIN: Final = 4

_GROUP_HELP = """Act as the app on a rep's device, offline and on.

The device is one file, given by --store or ROADBOOK_DEVICE_STORE. Every command works without a network, except enrol
and sync. Exit codes: 0 done, 1 refused (the message says what to do), 2 not understood, 3 not enrolled yet,
4 no answer (try again later; nothing is lost).
"""


def _examples(*lines: str) -> str:
    return "\b\n" + "\n".join(("Example:" if len(lines) == 1 else "Examples:", *(f"  {line}" for line in lines)))


@click.group(
    help=_GROUP_HELP,
    epilog=_examples(
        "export ROADBOOK_DEVICE_STORE=femke.db",
        "roadbook device enrol http://127.0.0.1:8321 K3QX-9FTR --name 'Femke on the road'",
        "roadbook device sync",
        "roadbook device search 'press elbow 22'",
        "roadbook device order RAN-001 130-04:10 --po PO4711",
    ),
)
@click.option(
    "--store",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="ROADBOOK_DEVICE_STORE",
    default=Path("roadbook-device.db"),
    show_default=True,
    show_envvar=True,
    help="The device's file; it is made where there is none.",
)
@click.pass_context
def device(context: click.Context, store: Path) -> None:
    context.obj = store
    # A terminal that cannot show an arrow shows a question mark; that is no reason to fail.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


class DeviceCommandError(click.ClickException):
    """An error of the library, as the command line ends with it."""

    def __init__(self, error: RoadbookError) -> None:
        super().__init__(str(error))
        self.exit_code = _NOT_ENROLLED if isinstance(error, NotEnrolledError) else _TRY_AGAIN if error.retry else 1


def _command(*examples: str) -> Callable[[Callable[..., Awaitable[None]]], click.Command]:
    """Make a command of an asynchronous function: it gets the open client and the screen before its own arguments."""

    def make(function: Callable[..., Awaitable[None]]) -> click.Command:
        @click.option("--json", "as_json", is_flag=True, help="Answer with one JSON value.")
        @click.pass_obj
        @functools.wraps(function)
        def run(store: Path, *, as_json: bool, **arguments: Any) -> None:
            asyncio.run(_act(store, function, Screen(as_json=as_json), arguments))

        return device.command(epilog=_examples(*examples))(run)

    return make


async def _act(store: Path, function: Callable[..., Awaitable[None]], screen: Screen, arguments: dict[str, Any]) -> None:
    try:
        async with await OrderClient.open(store) as client:
            await function(client, screen, **arguments)
    except RoadbookError as error:
        raise DeviceCommandError(error) from error


class LineArgument(click.ParamType):
    """`SKU:QUANTITY`, or a SKU alone for one of it."""

    name = "SKU:QTY"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        sku, colon, quantity = str(value).rpartition(":")
        if not colon:
            return str(value), 1
        if not sku or not quantity.isdecimal() or int(quantity) < 1:
            self.fail(f"{value!r} is not SKU:QUANTITY, such as 130-04:10", param, ctx)
        return sku, int(quantity)


_lines_argument = click.argument("lines", type=LineArgument(), nargs=-1, required=True, metavar="SKU:QTY...")


@_command(
    "roadbook device enrol http://127.0.0.1:8321 K3QX-9FTR",
    "roadbook device enrol https://orders.example.com K3QX-9FTR --name Tablet",
)
@click.argument("server_url")
@click.argument("code")
@click.option("--name", default="command line", show_default=True, help="What the office calls this device.")
async def enrol(client: OrderClient, screen: Screen, server_url: str, code: str, name: str) -> None:
    """Make this file the device of a user: with the server's address and a single-use code of a manager."""
    identity = await client.enrol(server_url, code, name)
    if screen.as_json:
        screen.data(await client.status())
        return
    screen.say(
        f"This is now a device of {identity.user_name} ({identity.role}). Its orders are numbered {identity.number_prefix}-000001 and on."
    )
    screen.say("Next: roadbook device sync", "dim")


@_command("roadbook device sync", "roadbook device sync --json")
async def sync(client: OrderClient, screen: Screen) -> None:
    """Send what waits, fetch what is new, and show the verdict of each order, line by line."""
    if screen.as_json:
        report = await client.sync()
        screen.data(report)
    else:
        report = await _sync_with_progress(client, screen)
        await _show_report(client, screen, report)
    if report.problem or not report.complete:
        raise click.exceptions.Exit(_TRY_AGAIN)


async def _sync_with_progress(client: OrderClient, screen: Screen) -> SyncReport:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen.console, disable=not screen.console.is_terminal) as progress:
        tasks: dict[str, TaskID] = {}

        def show(step: SyncProgress) -> None:
            if step.phase not in tasks:
                tasks[step.phase] = progress.add_task(str(step.phase))
            # The expectation is an estimate: a bar that passes its own end would look broken.
            progress.update(tasks[step.phase], completed=step.rows, total=max(step.rows_expected, step.rows) or None)

        return await client.sync(progress=show)


async def _show_report(client: OrderClient, screen: Screen, report: SyncReport) -> None:
    await _show_verdicts(client, screen, report.verdicts)
    if report.problem:
        screen.say(f"Not finished: {report.problem}", "bold red")
    else:
        screen.say(f"Received {counted(report.rows, 'row')}; up to date as of {instant_text(report.as_of_ms)}.")


async def _show_verdicts(client: OrderClient, screen: Screen, entries: Iterable[JournalEntry]) -> None:
    for entry in entries:
        currency, lines = "", dict[UUID, Product]()
        view = await _order_or_none(client, entry.order_number)
        if view is not None:
            currency = view.order.currency
            products = await _products(client, view.lines)
            lines = {line.id: products[line.product_id] for line in view.lines if line.product_id in products}
        screen.verdict(entry, currency, lines)


async def _order_or_none(client: OrderClient, number: str | None) -> OrderView | None:
    try:
        return await client.order(number) if number else None
    except UnknownRowError:
        return None


async def _products(client: OrderClient, lines: Iterable[OrderLine]) -> dict[UUID, Product]:
    """The lines' products, without those that are not on the device any more."""
    products = {}
    for product_id in {line.product_id for line in lines}:
        try:
            products[product_id] = await client.product(product_id)
        except UnknownRowError:
            continue
    return products


@_command("roadbook device search 'press elbow 22'", "roadbook device search thermostat --limit 5")
@click.argument("text")
@click.option("--limit", type=click.IntRange(1, 1_000), default=20, show_default=True, help="At most so many.")
async def search(client: OrderClient, screen: Screen, text: str, limit: int) -> None:
    """Find products by the beginnings of words in their name, or by SKU or barcode."""
    found = await client.search(text, limit=limit)
    screen.data(found) if screen.as_json else screen.products(found)


@_command("roadbook device customers", "roadbook device customers bakker --limit 5")
@click.argument("text", default="")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="At most so many.")
async def customers(client: OrderClient, screen: Screen, text: str, limit: int) -> None:
    """List your customers, or those whose name or code fits."""
    found = await client.customers(text, limit=limit)
    screen.data(found) if screen.as_json else screen.customers(found)


@_command("roadbook device price RAN-001 130-04", "roadbook device price RAN-001 130-04 25")
@click.argument("customer")
@click.argument("sku")
@click.argument("quantity", type=click.IntRange(min=1), default=1)
async def price(client: OrderClient, screen: Screen, customer: str, sku: str, quantity: int) -> None:
    """Quote a customer's own price for a quantity, and say how far the next break is."""
    buyer, product = await client.customer(customer), await client.product(sku)
    quote = await client.price(buyer.id, product.id, quantity)
    if quote is None:
        raise NoPriceError(product.sku)
    screen.data(quote) if screen.as_json else screen.price(product, buyer, quantity, quote)


@_command("roadbook device stock 130-04")
@click.argument("sku")
async def stock(client: OrderClient, screen: Screen, sku: str) -> None:
    """Show a product's stock at your locations, and as of when that is known."""
    product = await client.product(sku)
    views = await client.stock(product.id)
    screen.data(views) if screen.as_json else screen.stock(product, views)


@_command(
    "roadbook device order RAN-001 130-04:10", "roadbook device order RAN-001 130-04:10 475-07 --po PO4711 --note 'Before 7:30'"
)
@click.argument("customer")
@_lines_argument
@click.option("--note", default="", help="For the office and the warehouse.")
@click.option("--po", default="", help="The customer's own purchase order number.")
async def order(client: OrderClient, screen: Screen, customer: str, lines: Sequence[tuple[str, int]], note: str, po: str) -> None:
    """Write an order and submit it. Without a network it waits in the outbox until the next sync."""
    buyer = await client.customer(customer)
    wanted = [(await client.product(sku), quantity) for sku, quantity in lines]
    draft = await client.draft_order(buyer.id)
    try:
        for product, quantity in wanted:
            await draft.add_line(product.id, quantity)
        if note:
            await draft.set_note(note)
        if po:
            await draft.set_purchase_order_number(po)
        submitted = await draft.submit()
    except RoadbookError:
        await draft.discard()
        raise
    await _show_order(client, screen, submitted)


async def _show_order(client: OrderClient, screen: Screen, view: OrderView) -> None:
    if screen.as_json:
        screen.data(view)
        return
    buyer = await client.customer(view.order.customer_id)
    screen.order(view, f"{buyer.name} ({buyer.code})", await _products(client, view.lines))


@_command("roadbook device amend R17-000001 130-04:5", "roadbook device amend R17-000001 130-04:5 131-02:10 --note 'Half for now'")
@click.argument("number")
@_lines_argument
@click.option("--note", default="", help="Why, for the office.")
async def amend(client: OrderClient, screen: Screen, number: str, lines: Sequence[tuple[str, int]], note: str) -> None:
    """Give an order other lines, all of them anew, while it is not completed."""
    view = await client.order(number)
    wanted = [((await client.product(sku)).id, quantity) for sku, quantity in lines]
    await client.amend_order(view.order.id, wanted, note=note)
    await _show_order(client, screen, await client.order(number))


@_command("roadbook device cancel R17-000001 --reason 'Ordered twice'")
@click.argument("number")
@click.option("--reason", default="", help="Why, for the office.")
async def cancel(client: OrderClient, screen: Screen, number: str, reason: str) -> None:
    """Cancel an order that is not completed."""
    view = await client.order(number)
    await client.cancel_order(view.order.id, reason=reason)
    await _show_order(client, screen, await client.order(number))


@_command("roadbook device orders", "roadbook device orders R17-000001", "roadbook device orders --customer RAN-001 --status held")
@click.argument("number", default="")
@click.option("--customer", default="", help="Only those of this customer.")
@click.option("--status", type=click.Choice([str(status) for status in OrderStatus]), help="Only those that stand there.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="At most so many.")
async def orders(client: OrderClient, screen: Screen, number: str, customer: str, status: str | None, limit: int) -> None:
    """List orders, newest first, or open the one with this number."""
    if number:
        await _show_order(client, screen, await client.order(number))
        return
    buyer = await client.customer(customer) if customer else None
    found = await client.orders(
        customer_id=buyer.id if buyer else None, status=OrderStatus(status) if status else None, limit=limit
    )
    if screen.as_json:
        screen.data(found)
        return
    buyers = {view.order.customer_id for view in found}
    screen.orders(found, {buyer_id: await client.customer(buyer_id) for buyer_id in buyers})


@_command("roadbook device status", "roadbook device status --json")
async def status(client: OrderClient, screen: Screen) -> None:
    """Say whose device this is, how fresh what it holds is, and what waits to be sent."""
    now = await client.status()
    screen.data(now) if screen.as_json else screen.status(now, str(click.get_current_context().obj))


@_command("roadbook device outbox")
async def outbox(client: OrderClient, screen: Screen) -> None:
    """List what waits to be sent, oldest first."""
    waiting = await client.outbox()
    screen.data(waiting) if screen.as_json else screen.outbox(waiting)


@_command("roadbook device journal", "roadbook device journal --limit 5 --json")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="At most so many.")
async def journal(client: OrderClient, screen: Screen, limit: int) -> None:
    """List the verdicts that came back, newest first, each with what to do about it."""
    entries = await client.journal(limit)
    if screen.as_json:
        screen.data(entries)
    else:
        await _show_verdicts(client, screen, entries)


@_command(
    "roadbook device prospect 'Warmte BV' --territory RAN --contact 'An Bos' --street 'Kade 1' --postal-code 1011 --city Amsterdam"
)
@click.argument("name")
@click.option("--contact", required=True, help="Whom to ask for.")
@click.option("--street", required=True)
@click.option("--postal-code", required=True)
@click.option("--city", required=True)
@click.option("--country", default="NL", show_default=True, help="Two letters, ISO 3166.")
@click.option("--territory", default="", help="The code of one of yours; not needed where you have one.")
@click.option("--email", default="")
@click.option("--phone", default="")
@click.option("--note", default="")
async def prospect(client: OrderClient, screen: Screen, *, territory: str, contact: str, **fields: str) -> None:
    """Take down a new customer on the road. Its orders wait until a manager approves it."""
    raise NotImplementedError

"""The commands about quotes: ask for prices, look at what was offered, answer it, order what was agreed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

import click
from rich.text import Text

from client_sdk.cli_command import LineArgument, command, examples
from client_sdk.cli_orders import show_order
from client_sdk.cli_screen import Screen, without_empty
from client_sdk.cli_subjects import GONE_CUSTOMER
from client_sdk.cli_text import instant_text, joined, words
from client_sdk.client import OrderClient
from client_sdk.errors import RoadbookError, UnknownRowError
from client_sdk.negotiating import WantedQuote
from client_sdk.quote_views import QuoteView
from sync_protocol.entities.catalog import Product
from sync_protocol.entities.quotes import NegotiatedQuoteLine, QuoteStatus
from sync_protocol.rules.pricing.line_text import TypedLine
from sync_protocol.rules.pricing.sentences import per_text
from sync_protocol.values import amount_text

_STYLES: Final = {
    QuoteStatus.REQUESTED: "cyan",
    QuoteStatus.OFFERED: "bold green",
    QuoteStatus.COUNTERED: "cyan",
    QuoteStatus.ACCEPTED: "green",
    QuoteStatus.REFUSED: "red",
    QuoteStatus.WITHDRAWN: "red",
    QuoteStatus.EXPIRED: "magenta",
}


class _WantedArgument(LineArgument):
    """`SKU:QUANTITY`, perhaps with the unit price that is wanted."""

    name = "SKU:QTY"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> TypedLine:
        line = super().convert(value, param, ctx)
        if line.pack_quantity is not None or line.discount_basis_points is not None:
            self.fail(f"{value!r} is not SKU:QUANTITY[@PRICE], such as P130-04:500 or P130-04:500@1.15", param, ctx)
        return line


_lines = click.argument("lines", type=_WantedArgument(), nargs=-1, required=True, metavar="SKU:QTY[@PRICE]...")
_number = click.argument("number")


@click.group(
    epilog=examples(
        "roadbook device quote request RAN-001 P130-04:500@1.15 H475-07:40 --note 'For the school in Zeist'",
        "roadbook device quote show R17-Q000001 --json",
        "roadbook device quote accept R17-Q000001",
        "roadbook device quote order R17-Q000001 --po PO4711",
    )
)
def quote() -> None:
    """Ask for prices, answer what the office offers, and order what was agreed.

    All of it works without a network: what is asked or answered waits in the outbox until the next sync.
    """


@command("roadbook device quote list", "roadbook device quote list --customer RAN-001 --status offered", reads=True)
@click.option("--customer", default="", help="Only those of this customer.")
@click.option("--status", type=click.Choice([str(status) for status in QuoteStatus]), help="Only those that stand there now.")
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="At most so many.")
async def list_quotes(client: OrderClient, screen: Screen, *, customer: str, status: str | None, limit: int) -> None:
    """List quotes as they stand now, newest first."""
    buyer_id = (await client.customer(customer)).id if customer else None
    standing = QuoteStatus(status) if status else None
    found = await client.quotes.list(customer_id=buyer_id, standing=standing, limit=limit)
    if screen.as_json:
        screen.data(found)
        return
    rows = [
        (
            view.quote.number,
            instant_text(view.quote.requested_at_ms),
            await _customer(client, view.quote.customer_id),
            _state(view),
            amount_text(view.amount_minor, view.quote.currency) if view.amount_minor is not None else "",
            joined((_until(view), _waiting(view))),
        )
        for view in found
    ]
    screen.table(("Number", "Asked", "Customer", "Status", ">Comes to", ""), rows, "No quotes.")


@command("roadbook device quote show R17-Q000001", reads=True)
@_number
async def show_quote(client: OrderClient, screen: Screen, *, number: str) -> None:
    """Show a quote with its lines and every round of it."""
    await _show(client, screen, await client.quotes.open(number))


@command("roadbook device quote request RAN-001 P130-04:500@1.15 H475-07:40 --note 'For the school in Zeist'")
@click.argument("customer")
@_lines
@click.option("--note", default="", help="For the office.")
async def request_quote(client: OrderClient, screen: Screen, *, customer: str, lines: Sequence[TypedLine], note: str) -> None:
    """Ask the office for prices. A line is SKU:QTY, or SKU:QTY@1.15 where the customer wants to pay so much for each."""
    buyer = await client.customer(customer)
    await _show(client, screen, await client.quotes.request(buyer.id, await _wanted(client, lines), note=note))


@command("roadbook device quote counter R17-Q000001 P130-04:600@1.10 --note 'If we take a pallet'")
@_number
@_lines
@click.option("--note", default="", help="For the office.")
async def counter_quote(client: OrderClient, screen: Screen, *, number: str, lines: Sequence[TypedLine], note: str) -> None:
    """Ask for other goods or prices, all lines anew."""
    await _show(client, screen, await client.quotes.counter(number, await _wanted(client, lines), note=note))


@command("roadbook device quote accept R17-Q000001")
@_number
async def accept_quote(client: OrderClient, screen: Screen, *, number: str) -> None:
    """Take what the office offers; it can be ordered at once."""
    await _show(client, screen, await client.quotes.accept(number))


@command("roadbook device quote withdraw R17-Q000001 --reason 'The school buys elsewhere'")
@_number
@click.option("--reason", default="", help="Why, for the office.")
async def withdraw_quote(client: OrderClient, screen: Screen, *, number: str, reason: str) -> None:
    """Give up what is not accepted yet."""
    await _show(client, screen, await client.quotes.withdraw(number, reason=reason))


@command("roadbook device quote order R17-Q000001 --po PO4711")
@_number
@click.option("--note", default="", help="For the office and the warehouse.")
@click.option("--po", default="", help="The customer's own purchase order number.")
async def order_quote(client: OrderClient, screen: Screen, *, number: str, note: str, po: str) -> None:
    """Order all that was agreed in an accepted quote, at its prices."""
    draft = await client.quotes.order(number)
    try:
        await draft.set_note(note)
        await draft.set_purchase_order_number(po)
        foretold = await draft.preview()
        view = await draft.submit()
    except RoadbookError:
        # Nobody goes on with what this command could not finish; what the server returned stays to be mended.
        if (await draft.view()).number is None:
            await draft.discard()
        raise
    await show_order(client, screen, view)
    if not screen.as_json:
        screen.foretold(foretold)


for _name, _command in {
    "list": list_quotes,
    "show": show_quote,
    "request": request_quote,
    "counter": counter_quote,
    "accept": accept_quote,
    "withdraw": withdraw_quote,
    "order": order_quote,
}.items():
    quote.add_command(_command, _name)


async def _wanted(client: OrderClient, lines: Sequence[TypedLine]) -> list[WantedQuote]:
    return [WantedQuote((await client.product(line.sku)).id, line.quantity, line.unit_price) for line in lines]


async def _customer(client: OrderClient, customer_id: UUID) -> str:
    with suppress(UnknownRowError):
        return (await client.customer(customer_id)).name
    return GONE_CUSTOMER


async def _products(client: OrderClient, lines: Iterable[NegotiatedQuoteLine]) -> dict[UUID, Product]:
    products = {}
    for line in lines:
        with suppress(UnknownRowError):
            products[line.product_id] = await client.product(line.product_id)
    return products


async def _show(client: OrderClient, screen: Screen, view: QuoteView) -> None:
    if screen.as_json:
        screen.data(view)
        return
    waiting, buyer = _waiting(view), await _customer(client, view.quote.customer_id)
    head = joined((_until(view), waiting))
    screen.console.print(Text.assemble((view.quote.number, "bold"), f" for {buyer}: ", _state(view), f" · {head}" if head else ""))
    products, currency = await _products(client, view.lines), view.quote.currency
    columns = ("SKU", "Product", ">Quantity", ">Else", ">Wanted", ">Offered")
    screen.table(*without_empty(columns, [_line(line, currency, products) for line in view.lines]), "It has no lines.")
    if view.amount_minor is not None:
        screen.say(f"It comes to {amount_text(view.amount_minor, currency)} without tax.")
    for text in _talk(view):
        screen.say(text, "dim")


def _state(view: QuoteView) -> Text:
    return Text(words(view.standing), _STYLES.get(view.standing, "default"))


def _until(view: QuoteView) -> str:
    return f"until {instant_text(view.quote.valid_until_ms)}" if view.quote.valid_until_ms is not None else ""


def _waiting(view: QuoteView) -> str:
    return "waiting to be sent" if view.is_unsent else "decided: see the journal" if view.pending else ""


def _line(line: NegotiatedQuoteLine, currency: str, products: Mapping[UUID, Product]) -> tuple[str, ...]:
    product = products.get(line.product_id)
    prices = (line.list_unit_price, line.wanted_unit_price, line.offered_unit_price)
    return (
        product.sku if product is not None else "",
        product.name if product is not None else "not on this device",
        f"{line.quantity:,}",
        *(per_text(price, line.per_quantity, currency) if price is not None else "" for price in prices),
    )


def _talk(view: QuoteView) -> Iterator[str]:
    """What was said, round by round, as far as the server knows; then what was said here last."""
    for each in view.rounds:
        amount = amount_text(each.amount_minor, view.quote.currency) if each.amount_minor is not None else ""
        yield joined((f"{instant_text(each.taken_at_ms)} {words(each.status)} by {each.taken_by}", amount, each.said))
    if view.pending and view.quote.note:
        yield f"Not sent yet: {view.quote.note}" if view.is_unsent else view.quote.note

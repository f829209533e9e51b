"""The commands that look something up, and the one that takes a prospect down. None needs a network."""

from typing import Final
from uuid import UUID

import click

from client_sdk.cli_command import PACK, command
from client_sdk.cli_screen import Screen
from client_sdk.client import OrderClient
from client_sdk.errors import NoPriceError
from client_sdk.ordering import NewCustomer
from client_sdk.wanted import WantedLine
from sync_protocol.rules.pricing.sentences import refusal_text

_LIMIT_MAX: Final = 500


@command("roadbook device search 'press elbow 22'", "roadbook device search thermostat --limit 5", reads=True)
@click.argument("text")
@click.option("--limit", type=click.IntRange(1, _LIMIT_MAX), default=20, show_default=True, help="At most so many.")
async def search(client: OrderClient, screen: Screen, text: str, limit: int) -> None:
    """Find products by the beginnings of words in their name, or by SKU or barcode."""
    found = await client.search(text, limit=limit)
    if screen.as_json:
        screen.data(found)
    else:
        screen.products(found)


@command("roadbook device customers", "roadbook device customers bakker --limit 5", reads=True)
@click.argument("text", default="")
@click.option("--limit", type=click.IntRange(1, _LIMIT_MAX), default=50, show_default=True, help="At most so many.")
async def customers(client: OrderClient, screen: Screen, text: str, limit: int) -> None:
    """List your customers, or those whose name or code contains the text."""
    found = await client.customers(text, limit=limit)
    if screen.as_json:
        screen.data(found)
    else:
        screen.customers(found)


@command(
    "roadbook device price RAN-001 P130-04 25", "roadbook device price RAN-001 P130-04 24 --pack 6 --explain --json", reads=True
)
@click.argument("customer")
@click.argument("sku")
@click.argument("quantity", type=click.IntRange(min=1), default=1)
@PACK
@click.option("--explain", is_flag=True, help="Show all that was considered, as `roadbook price explain` does at the server.")
async def price(
    client: OrderClient, screen: Screen, *, customer: str, sku: str, quantity: int, pack: int | None, explain: bool
) -> None:
    """Quote a customer's own price for a quantity, and say how far the next break is.

    With --explain all that was considered is shown; as JSON in the form whose bytes are the same at the server.
    """
    buyer, product = await client.customer(customer), await client.product(sku)
    explained = await client.explain(buyer.id, [WantedLine(product.id, quantity, pack or 1)])
    if explain:
        click.echo(explained.text(as_json=screen.as_json))
        return
    quote = await client.price(buyer.id, product.id, quantity, pack_quantity=pack or 1)
    if quote is None:
        raise NoPriceError(product.sku, refusal_text(explained.price.lines[0]))
    if screen.as_json:
        screen.data(quote)
    else:
        screen.price(product, buyer, quote)


@command("roadbook device stock P130-04", reads=True)
@click.argument("sku")
async def stock(client: OrderClient, screen: Screen, sku: str) -> None:
    """Show a product's stock at your locations, and as of when that is known."""
    product = await client.product(sku)
    views = await client.stock(product.id)
    if screen.as_json:
        screen.data(views)
    else:
        screen.stock(product, views)


@command(
    "roadbook device prospect 'Warmte BV' --contact 'An Bos' --street 'Kade 1' --postal-code '1011 AB' --city Amsterdam",
    "roadbook device prospect 'Warmte BV' --contact 'An Bos' --street 'Kade 1' --postal-code 2000 --city Antwerpen \\\n"
    "      --country BE --territory VLA --phone '+32 470 12 34 56'",
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
async def prospect(client: OrderClient, screen: Screen, *, contact: str, territory: str, **fields: str) -> None:
    """Take down a new customer on the road. Its orders wait until a manager approves it."""
    new = NewCustomer(contact_name=contact, territory_id=await _territory_id(client, territory), **fields)
    taken = await client.create_customer(new)
    if screen.as_json:
        screen.data(taken)
    else:
        screen.say(f"{taken.name} is taken down as a prospect, waiting to be sent.")


async def _territory_id(client: OrderClient, code: str) -> UUID:
    """The territory with this code, or, where none is given, that of the customers here if it is one."""
    territories = await client.territories()
    if code:
        found = [territory.id for territory in territories if territory.code == code]
    else:
        mine = {customer.territory_id for customer in await client.customers(limit=_LIMIT_MAX)}
        found = [territory.id for territory in territories if territory.id in mine]
    if len(found) != 1:
        known = ", ".join(territory.code for territory in territories)
        raise click.BadParameter(f"name one of {known or 'your territories, after the first sync'}", param_hint="--territory")
    return found[0]

"""`roadbook price explain`: what a basket costs and why, as the device of its rep would say it."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import click
import sqlalchemy as sa

from server.catalog.models import ProductModel
from server.identity.errors import CodeUnknownError
from server.identity.service import CODES_SHOWN, id_of_code
from server.identity.terminal import instant_of, now_ms, run
from server.pricing.gathering import gathered
from server.runtime.database import Database, ReadSession
from server.runtime.unit_of_work import UnitOfWork
from server.settings import Settings
from sync_protocol.entities.customers import Address, Customer
from sync_protocol.entities.orders import Channel
from sync_protocol.rules.pricing.basket import Basket, BasketLine
from sync_protocol.rules.pricing.explaining import Explained, explain, line_id_at
from sync_protocol.rules.pricing.line_text import EXAMPLES, FORM, TypedLine, read_line

EXAMPLE: Final = "roadbook price explain C-1001 P130-04:24/6 H475-07 --at 2026-10-01T08:00:00+02:00"


def add_explain(group: click.Group) -> None:
    """Put `explain` among the commands about prices."""
    group.add_command(explain_price)


def _typed(_context: click.Context, _argument: click.Parameter, texts: tuple[str, ...]) -> tuple[TypedLine, ...]:
    lines = [(text, read_line(text)) for text in texts]
    wrong = [text for text, line in lines if line is None]
    if wrong:
        raise click.BadParameter(f"{wrong[0]!r} is not {FORM}, such as {EXAMPLES}")
    return tuple(line for _, line in lines if line is not None)


@click.command("explain", epilog=f"\b\nExample:\n  {EXAMPLE}")
@click.argument("customer", metavar="CUSTOMER")
@click.argument("lines", metavar="SKU:QTY...", nargs=-1, required=True, callback=_typed)
@click.option("--at", metavar="TIME", help="When, in ISO 8601 with an offset.  [now]")
@click.option("--channel", type=click.Choice([str(each) for each in Channel]), default=str(Channel.REP), show_default=True)
@click.option("--address", metavar="LABEL", help="Where the goods go: the label or the id of one of the customer's addresses.")
@click.option("--json", "as_json", is_flag=True, help="Print the canonical JSON: the bytes are those of the device.")
def explain_price(
    *, customer: str, lines: tuple[TypedLine, ...], at: str | None, channel: str, address: str | None, as_json: bool
) -> None:
    """Show what a basket costs a customer and all that was considered; nothing is changed.

    The text is that of `roadbook device price --explain` for the same rows, time, channel and lines.
    """
    at_ms = instant_of(at) if at is not None else now_ms()

    async def work(database: Database, _settings: Settings) -> Explained:
        async with database.read() as session:
            customer_id = await id_of_code(session, "customer", customer, field="customer")
            basket = Basket(
                customer_id=customer_id,
                channel=Channel(channel),
                instant_ms=at_ms,
                lines=await _lines(session, lines),
                address_id=await _address_id(session, customer_id, address),
            )
            return await explained(session, basket)

    click.echo(run(work).text(as_json=as_json))


async def explained(session: ReadSession, basket: Basket) -> Explained:
    """What a basket costs by the tables, and why. Its customer must be there."""
    unit = await UnitOfWork.of(session)
    customer = await unit.get(Customer, basket.customer_id)
    assert customer is not None
    return await gathered(unit, explain(customer, basket), lock=False)


async def _lines(session: ReadSession, typed: Sequence[TypedLine]) -> tuple[BasketLine, ...]:
    """Raises CodeUnknownError."""
    table = ProductModel.__table__.c
    found = await session.execute(sa.select(table.sku, table.id).where(table.sku.in_({line.sku for line in typed})))
    ids: dict[str, UUID] = {row.sku: row.id for row in found}
    unknown = [line.sku for line in typed if line.sku not in ids]
    if unknown:
        near = sa.select(table.sku, table.name).order_by(table.sku.istartswith(unknown[0][:2], autoescape=True).desc(), table.sku)
        shown = [(row.sku, row.name) for row in await session.execute(near.limit(CODES_SHOWN))]
        raise CodeUnknownError("lines", "product", unknown[0], shown)
    return tuple(
        BasketLine(
            line_id=line_id_at(place),
            product_id=ids[line.sku],
            quantity=line.quantity,
            pack_quantity=line.pack_quantity or 1,
            manual=line.manual(""),
        )
        for place, line in enumerate(typed, start=1)
    )


async def _address_id(session: ReadSession, customer_id: UUID, wanted: str | None) -> UUID | None:
    """Raises CodeUnknownError."""
    if wanted is None:
        return None
    unit = await UnitOfWork.of(session)
    known = await unit.find_all(Address, ("customer_id",), [(customer_id,)])
    found = [address.id for address in known if wanted in {address.label, str(address.id)}]
    if len(found) != 1:
        raise CodeUnknownError("address", "one address", wanted, [(address.label, str(address.id)) for address in known])
    return found[0]

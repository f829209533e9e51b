"""Nasty companies in the real tables: one after the other in the same database, for devices that follow by a sync."""

import random
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import msgspec
import sqlalchemy as sa

from server.customers.models import RepTerritoryModel
from server.identity.principals import Role
from server.identity.service import create_user
from server.runtime.database import WriteSession
from server.runtime.rows import insert_rows, table_of
from sync_protocol.entities import BY_ROW, SYNCED
from sync_protocol.entities.catalog import Unit
from sync_protocol.entities.customers import Customer, Rep, Territory
from sync_protocol.entities.orders import NumberSeries
from sync_protocol.entities.pricing import PriceEntry
from sync_protocol.rules.pricing.basket import Basket
from sync_protocol.values import Row
from tests.support.price_books import Maker
from tests.support.price_dice import identifier
from tests.support.price_lookups import Book
from tests.support.world import World

BUYER: Final = "buyer"
BUYER_ID: Final = identifier(Customer, 7)
"""The customer whose baskets are priced is this one in every company, so that one buyer's device can follow."""

_STAYS: Final = frozenset({Unit, Rep, NumberSeries})


class Priced(msgspec.Struct, frozen=True):
    """A company as the tables can hold it, and baskets of its customer."""

    book: Book
    baskets: tuple[Basket, ...]


def company_of(seed: int, baskets: int, world: World) -> Priced:
    """A company whose references all lead somewhere, with a territory for each customer: who has none is on no rep's device."""
    maker = Maker(random.Random(seed))
    book, basket = maker.question()
    asked = [basket, *(maker.make_basket() for _ in range(baskets - 1))]
    mapped = _mapped(book, world)
    own: dict[type[Row], list[Row]] = {}
    for synced in SYNCED:
        for row in book.get(synced.row, ()):
            told = _told(_replaced(row, mapped), own, world)
            if told is not None:
                own.setdefault(synced.row, []).append(told)
    return Priced(own, tuple(_asked(each, mapped) for each in asked))


def _mapped(book: Book, world: World) -> dict[UUID, UUID]:
    """What takes the place of which id: the customer's, which changes places with another, and the reps'."""
    first = book[Customer][0].id
    return {first: BUYER_ID, BUYER_ID: first, **{UUID(int=n + 1): rep.id for n, rep in enumerate(world.company.reps)}}


def _replaced(struct: Any, mapped: Mapping[UUID, UUID]) -> Any:
    values = {name: value for name in struct.__struct_fields__ if isinstance(value := getattr(struct, name), UUID)}
    return msgspec.structs.replace(struct, **{name: mapped.get(value, value) for name, value in values.items()})


def _asked(basket: Basket, mapped: Mapping[UUID, UUID]) -> Basket:
    return msgspec.structs.replace(_replaced(basket, mapped), lines=tuple(_replaced(line, mapped) for line in basket.lines))


def _told(row: Row, own: Mapping[type[Row], list[Row]], world: World) -> Row | None:
    """The row as the tables take it, or None where they would not: codes are told apart, what leads nowhere is left out."""
    changes: dict[str, Any] = {}
    if hasattr(row, "code") and type(row) is not Rep:
        changes["code" if "sku" not in row.__struct_fields__ else "sku"] = f"{row.code}-{row.id.hex[20:]}"
    if hasattr(row, "sku"):
        changes |= {"sku": f"P-{row.id.hex[20:]}", "unit_id": world.company.unit.id}
    for key in table_of(type(row)).foreign_keys:
        name, value = key.parent.name, getattr(row, key.parent.name)
        known = {each.id for kind, rows in own.items() if BY_ROW[kind].name == key.column.table.name for each in rows}
        known |= {each.id for each in world.company.reps} if key.column.table.name == "rep" else set()
        if value is not None and value not in known and name not in changes:
            if not key.parent.nullable:
                return None
            changes[name] = None
    if isinstance(row, Customer) and changes.get("territory_id", row.territory_id) is None:
        changes["territory_id"] = own[Territory][0].id
    if isinstance(row, PriceEntry) and any(_is_same_break(row, each) for each in own.get(PriceEntry, ())):
        return None
    return msgspec.structs.replace(row, **changes)


def _is_same_break(row: PriceEntry, other: Any) -> bool:
    names = ("product_id", "price_list_id", "min_quantity", "per_quantity", "valid_from_ms")
    return all(getattr(row, name) == getattr(other, name) for name in names)


async def move_in(world: World, priced: Priced) -> None:
    """Let the company take the place of the one that is there, in one transaction."""
    (customer,) = (row for row in priced.book[Customer] if row.id == BUYER_ID)
    async with world.database.write() as session:
        is_new = await _clear(session)
        for synced in SYNCED:
            rows = [row for row in priced.book.get(synced.row, ()) if is_new or row is not customer]
            if synced.row is Customer and not is_new:
                values = msgspec.structs.asdict(customer)
                await session.execute(sa.update(table_of(Customer)).where(table_of(Customer).c.id == BUYER_ID).values(**values))
            if rows:
                await insert_rows(session, rows)
        for row in priced.book[Territory]:
            session.add(RepTerritoryModel(rep_id=world.company.reps[0].id, territory_id=row.id))
        await session.flush()
        if is_new:
            now_ms = world.clock.now_ms()
            await create_user(session, ids=world.ids, now_ms=now_ms, login=BUYER, name=BUYER, role=Role.BUYER, customer_id=BUYER_ID)


async def _clear(session: WriteSession) -> bool:
    """Everything goes, but what users and devices are made of; whether the customer is still to be made."""
    await session.execute(sa.delete(RepTerritoryModel))
    customers = table_of(Customer)
    await session.execute(sa.update(customers).values(territory_id=None, price_list_id=None))
    for synced in reversed(SYNCED):
        if synced.row not in _STAYS:
            gone = sa.delete(table_of(synced.row))
            await session.execute(gone.where(customers.c.id != BUYER_ID) if synced.row is Customer else gone)
    return (await session.execute(sa.select(customers.c.id).where(customers.c.id == BUYER_ID))).one_or_none() is None

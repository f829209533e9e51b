"""What a draft would do if it were published at an instant: whom it touches, and which prices rise, fall and go."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
import sqlalchemy as sa

from server.catalog.models import ProductModel
from server.customers.models import CustomerModel
from server.pricing.claimants import claimants
from server.pricing.standings import ENTRY, REVISED, TAKEN_AWAY, Outcome, in_force, standings
from server.runtime.database import ReadSession
from server.runtime.rows import table_of
from sync_protocol.entities.orders import Order, OrderLine, OrderStatus
from sync_protocol.values import BASIS_POINTS

SHOWN: Final = 20
OPEN: Final = (OrderStatus.SUBMITTED, OrderStatus.HELD, OrderStatus.CONFIRMED)
"""Taken and not yet completed. Their prices stay; what is amended is priced anew."""


class TouchedCustomer(msgspec.Struct, frozen=True, kw_only=True):
    customer_id: UUID
    code: str
    name: str


class MovedPrice(msgspec.Struct, frozen=True, kw_only=True):
    """A price that changes; by how much in hundredths of a percent, which is null where it was 0."""

    product_id: UUID
    sku: str
    name: str
    min_quantity: int
    per_quantity: int
    old_unit_price: int
    new_unit_price: int
    change_basis_points: int | None


class LosingProduct(msgspec.Struct, frozen=True, kw_only=True):
    """A product that the list has no price for any more; whether another list has one then, for whoever buys from it."""

    product_id: UUID
    sku: str
    name: str
    is_elsewhere: bool


class RevisionPreview(msgspec.Struct, frozen=True, kw_only=True):
    """What would happen to how many prices (`outcomes`) and products; of each list the first or the largest 20.

    `customers` have a claim to the list then. `open_orders` of theirs have lines of these products; they keep their prices.
    """

    effective_at_ms: int
    outcomes: Mapping[str, int]
    products: int
    customers: int
    first_customers: Sequence[TouchedCustomer]
    open_orders: int
    rises: Sequence[MovedPrice]
    falls: Sequence[MovedPrice]
    losing_products: int
    first_losing: Sequence[LosingProduct]


async def preview(session: ReadSession, revision_id: UUID, price_list_id: UUID, at_ms: int) -> RevisionPreview:
    """Count what publication at this instant would do, on the tables as they are."""
    standing = standings(revision_id, price_list_id, at_ms)
    counted = sa.select(standing.c.outcome, sa.func.count().label("entries")).group_by(standing.c.outcome)
    touched = sa.select(standing.c.product_id).where(standing.c.outcome != Outcome.UNCHANGED).distinct()
    concerned = claimants(price_list_id, at_ms)
    customers = sa.select(CustomerModel).where(CustomerModel.id.in_(concerned)).order_by(CustomerModel.code).limit(SHOWN)
    losing = _losing(revision_id, price_list_id, at_ms)
    return RevisionPreview(
        effective_at_ms=at_ms,
        outcomes={row.outcome: row.entries for row in await session.execute(counted)},
        products=await _count(session, touched),
        customers=await _count(session, concerned),
        first_customers=[
            TouchedCustomer(customer_id=each.id, code=each.code, name=each.name)
            for each in (await session.execute(customers)).scalars()
        ],
        open_orders=await _count(session, _open_orders(concerned, touched)),
        rises=await _moved(session, standing, is_rise=True),
        falls=await _moved(session, standing, is_rise=False),
        losing_products=await _count(session, losing),
        first_losing=await _first_losing(session, losing, price_list_id, at_ms),
    )


async def _count(session: ReadSession, query: Any) -> int:
    counted: int = (await session.execute(sa.select(sa.func.count()).select_from(query.subquery()))).scalar_one()
    return counted


def _open_orders(customers: sa.Select[Any], products: sa.Select[Any]) -> sa.Select[Any]:
    order, line = table_of(Order).c, table_of(OrderLine).c
    of_these = sa.select(line.order_id).where(line.product_id.in_(products))
    return sa.select(order.id).where(order.status.in_(OPEN), order.customer_id.in_(customers), order.id.in_(of_these))


async def _moved(session: ReadSession, standing: sa.Subquery, *, is_rise: bool) -> list[MovedPrice]:
    """The largest rises, or the largest falls; a rise from nothing is larger than any other."""
    new, old = standing.c.unit_price, standing.c.former_unit_price
    ranked = sa.func.coalesce((new - old) * BASIS_POINTS // sa.func.nullif(old, 0), sa.literal(1 << 62))
    query = (
        sa.select(standing, ProductModel.sku, ProductModel.name)
        .join(ProductModel, ProductModel.id == standing.c.product_id)
        .where(standing.c.outcome.in_((Outcome.CHANGED, Outcome.REPLACED)), new > old if is_rise else new < old)
        .order_by(ranked.desc() if is_rise else ranked, ProductModel.sku, standing.c.min_quantity, standing.c.per_quantity)
        .limit(SHOWN)
    )
    return [
        MovedPrice(
            product_id=row.product_id,
            sku=row.sku,
            name=row.name,
            min_quantity=row.min_quantity,
            per_quantity=row.per_quantity,
            old_unit_price=row.former_unit_price,
            new_unit_price=row.unit_price,
            change_basis_points=change_of(row.former_unit_price, row.unit_price),
        )
        for row in await session.execute(query)
    ]


def change_of(old: int, new: int) -> int | None:
    return (new - old) * BASIS_POINTS // old if old else None


def _losing(revision_id: UUID, price_list_id: UUID, at_ms: int) -> sa.Select[UUID, str, str]:
    """The products of which the list keeps no price."""
    standing = standings(revision_id, price_list_id, at_ms)
    gone = sa.select(standing.c.product_id).where(standing.c.outcome.in_(TAKEN_AWAY)).distinct()
    kept, set_, ended = ENTRY.alias("kept"), REVISED.alias("set_"), REVISED.alias("ended")
    is_set = sa.exists().where(
        set_.c.revision_id == revision_id, set_.c.product_id == ProductModel.id, set_.c.unit_price.is_not(None)
    )
    is_ended = sa.exists().where(
        ended.c.revision_id == revision_id,
        ended.c.unit_price.is_(None),
        *(ended.c[name] == kept.c[name] for name in ("product_id", "min_quantity", "per_quantity")),
    )
    stays = sa.exists().where(
        kept.c.price_list_id == price_list_id, kept.c.product_id == ProductModel.id, in_force(kept.c, at_ms), ~is_ended
    )
    return sa.select(ProductModel.id, ProductModel.sku, ProductModel.name).where(ProductModel.id.in_(gone), ~is_set, ~stays)


async def _first_losing(
    session: ReadSession, losing: sa.Select[UUID, str, str], price_list_id: UUID, at_ms: int
) -> list[LosingProduct]:
    other = ENTRY.alias("other")
    elsewhere = sa.exists().where(
        other.c.product_id == ProductModel.id, other.c.price_list_id != price_list_id, in_force(other.c, at_ms)
    )
    query = losing.add_columns(elsewhere.label("is_elsewhere")).order_by(ProductModel.sku).limit(SHOWN)
    return [
        LosingProduct(product_id=row.id, sku=row.sku, name=row.name, is_elsewhere=row.is_elsewhere)
        for row in await session.execute(query)
    ]

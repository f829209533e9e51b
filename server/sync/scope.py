"""Which buckets a principal may hold now: a function of the authoritative tables, read in the same snapshot as the rows."""

import hashlib
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from server.customers.models import CustomerModel, RepTerritoryModel, TerritoryModel
from server.runtime.database import ReadSession


class Scope(msgspec.Struct, frozen=True):
    """The buckets, sorted, and their digest. Two scopes are the same exactly where their digests are."""

    buckets: tuple[str, ...]
    digest: bytes

    def of_kind(self, kind: str) -> list[str]:
        """The buckets of one kind."""
        return [bucket for bucket in self.buckets if bucket.partition(":")[0] == kind]


def make_scope(buckets: set[str]) -> Scope:
    """A scope of these buckets."""
    ordered = tuple(sorted(buckets))
    return Scope(ordered, hashlib.blake2b("\n".join(ordered).encode(), digest_size=16).digest())


async def territories_of(session: ReadSession, rep_id: UUID | None) -> frozenset[UUID]:
    """The territories that a rep works now."""
    query = sa.select(RepTerritoryModel.territory_id).where(RepTerritoryModel.rep_id == rep_id)
    return frozenset((await session.execute(query)).scalars())


async def scope_of(session: ReadSession, *, rep_id: UUID | None, customer_id: UUID | None, holder_id: UUID) -> Scope:
    """A rep holds the catalogue, the lists and stock of its territories and their accounts; a buyer its company's."""
    accounts: sa.ColumnElement[bool]
    territories: sa.ColumnElement[bool]
    if rep_id is not None:
        accounts = CustomerModel.territory_id.in_(
            sa.select(RepTerritoryModel.territory_id).where(RepTerritoryModel.rep_id == rep_id)
        )
        territories = TerritoryModel.id.in_(await territories_of(session, rep_id))
    else:
        accounts = CustomerModel.id == customer_id
        territories = TerritoryModel.id.in_(sa.select(CustomerModel.territory_id).where(CustomerModel.id == customer_id))
    connection = await session.connection()
    as_bytes = sa.func.uuid_send if connection.dialect.name == "postgresql" else _stored_bytes
    buckets, lists = {"catalog", f"rep:{holder_id.hex}"}, set()
    # Thousands of accounts, at every pull: read as bytes and past the ORM, which would make an object of each.
    held = sa.select(as_bytes(CustomerModel.id), as_bytes(CustomerModel.price_list_id)).where(accounts)
    for account, price_list in await connection.execute(held):
        buckets.add(f"account:{account.hex()}")
        lists.add(price_list)
    defaults = sa.select(as_bytes(TerritoryModel.price_list_id), as_bytes(TerritoryModel.stock_location_id)).where(territories)
    for price_list, stock_location in await connection.execute(defaults):
        lists.add(price_list)
        if stock_location is not None:
            buckets.add(f"stock:{stock_location.hex()}")
    return make_scope(buckets | {f"pricelist:{price_list.hex()}" for price_list in lists if price_list is not None})


def _stored_bytes(column: Any) -> sa.ColumnElement[bytes]:
    """An id as SQLite holds it."""
    return sa.type_coerce(column, sa.LargeBinary())

"""An oracle that shares no code with the product: plain SQL over the authoritative tables, and a ledger of what users were told."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import apsw
import sqlalchemy as sa

from client_sdk import OrderClient
from server.runtime.database import Database
from sync_protocol.entities import SYNCED

_TERRITORIES = "SELECT territory_id FROM rep_territory WHERE rep_id = :rep"
_ACCOUNTS = f"SELECT id FROM customer WHERE territory_id IN ({_TERRITORIES})"
_OF_ONE_ACCOUNT = (
    "SELECT 1 FROM customer, segment_member WHERE customer.id = segment_member.customer_id "
    f"AND customer.territory_id IN ({_TERRITORIES}) AND segment_member.segment_id = listed.segment_id "
    "AND coalesce(listed.territory_id, customer.territory_id) = customer.territory_id"
)
_FOR_ALL_OF = f"listed.territory_id IS NULL OR listed.territory_id IN ({_TERRITORIES})"
_LISTS = (
    f"SELECT price_list_id FROM territory WHERE id IN ({_TERRITORIES}) "
    f"UNION SELECT price_list_id FROM customer WHERE territory_id IN ({_TERRITORIES}) "
    f"UNION SELECT price_list_id FROM customer_price_list WHERE customer_id IN ({_ACCOUNTS}) "
    "UNION SELECT price_list_id FROM price_list_assignment listed WHERE coalesce(channel, 'rep') = 'rep' "
    f"AND CASE WHEN segment_id IS NULL THEN {_FOR_ALL_OF} ELSE EXISTS ({_OF_ONE_ACCOUNT}) END"
)
_PLACES = f"SELECT stock_location_id FROM territory WHERE id IN ({_TERRITORIES})"

SCOPE_OF_A_REP = {
    "unit": "true",
    "category": "true",
    "product": "true",
    "pack": "true",
    "stock_location": "true",
    "territory": "true",
    "rep": "true",
    "price_list": f"id IN ({_LISTS})",
    "price_entry": f"price_list_id IN ({_LISTS})",
    "customer": f"id IN ({_ACCOUNTS})",
    "address": f"customer_id IN ({_ACCOUNTS})",
    "contact": f"customer_id IN ({_ACCOUNTS})",
    "stock_level": f"stock_location_id IN ({_PLACES})",
    "sales_order": f"customer_id IN ({_ACCOUNTS})",
    "sales_order_line": f"customer_id IN ({_ACCOUNTS})",
    "number_series": "holder_id = :rep",
    "segment": "true",
    "segment_member": f"customer_id IN ({_ACCOUNTS})",
    "price_list_assignment": "true",
    "customer_price_list": f"customer_id IN ({_ACCOUNTS})",
    "agreed_price": f"customer_id IN ({_ACCOUNTS})",
    "product_quantity_rule": "true",
    "list_quantity_rule": f"price_list_id IN ({_LISTS})",
    "discount_limit": "true",
    "price_floor": "true",
    "promotion": "true",
    "promotion_audience": "true",
    "promotion_target": "true",
    "promotion_tier": "true",
    "promotion_exclusion": "true",
    "promotion_customer": f"customer_id IN ({_ACCOUNTS})",
    "promotion_use": f"customer_id IN ({_ACCOUNTS})",
    "tax_rate": "true",
    "tax_exemption": f"customer_id IN ({_ACCOUNTS})",
    "sales_order_promotion": f"customer_id IN ({_ACCOUNTS})",
    "negotiated_quote": f"customer_id IN ({_ACCOUNTS})",
    "negotiated_quote_line": f"customer_id IN ({_ACCOUNTS})",
    "negotiated_quote_round": f"customer_id IN ({_ACCOUNTS})",
}


_KEPT: WeakKeyDictionary[Database, sqlite3.Connection] = WeakKeyDictionary()


@contextmanager
def oracle_kept(database: Database) -> Iterator[None]:
    """Let the oracle keep one connection: it reads the schema, triggers and all, once and not with each question."""
    if not database.is_sqlite or database in _KEPT:
        yield
        return
    with closing(sqlite3.connect(str(database.url.database), isolation_level=None)) as connection:
        _KEPT[database] = connection
        try:
            yield
        finally:
            del _KEPT[database]


async def _query(database: Database, statement: str, **bound: Any) -> list[tuple[Any, ...]]:
    """Rows of a statement: on SQLite by a connection of the oracle's own, in this thread."""
    if database.is_sqlite:
        with oracle_kept(database):
            return list(_KEPT[database].execute(statement, bound))
    async with database.read() as session:
        return [tuple(row) for row in (await session.execute(sa.text(statement), bound)).all()]


def _plain(value: Any) -> Any:
    return getattr(value, "bytes", value)


async def server_view(database: Database, rep_id: Any) -> dict[str, list[tuple[Any, ...]]]:
    """What a rep's replica must equal, column by column (I-3)."""
    view = {}
    rep = rep_id.bytes if database.is_sqlite else rep_id
    with oracle_kept(database):
        for synced in SYNCED:
            names = ", ".join(synced.row.__struct_fields__)
            condition = SCOPE_OF_A_REP[synced.name]
            bound = {"rep": rep} if ":rep" in condition else {}
            rows = await _query(database, f"SELECT {names} FROM {synced.name} WHERE {condition}", **bound)
            view[synced.name] = sorted((tuple(_plain(value) for value in row) for row in rows), key=repr)
    return view


def device_view(device: OrderClient) -> dict[str, list[tuple[Any, ...]]]:
    """What the replica holds, without the overlay."""
    connection: apsw.Connection = device._store.reader
    view = {}
    for synced in SYNCED:
        names = ", ".join(synced.row.__struct_fields__)
        view[synced.name] = sorted(connection.execute(f"SELECT {names} FROM {synced.name}").fetchall(), key=repr)
    return view


async def stock_faults(database: Database) -> list[tuple[Any, ...]]:
    """Levels whose allocation is not the sum of what the lines of living orders have allocated (I-7)."""
    statement = """
        SELECT level.id, level.allocated, coalesce(sum(line.allocated), 0)
          FROM stock_level level
          LEFT JOIN sales_order head ON head.stock_location_id = level.stock_location_id
          LEFT JOIN sales_order_line line ON line.order_id = head.id AND line.product_id = level.product_id
         GROUP BY level.id, level.allocated HAVING level.allocated <> coalesce(sum(line.allocated), 0)
    """
    return await _query(database, statement)


async def verdicts_of(database: Database) -> dict[bytes, bytes]:
    """Every verdict that the server holds, by intent."""
    rows = await _query(database, "SELECT id, verdict FROM intent_record")
    return {_plain(intent_id): bytes(verdict) for intent_id, verdict in rows}


async def submissions_of(database: Database) -> list[bytes]:
    """The order of every submission that has a verdict."""
    rows = await _query(database, "SELECT subject_id FROM intent_record WHERE kind = 'SubmitOrder'")
    return [_plain(subject_id) for (subject_id,) in rows]

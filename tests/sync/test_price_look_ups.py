"""Every look-up of a price finds its rows by an index, on the device and on the server: only small tables are read as a whole."""

import random
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import apsw

from client_sdk.rows import look_up
from server.runtime.database import Database, driver_connection
from server.runtime.rows import table_of
from server.runtime.unit_of_work import UnitOfWork
from sync_protocol.entities import BY_ROW
from sync_protocol.entities.customers import Customer
from sync_protocol.entities.pricing import DiscountLimit, PriceListAssignment
from sync_protocol.entities.promotions import Promotion, PromotionExclusion
from sync_protocol.replica_schema import OVERLAID, create_sql, finish_sql, overlay
from sync_protocol.rules.pricing.facts import gather_facts
from sync_protocol.rules.pricing.terms import Lookup, gather_terms, gathered
from sync_protocol.values import plain_type
from tests.support.price_books import question_of
from tests.support.price_lookups import look_up_in

WHOLE: Final = frozenset({PriceListAssignment, Promotion, PromotionExclusion, DiscountLimit})
"""Tables of which a company has few rows, all of which may concern a basket."""
COMPANIES: Final = 200


def look_ups() -> list[Lookup]:
    """One of each kind that baskets ask for."""
    found: dict[tuple[Any, ...], Lookup] = {}
    for seed in range(COMPANIES):
        book, basket = question_of(random.Random(seed))
        answer = look_up_in(book)

        def noted(lookup: Lookup) -> Sequence[Any]:
            found.setdefault((lookup.row, lookup.columns), lookup)
            return answer(lookup)  # noqa: B023  # asked before the next company

        (customer,) = (row for row in book[Customer] if row.id == basket.customer_id)
        assert isinstance(customer, Customer)
        gathered(gather_facts(gathered(gather_terms(customer), noted), basket), noted)
    return [Lookup(each.row, each.columns, _keys(each)) for each in found.values()]


def _keys(lookup: Lookup) -> tuple[tuple[Any, ...], ...]:
    if not lookup.columns:
        return ((),)
    types = [plain_type(lookup.row.__annotations__.get(column, UUID)) for column in lookup.columns]
    return tuple(tuple(UUID(int=n) if each is UUID else "buy" for each in types) for n in range(100))


def test_baskets_ask_for_all_that_they_may() -> None:
    kinds = {(each.row, each.columns) for each in look_ups()}
    assert len(kinds) == 25, sorted((row.__name__, columns) for row, columns in kinds)
    assert {row for row, columns in kinds if not columns} == WHOLE


def test_a_device_finds_them_by_an_index() -> None:
    connection = apsw.Connection(":memory:")
    for statement in (*create_sql(), *finish_sql()):
        connection.execute(statement)
    asked: list[tuple[str, Any]] = []
    connection.exec_trace = lambda _cursor, sql, bindings: bool(asked.append((sql, bindings))) or True
    overlays = {overlay(synced) for synced in OVERLAID}
    for each in look_ups():
        asked.clear()
        look_up(connection, each.row, each.columns, each.keys)
        ((sql, bindings),) = asked
        plan = [detail for *_, detail in connection.execute(f"EXPLAIN QUERY PLAN {sql}", bindings)]
        assert (not _scanned(plan) - overlays) == (each.row not in WHOLE), (sql[:200], plan)


def _scanned(plan: list[str]) -> set[str]:
    """What is read from end to end, but for the keys that are asked for."""
    return {detail.split()[1] for detail in plan if detail.startswith("SCAN") and not detail.endswith("VALUES CLAUSE")}


async def test_the_server_finds_them_by_an_index(database: Database) -> None:
    async with database.read() as session:
        work = await UnitOfWork.of(session)
        driver = await driver_connection(session)
        for each in look_ups():
            if each.row in WHOLE:
                continue
            await work.find_all(each.row, each.columns, each.keys)
            plan = await (_plan_of_sqlite if database.is_sqlite else _plan_of_postgres)(driver, each)
            name = BY_ROW[each.row].name
            assert not _scanned(plan), (name, each.columns, plan)
            assert not [line for line in plan if "Seq Scan" in line], (name, each.columns, plan)
            assert [line for line in plan if "INDEX" in line or "Index" in line], (name, each.columns, plan)


async def _plan_of_sqlite(driver: Any, each: Lookup) -> list[str]:
    names = f"({', '.join(each.columns)})" if len(each.columns) > 1 else each.columns[0]
    key = f"({', '.join('?' * len(each.columns))})"
    sql = f"SELECT * FROM {table_of(each.row).name} WHERE {names} IN (VALUES {', '.join([key] * len(each.keys))})"
    values = [value.bytes if isinstance(value, UUID) else value for values in each.keys for value in values]
    return [str(detail) for *_, detail in await driver.execute_fetchall(f"EXPLAIN QUERY PLAN {sql}", values)]


async def _plan_of_postgres(driver: Any, each: Lookup) -> list[str]:
    """Of empty tables PostgreSQL reads the whole, unless it may not: then it shows whether there is an index."""
    await driver.execute("SET LOCAL enable_seqscan = off")
    same = " AND ".join(f"{column} = ${place}" for place, column in enumerate(each.columns, start=1))
    sql = f"EXPLAIN SELECT * FROM {table_of(each.row).name} WHERE {same}"
    return [str(line) for (line,) in await driver.fetch(sql, *each.keys[0])]

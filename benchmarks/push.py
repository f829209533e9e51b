"""1,000 orders of 10 lines, taken offline: how many of them the server decides in a second, and when they are back home.

The limit is a bare insert of the same rows (orders, lines and intents with their verdicts) into tables of the same shape
on the same engine, without triggers and foreign keys, in as many transactions as there were pushes.
"""

import asyncio
import random
import sqlite3
import time
from typing import Any

import apsw
import asyncpg
import msgspec

from benchmarks.figures import Figure, Spent, processor_seconds, spending
from benchmarks.premises import Premises
from client_sdk import OrderClient, WantedLine, drafts, submitting
from client_sdk.clock import Surroundings
from client_sdk.transport import HttpEndpoint
from sync_protocol.wire.messages import BATCH_INTENTS_MAX, PushReply, PushRequest

LINES = 10
ROUNDS = 2
_SHAPE = "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND type IN ('table', 'index') AND sql IS NOT NULL ORDER BY type DESC"
TABLES = ("sales_order", "sales_order_line", "intent_record")


class _Timed(HttpEndpoint):
    """The network, with a watch on what it takes to have intents decided."""

    pushing_seconds = 0.0

    async def push(self, request: PushRequest) -> PushReply:
        began = time.perf_counter()
        try:
            return await super().push(request)
        finally:
            self.pushing_seconds += time.perf_counter() - began


class _Round(msgspec.Struct):
    """Seconds until all verdicts were there, until the orders were back, and whose processor time that was."""

    pushing_seconds: float
    spent: Spent
    server: float
    database: float


def run(place: Premises) -> list[Figure]:
    _ = place.synced_device()
    orders = max(20, place.work.products_count // 100)
    rounds = [asyncio.run(_round(place, orders, number)) for number in range(ROUNDS)]
    best = min(rounds, key=lambda each: each.pushing_seconds)
    home = min(rounds, key=lambda each: each.spent.seconds)
    limit = min(bare(place, orders) for _ in range(3))
    device = best.spent.processor - best.database - best.server
    common = {"engine": place.engine, "limit_what": "bare insert of the same rows"}
    return [
        Figure(
            budget="push",
            what=f"{orders:,} offline orders of {LINES} lines in pushes of {BATCH_INTENTS_MAX}, until the last verdict",
            value=orders / best.pushing_seconds,
            unit="orders/s",
            aim=500,
            limit=orders / limit,
            limit_unit="orders/s",
            cost_max=30,
            more_is_better=True,
            note=f"the better of {ROUNDS} rounds",
            foreign_cores=best.spent.foreign_cores,
            **common,
        ),
        Figure(
            budget="push home",
            what="the same, with the device's own work and the orders pulled back",
            value=home.spent.seconds,
            unit="s",
            aim=orders / 250,
            limit=limit,
            limit_unit="s",
            cost_max=60,
            note=f"processor: server {best.server:.1f} s, database {best.database:.1f} s, device {device:.1f} s",
            foreign_cores=home.spent.foreign_cores,
            **common,
        ),
    ]


async def _round(place: Premises, orders: int, number: int) -> _Round:
    server, endpoints = place.server, list[_Timed]()

    def watched(url: str, token: str) -> _Timed:
        endpoints.append(_Timed(url, token))
        return endpoints[-1]

    async with await OrderClient.open(place.synced_device(), endpoint_for=watched) as device:
        await device.sync()
        chance = random.Random(number)
        await device._store.write(take_orders, place, orders, chance, device._surroundings)
        used, database = processor_seconds(server), processor_seconds(*place.others)
        pushed = sum(each.pushing_seconds for each in endpoints)
        with spending(*place.others) as spent:
            report = await device.sync()
        assert len(report.verdicts) == orders
        assert report.deferred == 0
        refused = [each.verdict for each in report.verdicts if each.verdict.outcome == "rejected"]
        assert not refused, refused[0]
        return _Round(
            sum(each.pushing_seconds for each in endpoints) - pushed,
            spent,
            processor_seconds(server) - used,
            processor_seconds(*place.others) - database,
        )


def take_orders(
    connection: apsw.Connection, place: Premises, orders: int, chance: random.Random, surroundings: Surroundings
) -> None:
    """Take the orders in one transaction, so that only their sending is waited for."""
    customers = place.work.customers[:10]
    goods = {customer.id: place.work.orderable(customer) for customer in customers}
    for _ in range(orders):
        customer = chance.choice(customers)
        order_id = drafts.create(connection, customer.id, None, surroundings)
        for product in chance.sample(goods[customer.id], LINES):
            drafts.add_line(connection, order_id, WantedLine(product.id, chance.randint(100, 120)), surroundings)
        submitting.submit(connection, order_id, surroundings)


def bare(place: Premises, orders: int) -> float:
    return _bare_on_sqlite(place, orders) if place.engine == "sqlite" else asyncio.run(_bare_on_postgres(place, orders))


def _bare_on_sqlite(place: Premises, orders: int) -> float:
    path = place.folder / "bare-push.db"
    path.unlink(missing_ok=True)
    source = sqlite3.connect(place.database_url.removeprefix("sqlite:///"))
    writing = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        writing.execute(f"PRAGMA {pragma}")
    rows: dict[str, list[tuple[Any, ...]]] = {}
    for table in TABLES:
        for (statement,) in source.execute(_SHAPE, (table,)):
            writing.execute(statement)
        rows[table] = source.execute(f"SELECT * FROM {table} LIMIT ?", (_count(table, orders),)).fetchall()
    source.close()
    began = time.perf_counter()
    for start in range(0, orders, BATCH_INTENTS_MAX):
        writing.execute("BEGIN IMMEDIATE")
        for table, some in rows.items():
            each = LINES if table == "sales_order_line" else 1
            marks = ", ".join("?" * len(some[0]))
            writing.executemany(f"INSERT INTO {table} VALUES ({marks})", some[start * each : (start + BATCH_INTENTS_MAX) * each])
        writing.execute("COMMIT")
    seconds = time.perf_counter() - began
    writing.close()
    return seconds


async def _bare_on_postgres(place: Premises, orders: int) -> float:
    connection = await asyncpg.connect(place.database_url)
    rows: dict[str, list[tuple[Any, ...]]] = {}
    for table in TABLES:
        await connection.execute(f"DROP TABLE IF EXISTS bare_{table}; CREATE TABLE bare_{table} (LIKE {table} INCLUDING ALL)")
        found = await connection.fetch(f"SELECT * FROM {table} LIMIT $1", _count(table, orders))
        rows[table] = [tuple(record) for record in found]
    began = time.perf_counter()
    for start in range(0, orders, BATCH_INTENTS_MAX):
        async with connection.transaction():
            for table, some in rows.items():
                each = LINES if table == "sales_order_line" else 1
                marks = ", ".join(f"${n + 1}" for n in range(len(some[0])))
                statement = f"INSERT INTO bare_{table} VALUES ({marks})"
                await connection.executemany(statement, some[start * each : (start + BATCH_INTENTS_MAX) * each])
    seconds = time.perf_counter() - began
    await connection.close()
    return seconds


def _count(table: str, orders: int) -> int:
    return orders * LINES if table == "sales_order_line" else orders

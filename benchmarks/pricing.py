"""What prices cost: on a device one line and an order of 100, on the server a basket over HTTP, and a new list of 100,000 prices.

A device holds 20 lists of three breaks for every product, and its customer buys from three of them, one after the other; offers,
taxes and the customer's terms are found, too. The limits are a bare `SELECT` of the same prices by the same index in the same
file, a bare round trip, and a bare upsert of the same rows; a look-up in a dictionary of Python is noted beside them.
"""

import asyncio
import gc
import random
import time
from collections.abc import Callable
from typing import Final

import httpx2

from benchmarks.device import connect
from benchmarks.figures import Figure, Spent, percentile, processor_seconds, spending
from benchmarks.premises import Premises, opened
from benchmarks.price_replica import PricedReplica, build
from client_sdk import OrderClient
from client_sdk.quoting import price, terms_for
from client_sdk.replica import _upsert_sql
from client_sdk.replica_file import shown_path
from client_sdk.state import Identity, load
from server.integration.bulk import upsert_rows
from server.runtime.database import Database
from sync_protocol.entities import BY_NAME, BY_ROW
from sync_protocol.entities.orders import Channel
from sync_protocol.entities.pricing import PriceEntry
from sync_protocol.rules.pricing.basket import Basket, BasketLine
from sync_protocol.values import uuid7

LINES: Final = 100
ROUNDS_OF_A_LINE, ROUNDS_OF_AN_ORDER = 1_000, 200
QUOTES, QUOTED_LINES = 200, 10
_QUANTITIES: Final = (1, 5, 12, 40, 150)
_SHARES: Final = (("p50", 0.5), ("p99", 0.99))


def run(place: Premises) -> list[Figure]:
    _ = place.synced_device()
    figures = _on_device(place) if place.engine == "sqlite" else []  # a device is the same, whatever the server's engine
    return [*figures, _quotes(place), *asyncio.run(_published(place))]


def _on_device(place: Premises) -> list[Figure]:
    replica = build(place.folder / "prices.db", place.work.products_count)
    return [
        *_figures("price_line", "one line, priced anew", replica, (1, ROUNDS_OF_A_LINE), (1.0, 60)),
        *_figures("price_order", f"an order of {LINES} lines, priced anew", replica, (LINES, ROUNDS_OF_AN_ORDER), (20.0, 20)),
    ]


def _figures(budget: str, what: str, replica: PricedReplica, size: tuple[int, int], budgets: tuple[float, float]) -> list[Figure]:
    (lines, rounds), (aim, cost_max) = size, budgets
    chance = random.Random(7)
    baskets = [_basket(replica, chance, lines) for _ in range(rounds)]
    connection = connect(str(replica.path))
    terms_for(connection, replica.customer_id)
    gc.collect()
    gc.freeze()  # the baskets and ids of the measurement, which no app has
    with spending() as spent:
        times = [
            _seconds(lambda each=each: price(connection, terms_for(connection, each.customer_id), each))  # type: ignore[misc]  # no type of a default
            for each in baskets
        ]
    marks = ", ".join(["(?, ?)"] * lines * len(replica.chain))
    sql = f"SELECT * FROM price_entry WHERE (price_list_id, product_id) IN (VALUES {marks})"
    keys = [
        [part.bytes for each in replica.chain for line in basket.lines for part in (each, line.product_id)] for basket in baskets
    ]
    bare = [_seconds(lambda some=some: connection.execute(sql, some).fetchall()) for some in keys]  # type: ignore[misc]  # no type of a default
    held = {(some[0], some[1]): some for some in keys}
    looked = min(_seconds(lambda: [held[some[0], some[1]] for some in keys]) for _ in range(5)) / rounds
    connection.close()
    return [
        Figure(
            budget=budget,
            what=f"{name} of {rounds:,} times {what}, {replica.products:,} products x {replica.lists} lists x {replica.breaks}",
            engine="device",
            value=percentile(times, share) * 1000,
            unit="ms",
            aim=aim,
            limit=percentile(bare, share) * 1000,
            limit_what=f"{name} of bare SELECTs of the same prices",
            limit_unit="ms",
            cost_max=cost_max,
            note=(
                f"processor {spent.processor / rounds * 1000:.2f} ms each; "
                f"{percentile(times, share) / looked / lines:,.0f} look-ups in a dictionary a line"
            ),
            foreign_cores=spent.foreign_cores,
        )
        for name, share in _SHARES
    ]


def _seconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _basket(replica: PricedReplica, chance: random.Random, lines: int) -> Basket:
    chosen = chance.sample(replica.product_ids, lines)
    return Basket(
        customer_id=replica.customer_id,
        channel=Channel.REP,
        instant_ms=1_000,
        lines=tuple(
            BasketLine(line_id=uuid7(0, number), product_id=each, quantity=chance.choice(_QUANTITIES))
            for number, each in enumerate(chosen)
        ),
    )


def _quotes(place: Premises) -> Figure:
    """Baskets over HTTP, one after the other."""
    reading = connect(str(place.synced_device()))
    identity = load(reading, Identity)
    reading.close()
    assert identity is not None
    chance = random.Random(7)
    headers = {"authorization": f"Bearer {identity.token}"}
    server, used = place.server, processor_seconds(place.server)
    with httpx2.Client(base_url=place.server_url, headers=headers, timeout=30) as client:
        bodies = [_quote_of(place, chance) for _ in range(QUOTES)]
        bare = min(_seconds(lambda: [client.get("/healthz").raise_for_status() for _ in range(QUOTES)]) for _ in range(2))
        with spending(*place.others) as spent:
            for body in bodies:
                client.post("/quotes", json=body).raise_for_status()
    return Figure(
        budget="price_quotes",
        what=f"baskets of {QUOTED_LINES} lines priced over HTTP, one after the other",
        engine=place.engine,
        value=QUOTES / spent.seconds,
        unit="quotes/s",
        aim=50,
        limit=QUOTES / bare,
        limit_what="bare round trips",
        limit_unit="/s",
        cost_max=20,
        more_is_better=True,
        note=f"processor of the server {(processor_seconds(server) - used) / QUOTES * 1000:.1f} ms each, round trips counted",
        foreign_cores=spent.foreign_cores,
    )


def _quote_of(place: Premises, chance: random.Random) -> dict[str, object]:
    lines = [{"product_id": str(each.id), "quantity": 100} for each in chance.sample(place.work.products, QUOTED_LINES)]
    return {"customer_id": str(chance.choice(place.work.customers).id), "lines": lines}


async def _published(place: Premises) -> list[Figure]:
    """A list's prices of tomorrow, in one transaction, and then on a device."""
    entries = _of_tomorrow(place)
    async with await OrderClient.open(place.synced_device()) as device, opened(place.database_url) as database:
        await device.sync()
        with spending(*place.others) as writing:
            await _insert(database, entries)
        with spending(*place.others) as following:
            report = await device.sync()
        assert report.rows >= len(entries)
    return [
        _published_figure(place, "in the log", writing, len(entries)),
        _published_figure(place, "on a device", following, len(entries)),
    ]


def _of_tomorrow(place: Premises) -> list[PriceEntry]:
    chance, price_list = random.Random(11), place.work.lists[0]
    return [
        PriceEntry(
            id=uuid7(1_790_000_000_000, chance.getrandbits(74)),
            price_list_id=price_list.id,
            product_id=product.id,
            min_quantity=1,
            unit_price=chance.randint(1, 500) * 10_000,
            valid_from_ms=1_900_000_000_000,
        )
        for product in place.work.products
    ]


async def _insert(database: Database, entries: list[PriceEntry]) -> None:
    async with database.write() as session:
        await upsert_rows(session, BY_ROW[PriceEntry], entries)


def _published_figure(place: Premises, where: str, spent: Spent, rows: int) -> Figure:
    return Figure(
        budget="price_list",
        what=f"a list of {rows:,} prices of tomorrow, in one transaction, until all are {where}",
        engine=place.engine,
        value=spent.seconds,
        unit="s",
        aim=20.0,
        limit=_bare_upsert(place),
        limit_what="bare upsert of the same rows",
        limit_unit="s",
        cost_max=20,
        note=f"{rows / spent.seconds:,.0f} rows/s; processor {spent.processor:.1f} s",
        foreign_cores=spent.foreign_cores,
    )


def _bare_upsert(place: Premises) -> float:
    """The seconds that the same rows take into a table of the device's shape, with its indexes and nothing else."""
    reading = connect(str(shown_path(place.synced_device())))
    rows = reading.execute("SELECT * FROM price_entry WHERE valid_from_ms > 0").fetchall()
    shape = [
        sql for (sql,) in reading.execute("SELECT sql FROM sqlite_master WHERE tbl_name = 'price_entry' AND type <> 'trigger'")
    ]
    reading.close()
    path = place.folder / f"bare-{time.monotonic_ns()}.db"
    writing = connect(str(path))
    for sql in shape:
        writing.execute(sql)
    began = time.perf_counter()
    writing.execute("BEGIN IMMEDIATE")
    writing.executemany(_upsert_sql(BY_NAME["price_entry"], "price_entry"), rows)
    writing.execute("COMMIT")
    seconds = time.perf_counter() - began
    writing.close()
    path.unlink()
    return seconds

"""Taking an order at the counter, with no network: a line is added, priced and saved before the call returns.

The limit is a bare commit of one small row into a SQLite file of the same folder, as durable as the device's: what the
disk itself asks for a promise that holds.
"""

import asyncio
import random
import statistics
import time

from benchmarks.device import connect
from benchmarks.figures import Figure, percentile, spending
from benchmarks.premises import Premises
from client_sdk import OrderClient

LINES = 1_000
LINES_EACH = 20


def run(place: Premises) -> list[Figure]:
    if "order_entry" not in place.kept:
        place.kept["order_entry"] = True
        _ = place.synced_device()
        return asyncio.run(_run(place))
    return []


async def _run(place: Premises) -> list[Figure]:
    chance, times = random.Random(7), list[float]()
    limits = _bare(place)
    async with await OrderClient.open(place.synced_device()) as device:
        with spending() as spent:
            for _ in range(LINES // LINES_EACH):
                customer = chance.choice(place.work.customers)
                draft = await device.draft_order(customer.id)
                for product in chance.sample(place.work.orderable(customer), LINES_EACH):
                    began = time.perf_counter()
                    line = await draft.add_line(product.id, 100)
                    times.append(time.perf_counter() - began)
                    assert line.unit_price
                await draft.discard()
    shares = (("p50", statistics.median, 10.0), ("p99", lambda values: percentile(values, 0.99), 20.0))
    return [
        Figure(
            budget="order_entry",
            what=f"{name} of {LINES:,} lines added with price, {place.work.products_count:,} products",
            engine="device",
            value=share(times) * 1000,
            unit="ms",
            aim=aim,
            limit=share(limits) * 1000,
            limit_what=f"{name} of bare commits",
            limit_unit="ms",
            cost_max=10,
            note=f"processor {spent.processor / LINES * 1000:.2f} ms a line, orders of {LINES_EACH}" if name == "p50" else "",
            foreign_cores=spent.foreign_cores,
        )
        for name, share, aim in shares
    ]


def _bare(place: Premises) -> list[float]:
    connection = connect(str(place.folder / "commits.db"))
    connection.execute("CREATE TABLE saved (id INTEGER PRIMARY KEY, value BLOB)")
    times = []
    for _ in range(LINES):
        began = time.perf_counter()
        connection.execute("INSERT INTO saved (value) VALUES (zeroblob(64))")
        times.append(time.perf_counter() - began)
    connection.close()
    return times

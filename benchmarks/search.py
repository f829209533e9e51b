"""Search as you type: every beginning of what people type, one character after the other, over all products.

The limit is a bare look-up of as many products by an index of the same file, in order, each read whole.
"""

import asyncio
import random
import statistics
import time

from benchmarks.figures import Figure, percentile, spending
from benchmarks.premises import Premises
from benchmarks.standard_work import StandardWork
from client_sdk import OrderClient
from tests.support.device_files import look_into

TYPED = 60
LIMIT = 20


def run(place: Premises) -> list[Figure]:
    if "search" not in place.kept:
        place.kept["search"] = True
        _ = place.synced_device()
        return asyncio.run(_run(place))
    return []


def typed(work: StandardWork) -> list[str]:
    """What people type: words of a name in its order or not, a size, a SKU, a word that is not there."""
    chance = random.Random("42/search")
    texts = ["", "x", "ungalvanised pipe", "m12x100", "brass", "SKU-0", "12"]
    for product in chance.sample(work.products, TYPED):
        words = product.name.lower().split()
        texts.append(
            chance.choice(
                (
                    " ".join(words[: chance.randint(1, 4)]),
                    " ".join(chance.sample(words, 2)),
                    f"{words[2]} {words[4]}",
                    product.sku,
                    product.name,
                )
            )
        )
    return sorted({text[:end] for text in texts for end in range(len(text) + 1)})


async def _run(place: Premises) -> list[Figure]:
    queries, times = typed(place.work), dict[str, float]()
    limits = _bare(place, len(queries))
    async with await OrderClient.open(place.synced_device()) as device:
        with spending() as spent:
            for query in queries:
                began = time.perf_counter()
                await device.search(query, limit=LIMIT)
                times[query] = time.perf_counter() - began
    slowest = sorted(times, key=times.__getitem__)[-3:]
    shares = (("p50", statistics.median, 10.0), ("p99", lambda values: percentile(values, 0.99), 20.0))
    return [
        Figure(
            budget="search",
            what=f"{name} of {len(queries):,} beginnings of queries, {place.work.products_count:,} products",
            engine="device",
            value=share(list(times.values())) * 1000,
            unit="ms",
            aim=aim,
            limit=share(limits) * 1000,
            limit_what=f"{name} of index look-ups",
            limit_unit="ms",
            cost_max=100,
            note=f"slowest: {', '.join(map(repr, slowest))}, at most {max(times.values()) * 1000:.0f} ms" if name == "p99" else "",
            foreign_cores=spent.foreign_cores,
        )
        for name, share, aim in shares
    ]


def _bare(place: Premises, count: int) -> list[float]:
    connection = look_into(place.synced_device())
    chance, times = random.Random(3), []
    for _ in range(count):
        sku = f"SKU-{chance.randrange(place.work.products_count):06d}"
        began = time.perf_counter()
        connection.execute("SELECT * FROM product WHERE sku >= ? ORDER BY sku LIMIT ?", (sku, LIMIT)).fetchall()
        times.append(time.perf_counter() - began)
    connection.close()
    return times

"""5,000 orders of 10 lines, a season's, sent home over a LAN by a device that follows, and the memory that it takes.

The limit is that of `push`: a bare insert of the resulting rows in as many transactions as there were pushes.
"""

import asyncio
import random

import psutil

from benchmarks.figures import MEGABYTE, Figure, Spent, spending
from benchmarks.premises import Premises
from benchmarks.push import LINES, bare, take_orders
from client_sdk import OrderClient, outbox

LOOK_SECONDS = 0.1


def run(place: Premises) -> list[Figure]:
    _ = place.synced_device()
    orders = max(100, place.work.products_count // 20)
    spent, growth_bytes = asyncio.run(_drain(place, orders))
    limit = min(bare(place, orders) for _ in range(3))
    return [
        Figure(
            budget="drain",
            what=f"{orders:,} queued orders of {LINES} lines over a LAN, until none waits",
            engine=place.engine,
            value=spent.seconds,
            unit="s",
            aim=120 * orders / 5_000,
            limit=limit,
            limit_what="bare insert of the same rows",
            limit_unit="s",
            cost_max=60,
            note=f"the device's process grew by {growth_bytes / MEGABYTE:.0f} MB (at most 64)",
            foreign_cores=spent.foreign_cores,
        )
    ]


async def _drain(place: Premises, orders: int) -> tuple[Spent, int]:
    async with await OrderClient.open(place.synced_device()) as device:
        await device.sync()
        await device._store.write(take_orders, place, orders, random.Random(3), device._surroundings)
        process = psutil.Process()
        before_bytes = peak_bytes = process.memory_info().rss
        with spending(*place.others) as spent:
            async with device.follow():
                while await device._store.read(outbox.count):
                    await asyncio.sleep(LOOK_SECONDS)
                    peak_bytes = max(peak_bytes, process.memory_info().rss)
        return spent, peak_bytes - before_bytes

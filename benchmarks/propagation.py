"""Changes on their way: from a commit on the server until a device that follows it shows them, durably.

The device hears of them by its live stream alone: it never asks by itself. The limit of one changed row is a bare round trip
to the same server, which asks its database nothing but whether it is there; that of many rows is a bare bulk write of them.
"""

import asyncio
import random
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import sqlalchemy as sa

from benchmarks.device import CountingEndpoint
from benchmarks.figures import Figure, percentile, processor_seconds, spending
from benchmarks.premises import Premises, opened
from benchmarks.standard_work import make_id
from client_sdk import OrderClient
from client_sdk.events import CheckpointReached, Event
from server.catalog.models import ProductModel
from server.pricing.models import PriceEntryModel
from server.runtime.database import Database, WriteSession
from server.runtime.rows import insert_rows, table_of
from sync_protocol.entities.pricing import PriceEntry

CHANGES = 200
MANY = 10_000
NEVER_SECONDS = 86_400.0
DEEP = 5_000
"""The quantity from which a price of this benchmark's own counts: no other is so deep."""


class Ear:
    """A device that follows, and the checkpoints that it was told of."""

    def __init__(self, device: OrderClient) -> None:
        self.device = device
        self._told: asyncio.Queue[CheckpointReached] = asyncio.Queue()
        device.subscribe(self._note)

    def _note(self, event: Event) -> None:
        if isinstance(event, CheckpointReached):
            self._told.put_nowait(event)

    async def hear(self, entity: str, count: int) -> None:
        """Until so many rows of an entity were told of."""
        async with asyncio.timeout(60):
            while count > 0:
                count -= (await self._told.get()).changed.get(entity, 0)


def run(place: Premises) -> list[Figure]:
    _ = place.synced_device()
    return asyncio.run(_run(place))


async def _run(place: Premises) -> list[Figure]:
    async with opened(place.database_url) as database, httpx2.AsyncClient(base_url=place.server_url) as client:
        trips = [await _timed(lambda: client.get("/healthz")) for _ in range(CHANGES)]
        async with _following(place) as ear:
            singles = await _single_changes(place, database, ear, trips)
            many = await _many_changes(place, database, ear)
        return [*singles, await _nothing_new(place, trips), *many]


@asynccontextmanager
async def _following(place: Premises) -> AsyncIterator[Ear]:
    async with await OrderClient.open(place.synced_device()) as device:
        ear = Ear(device)
        async with device.follow(poll_seconds=NEVER_SECONDS) as follower:
            while not follower.status().is_live or follower.status().state != "waiting":  # noqa: ASYNC110  # it tells by its status
                await asyncio.sleep(0.01)
            yield ear


async def _single_changes(place: Premises, database: Database, ear: Ear, trips: list[float]) -> list[Figure]:
    times, chance, server = list[float](), random.Random("propagation"), place.server
    product = place.work.products[-1]
    used, database_used = processor_seconds(server), processor_seconds(*place.others)
    with spending(*place.others) as spent:
        for number in range(CHANGES):
            name = f"Changed {number}"
            await asyncio.sleep(chance.uniform(0.02, 0.08))
            async with database.write() as session:
                await session.execute(sa.update(ProductModel).where(ProductModel.id == product.id).values(name=name))
            began = time.perf_counter()
            await ear.hear("product", 1)
            assert (await ear.device.product(product.id)).name == name
            times.append(time.perf_counter() - began)
    served, stored = processor_seconds(server) - used, processor_seconds(*place.others) - database_used
    spenders = {"device with the writer": spent.processor - served - stored, "server": served, "database": stored}
    note = f"processor a change: {', '.join(f'{name} {seconds / CHANGES * 1000:.1f} ms' for name, seconds in spenders.items())}"
    shares = (("median", statistics.median, 12.0), ("p99", lambda values: percentile(values, 0.99), 40.0))
    return [
        Figure(
            budget="propagation",
            what=f"{name} of {CHANGES} single changes, from commit by a live hint to visible",
            engine=place.engine,
            value=share(times) * 1000,
            unit="ms",
            aim=aim,
            limit=share(trips) * 1000,
            limit_what=f"{name} of bare round trips",
            limit_unit="ms",
            cost_max=20,
            note=note if name == "median" else "",
            foreign_cores=spent.foreign_cores,
        )
        for name, share, aim in shares
    ]


async def _nothing_new(place: Premises, trips: list[float]) -> Figure:
    """A sync of a device that is up to date, and the bytes of its page."""
    async with await OrderClient.open(place.synced_device(), endpoint_for=CountingEndpoint) as device:
        await device.sync()
        CountingEndpoint.received = 0
        with spending(*place.others) as spent:
            times = [await _timed(device.sync) for _ in range(CHANGES)]
    return Figure(
        budget="propagation",
        what=f"median of {CHANGES} syncs with nothing new",
        engine=place.engine,
        value=statistics.median(times) * 1000,
        unit="ms",
        aim=10.0,
        limit=statistics.median(trips) * 1000,
        limit_what="median of bare round trips",
        limit_unit="ms",
        cost_max=15,
        note=f"p99 {percentile(times, 0.99) * 1000:.1f} ms; a page of {CountingEndpoint.received / CHANGES:.0f} bytes",
        foreign_cores=spent.foreign_cores,
    )


async def _many_changes(place: Premises, database: Database, ear: Ear) -> list[Figure]:
    """Prices in one commit each: new ones, the same at another price, and all of them deleted."""
    count = min(MANY, len(place.work.products) * len(place.work.lists))
    chance = random.Random("many")
    pairs = [(product.id, each.id) for each in place.work.lists for product in place.work.products][:count]
    prices = [
        PriceEntry(id=make_id(chance), price_list_id=listed, product_id=product, min_quantity=DEEP, unit_price=1)
        for product, listed in pairs
    ]
    ours = PriceEntryModel.min_quantity == DEEP
    acts: dict[str, Callable[[WriteSession], Awaitable[Any]]] = {
        "new": lambda session: insert_rows(session, prices),
        "changed": lambda session: session.execute(sa.update(PriceEntryModel).where(ours).values(unit_price=2)),
        "deleted": lambda session: session.execute(sa.delete(table_of(PriceEntry)).where(ours)),
    }
    return [_many_figure(place, f"{count:,} {name}", *await _many(database, ear, act, count)) for name, act in acts.items()]


async def _many(database: Database, ear: Ear, act: Callable[[WriteSession], Awaitable[Any]], count: int) -> tuple[float, float]:
    """The seconds that a write took, and those from its commit until the device shows it."""
    began = time.perf_counter()
    async with database.write() as session:
        await act(session)
    written = time.perf_counter()
    await ear.hear("price_entry", count)
    return written - began, time.perf_counter() - written


def _many_figure(place: Premises, what: str, written: float, seconds: float) -> Figure:
    return Figure(
        budget="propagation",
        what=f"{what} rows of one commit, by a live hint to visible",
        engine=place.engine,
        value=seconds,
        unit="s",
        aim=1.0,
        limit=written,
        limit_what="the write itself, with its capture",
        limit_unit="s",
        cost_max=5,
    )


async def _timed(act: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await act()
    return time.perf_counter() - began

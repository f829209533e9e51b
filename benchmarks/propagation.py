"""One changed row, from its commit on the server until a connected device shows it.

The device asks as soon as the commit is there, as it does when it is polling or was told. The limit is a bare round trip
to the same server over the same kind of connection, which asks its database nothing but whether it is there.
"""

import asyncio
import statistics
import time

import httpx2
import sqlalchemy as sa

from benchmarks.figures import Figure, percentile, processor_seconds, spending
from benchmarks.premises import Premises, opened
from client_sdk import OrderClient
from server.catalog.models import ProductModel

CHANGES = 100


def run(place: Premises) -> list[Figure]:
    _ = place.synced_device()
    return asyncio.run(_run(place))


async def _run(place: Premises) -> list[Figure]:
    times: list[float] = []
    product, server = place.work.products[-1], place.server
    async with (
        await OrderClient.open(place.synced_device()) as device,
        opened(place.database_url) as database,
        httpx2.AsyncClient(base_url=place.server_url) as client,
    ):
        await device.sync()
        trips = [await _timed(client) for _ in range(CHANGES)]
        used = processor_seconds(server)
        with spending(*place.others) as spent:
            for number in range(CHANGES):
                name = f"Changed {number}"
                async with database.write() as session:
                    await session.execute(sa.update(ProductModel).where(ProductModel.id == product.id).values(name=name))
                began = time.perf_counter()
                while (await device.product(product.id)).name != name:
                    await device.sync()
                times.append(time.perf_counter() - began)
    served = (processor_seconds(server) - used) / CHANGES * 1000
    note = f"processor: server {served:.1f} ms a change, device with the writer {spent.processor / CHANGES * 1000 - served:.1f} ms"
    shares = (("median", statistics.median, 30.0), ("p99", lambda values: percentile(values, 0.99), 100.0))
    return [
        Figure(
            budget="propagation",
            what=f"{name} of {CHANGES} single changes, commit to visible",
            engine=place.engine,
            value=share(times) * 1000,
            unit="ms",
            aim=aim,
            limit=share(trips) * 1000,
            limit_what=f"{name} of bare round trips",
            limit_unit="ms",
            cost_max=30,
            note=note if name == "median" else "",
            foreign_cores=spent.foreign_cores,
        )
        for name, share, aim in shares
    ]


async def _timed(client: httpx2.AsyncClient) -> float:
    began = time.perf_counter()
    (await client.get("/healthz")).raise_for_status()
    return time.perf_counter() - began

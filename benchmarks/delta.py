"""A delta: 10,000 changed rows, half of them products under new names, half of them prices, until a device shows them.

The limit is a bare upsert of the same rows into a copy of the same file, with its indexes and without its full-text
index, in one transaction.
"""

import asyncio
import itertools
import shutil
import statistics
import time
from pathlib import Path

import sqlalchemy as sa

from benchmarks.device import connect
from benchmarks.figures import Figure, Spent, processor_seconds, spending
from benchmarks.premises import Premises, opened
from client_sdk import OrderClient
from client_sdk.replica import _upsert_sql
from client_sdk.replica_file import shown_path
from server.pricing.models import PriceEntryModel
from server.runtime.database import Database
from sync_protocol.entities import BY_NAME
from tests.support.device_files import look_into

ROUNDS = 5


def run(place: Premises) -> list[Figure]:
    _ = place.synced_device()
    return asyncio.run(_run(place))


async def _run(place: Premises) -> list[Figure]:
    count = place.work.products_count // 20
    copy = place.folder / "delta.db"
    shutil.copyfile(str(shown_path(place.synced_device())), copy)
    rounds: list[tuple[Spent, int, float]] = []
    server = place.server
    used = processor_seconds(server)
    async with await OrderClient.open(place.synced_device()) as device, opened(place.database_url) as database:
        await device.sync()
        for number in range(ROUNDS):
            await _change(database, place, count, number)
            with spending(*place.others) as spent:
                report = await device.sync()
            assert (await device.search(f"moved{number}", limit=1))[0].name.endswith(f"moved{number}")
            rounds.append((spent, report.rows, _bare(copy, place.synced_device(), report.cursor)))
    spent, rows, bare = min(rounds, key=lambda each: each[0].seconds)
    return [
        Figure(
            budget="delta",
            what=f"{rows:,} changed rows, from sync() to visible",
            engine=place.engine,
            value=spent.seconds,
            unit="s",
            aim=1.5,
            limit=bare,
            limit_what="bare upsert of the same rows",
            limit_unit="s",
            cost_max=5.0,
            note=(
                f"median of {ROUNDS}: {statistics.median(each.seconds for each, _, _ in rounds):.2f} s; processor: device "
                f"{spent.processor:.2f} s, server {(processor_seconds(server) - used) / ROUNDS:.2f} s a round"
            ),
            foreign_cores=spent.foreign_cores,
        )
    ]


async def _change(database: Database, place: Premises, count: int, number: int) -> None:
    """Rename products and move prices, all in one transaction, as an import over night does."""
    products = sa.table("product", sa.column("name"), sa.column("sku"))
    first, last = f"SKU-{0:06d}", f"SKU-{count - 1:06d}"
    chosen = [each.id for each in place.work.products[count : count + count // 5]]
    async with database.write() as session:
        renamed = sa.update(products).where(products.c.sku.between(first, last))
        plain = sa.func.replace(products.c.name, f" moved{number - 1}", "")
        await session.execute(renamed.values(name=plain + f" moved{number}"))
        raised = sa.update(PriceEntryModel).values(unit_price=PriceEntryModel.unit_price + 100)
        for start in range(0, len(chosen), 500):
            await session.execute(raised.where(PriceEntryModel.product_id.in_(chosen[start : start + 500])))


def _bare(copy: Path, source: Path, cursor: int) -> float:
    """The seconds that a bare upsert takes of the rows that `source` has at `cursor`."""
    reading = look_into(source)
    names = ("product", "price_entry")
    rows = {name: reading.execute(f"SELECT * FROM {name} WHERE commit_seq = ?", (cursor,)).fetchall() for name in names}
    reading.close()
    writing = connect(str(copy))
    for table, kept in itertools.product(names, ("search", "sum")):
        for act in ("insert", "delete", "update"):
            writing.execute(f"DROP TRIGGER IF EXISTS {table}_{kept}_{act}")
    began = time.perf_counter()
    writing.execute("BEGIN IMMEDIATE")
    for name in names:
        writing.executemany(_upsert_sql(BY_NAME[name], name), rows[name])
    writing.execute("COMMIT")
    seconds = time.perf_counter() - began
    writing.close()
    return seconds

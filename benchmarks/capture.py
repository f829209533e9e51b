"""What the change log costs a bulk write: 100,000 prices upserted with the capture triggers and without them.

The limit is the same bulk write, through the same code, into the same tables, with the triggers of that table gone. The
rows are the same; first they are all new, then all of them are changed.
"""

import asyncio

import msgspec
import sqlalchemy as sa

from benchmarks.figures import Figure, Spent, spending
from benchmarks.premises import Premises, opened
from server.integration.bulk import Counts, upsert_rows
from server.pricing.models import PriceEntryModel
from server.runtime.database import Database
from sync_protocol.entities import BY_ROW
from sync_protocol.entities.pricing import PriceEntry

ROUNDS = 2
_TRIGGERS = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'price_entry'"


def run(place: Premises) -> list[Figure]:
    place.stop_server()
    return asyncio.run(_run(place))


async def _run(place: Premises) -> list[Figure]:
    count = place.work.products_count
    fresh = [each for number, each in enumerate(place.work.prices()) if number < count]
    with_them: list[tuple[Spent, Spent]] = []
    without: list[tuple[Spent, Spent]] = []
    async with opened(place.database_url) as database:
        triggers = await _triggers(database)
        for _ in range(ROUNDS):
            with_them.append(await _upserts(database, place, fresh))
            await _drop(database, triggers)
            without.append(await _upserts(database, place, fresh))
            await _restore(database, triggers)
    place.kept.pop("device", None)
    figures = []
    for place_in_pair, what in enumerate(("new", "changed")):
        captured = min((each[place_in_pair] for each in with_them), key=lambda each: each.seconds)
        bare = min((each[place_in_pair] for each in without), key=lambda each: each.seconds)
        figures.append(
            Figure(
                budget="capture",
                what=f"{count:,} {what} prices in one bulk write, captured",
                engine=place.engine,
                value=captured.seconds,
                unit="s",
                aim=10.0,
                limit=bare.seconds,
                limit_what="the same without triggers",
                limit_unit="s",
                cost_max=3,
                note=f"{count / captured.seconds:,.0f} rows/s; processor {captured.processor:.1f} s, bare {bare.processor:.1f} s",
                foreign_cores=captured.foreign_cores,
            )
        )
    return figures


async def _upserts(database: Database, place: Premises, fresh: list[PriceEntry]) -> tuple[Spent, Spent]:
    """The prices as new ones, then all changed."""
    changed = [msgspec.structs.replace(each, unit_price=each.unit_price + 1) for each in fresh]
    async with database.write() as session:
        await session.execute(sa.delete(PriceEntryModel))
    inserted, insert_spent = await _timed(database, place, fresh)
    updated, update_spent = await _timed(database, place, changed)
    assert inserted.inserted == updated.updated == len(fresh)
    return insert_spent, update_spent


async def _timed(database: Database, place: Premises, rows: list[PriceEntry]) -> tuple[Counts, Spent]:
    with spending(*place.others) as spent:
        async with database.write() as session:
            counts = await upsert_rows(session, BY_ROW[PriceEntry], rows)
    return counts, spent


async def _triggers(database: Database) -> list[tuple[str, str]]:
    """The names of the triggers on prices, with what makes them on SQLite."""
    if not database.is_sqlite:
        return []
    async with database.read() as session:
        found = await session.execute(sa.text(_TRIGGERS))
        return [(name, sql) for name, sql in found]


async def _drop(database: Database, triggers: list[tuple[str, str]]) -> None:
    statements = [f"DROP TRIGGER {name}" for name, _ in triggers] or ["ALTER TABLE price_entry DISABLE TRIGGER USER"]
    await _execute(database, statements)


async def _restore(database: Database, triggers: list[tuple[str, str]]) -> None:
    await _execute(database, [sql for _, sql in triggers] or ["ALTER TABLE price_entry ENABLE TRIGGER USER"])


async def _execute(database: Database, statements: list[str]) -> None:
    async with database.write() as session:
        connection = await session.connection()
        for statement in statements:
            await connection.exec_driver_sql(statement)

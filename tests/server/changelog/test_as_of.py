"""Rows as they stood at an earlier place of the log are what they were there, whoever changed them since, on both engines."""

import asyncio
import random
from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.changelog.as_of import AsOf, PlaceUnknownError, Unknown
from server.changelog.log import age_out, forget_versions, read_head, rotate_epoch, seal_foreign_writes
from server.changelog.mending import mend
from server.changelog.models import ChangeCommitModel, ChangeHeadModel, RowHistoryModel
from server.changelog.superseded import KEPT_BY
from server.integration.bulk import upsert_rows
from server.runtime.database import Database, ReadSession, WriteSession
from server.runtime.rows import fetch_rows
from sync_protocol.entities import BY_NAME, BY_ROW
from sync_protocol.entities.catalog import Category
from sync_protocol.entities.customers import Address
from sync_protocol.entities.inventory import StockLevel
from sync_protocol.entities.pricing import PriceEntry
from sync_protocol.entities.taxes import TaxRate
from sync_protocol.values import Row
from tests.support.change_log import IDS, connect_foreign, literal, write_past_the_server
from tests.support.world import World

DAY_MS: Final = 86_400_000
TEXTS: Final = ("plain", "Größe 22 mm 🚚", 'it\'s "quoted"', "back\\slash", "two\nlines", "100 %")
LOOK_UPS: Final[dict[type[Row], tuple[tuple[str, ...], ...]]] = {
    TaxRate: (("id",), ("jurisdiction",), ("jurisdiction", "product_tax_code")),
    Category: (("id",), ("code",)),
    Address: (("customer_id",), ("id",), ("id", "customer_id")),
    PriceEntry: (("product_id",), ("price_list_id", "product_id"), ("price_list_id",), ("unit_price",)),
}
"""Which rows are changed at random, and by what they are looked up: by the column of their history, and otherwise."""
Copy = dict[type[Row], dict[UUID, Row]]


class Ledger:
    """Whole copies of the tables at each place of the log, and how to change these."""

    def __init__(self, world: World) -> None:
        self.world, self.database = world, world.database
        self.copies: dict[int, Copy] = {}

    async def copy(self) -> None:
        """Keep what the tables hold at the head."""
        await seal_foreign_writes(self.database)
        async with self.database.read() as session:
            head = await read_head(session)
            self.copies[head.head] = {kind: {row.id: row for row in await fetch_rows(session, kind)} for kind in LOOK_UPS}

    @property
    def latest(self) -> Copy:
        return self.copies[max(self.copies)]

    def statement(self, act: str, number: int, kinds: Iterable[type[Row]] = LOOK_UPS) -> str:
        """SQL that changes rows of one of these entities; `number` says which and how."""
        chance = random.Random(number)
        kind = chance.choice(list(kinds))
        name, rows = BY_ROW[kind].name, self.free(kind)
        chosen = literal(self.database, chance.choice(rows)) if rows else "NULL"
        match act:
            case "insert":
                return self._insert(name, self.values(kind, chance, IDS.new()))
            case "update":
                changed = self.values(kind, chance, IDS.new())
                columns = chance.sample(sorted(changed.keys() - {"id", "code", "min_quantity"}), 2)
                columns += ["min_quantity"] * (kind is PriceEntry)  # with which a price is unique
                return f"UPDATE {name} SET {', '.join(f'{each} = {changed[each]}' for each in columns)} WHERE id = {chosen}"
            case "update all":
                text = {TaxRate: "name", Category: "name", Address: "city"}.get(kind)
                assigned = f"{text} = 'by {number}'" if text else "unit_price = abs(unit_price - 1)"
                return f"UPDATE {name} SET {assigned}"
            case "nothing":
                return f"UPDATE {name} SET id = id"
            case "delete":
                return f"DELETE FROM {name} WHERE id = {chosen}"
        raise NotImplementedError(act)

    def again(self, number: int, kinds: Iterable[type[Row]] = LOOK_UPS) -> tuple[str, str]:
        """SQL that deletes a row and inserts another with its id."""
        chance = random.Random(number)
        kind = chance.choice(list(kinds))
        identifier = chance.choice([*self.free(kind), IDS.new()])
        name = BY_ROW[kind].name
        deletion = f"DELETE FROM {name} WHERE id = {literal(self.database, identifier)}"
        return deletion, self._insert(name, self.values(kind, chance, identifier))

    def free(self, kind: type[Row]) -> list[UUID]:
        """Rows that nothing refers to."""
        return sorted(self.latest[kind].keys() - {self.world.company.category.id})

    def _insert(self, name: str, values: dict[str, str]) -> str:
        return f"INSERT INTO {name} ({', '.join(values)}) VALUES ({', '.join(values.values())})"

    def values(self, kind: type[Row], chance: random.Random, identifier: UUID) -> dict[str, str]:
        """The columns of a row as SQL."""
        company = self.world.company
        text = "'" + chance.choice(TEXTS).replace("'", "''") + "'"
        if kind is TaxRate:
            codes = {name: f"'{chance.choice('AB')}'" for name in ("jurisdiction", "customer_tax_code", "product_tax_code")}
            until = chance.choice(("NULL", "253402300799999"))
            values = codes | {"name": text, "rate_ppm": str(chance.randrange(1_000_000)), "valid_until_ms": until}
        elif kind is Category:
            parent = chance.choice([literal(self.database, self.world.company.category.id), "NULL"])
            values = {"code": f"'{IDS.new().hex}'", "name": text, "parent_id": parent}
        elif kind is Address:
            customer = literal(self.database, chance.choice(company.customers).id)
            texts = dict.fromkeys(("label", "street", "postal_code", "city", "region"), text)
            values = {"customer_id": customer, "country": "'DE'", **texts}
        else:
            values = {
                "product_id": literal(self.database, chance.choice(company.products).id),
                "price_list_id": literal(self.database, chance.choice(company.price_lists).id),
                "min_quantity": str(1_000 + IDS.new().int % 9_000_000),
                "unit_price": str(chance.choice((0, 10**13, chance.randrange(1_000)))),
            }
        return {"id": literal(self.database, identifier), **values}

    async def assert_true(self) -> None:
        """Each place reads as its copy says, or where it is forgotten not at all."""
        async with self.database.read() as session:
            floor = (await session.execute(sa.select(ChangeHeadModel.history_floor))).scalar_one()
        for place, copy in self.copies.items():
            async with self.database.read() as session:
                if place < floor:
                    await assert_unknown(session, place, Unknown.FORGOTTEN)
                else:
                    await assert_read(await as_of(session, place), copy)


async def as_of(session: ReadSession, place: int) -> AsOf:
    return await AsOf.of(session, (await read_head(session)).epoch, place)


async def assert_unknown(session: ReadSession, place: int, reason: Unknown) -> None:
    with pytest.raises(PlaceUnknownError) as refused:
        await as_of(session, place)
    assert refused.value.reason is reason


async def assert_read(reader: AsOf, copy: Copy) -> None:
    """All rows, and those of some keys, are those of the copy."""
    for kind, look_ups in LOOK_UPS.items():
        rows = copy[kind]
        assert by_id(await reader.find_all(kind, (), ())) == sorted(rows.values(), key=lambda row: row.id), (
            kind,
            reader.commit_seq,
        )
        for columns in look_ups:
            keys = list(dict.fromkeys(key_of(row, columns) for row in rows.values()))
            for wanted in (keys, keys[::2], [key_of(row, columns) for row in rows.values()][:1] * 2):
                found = await reader.find_all(kind, columns, wanted)
                expected = [row for row in rows.values() if key_of(row, columns) in wanted]
                assert by_id(found) == by_id(expected), (kind, columns, reader.commit_seq)
                order = [key_of(row, columns) for row in found]
                assert list(dict.fromkeys(order)) == list(dict.fromkeys(wanted))


def by_id(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row.id)


def key_of(row: Row, columns: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in columns)


@pytest.fixture
async def ledger(world: World) -> Ledger:
    made = Ledger(world)
    await made.copy()
    return made


async def run(session: WriteSession, *statements: str) -> None:
    connection = await session.connection()
    for statement in statements:
        await connection.exec_driver_sql(statement)


async def commit(database: Database, *statements: str) -> None:
    async with database.write() as session:
        await run(session, *statements)


async def versions_of(database: Database) -> list[tuple[str, UUID]]:
    names = {BY_NAME[name].number: name for name in KEPT_BY}
    async with database.read() as session:
        found = await session.execute(sa.select(RowHistoryModel.entity, RowHistoryModel.row_id))
        return [(names[entity], row_id) for entity, row_id in found]


async def head_of(database: Database) -> int:
    async with database.read() as session:
        return (await read_head(session)).head


# Whatever is written

SINGLE = ("insert", "insert", "update", "update", "update", "update all", "delete", "nothing")
HOW = ("session", "session", "savepoint", "foreign", "foreign twice", "bulk", "again", "crossing", "age")
STEPS = st.lists(
    st.tuples(st.sampled_from(HOW), st.lists(st.sampled_from(SINGLE), min_size=1, max_size=5), st.integers(0, 1_000_000)),
    min_size=1,
    max_size=10,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_each_place_reads_as_the_copy_that_was_made_there(world: World, steps: list[tuple[str, list[str], int]]) -> None:
    ledger = Ledger(world)
    await ledger.copy()
    for how, acts, number in steps:
        await take(ledger, how, acts, number)
        await ledger.copy()
    await ledger.assert_true()


async def take(ledger: Ledger, how: str, acts: list[str], number: int) -> None:
    """One step: a transaction, or two of which the first to begin commits last, or ageing."""
    database = ledger.database
    statements = [ledger.statement(act, number * 10 + place) for place, act in enumerate(acts)]
    match how:
        case "session":
            await commit(database, *statements)
        case "savepoint":
            async with database.write() as session:
                await run(session, *statements[:1])
                nested = await session.begin_nested()
                await run(session, *statements[1:])
                await nested.rollback()
                await run(session, *statements[2:])
        case "foreign":
            await write_past_the_server(database, *statements)
        case "foreign twice":
            for statement in statements:
                await write_past_the_server(database, statement)
            if not database.is_sqlite:
                await ledger.copy()
        case "bulk":
            rows = [row for row in ledger.latest[PriceEntry].values() if row.id.int % 2]
            changed = [msgspec.structs.replace(row, unit_price=number) for row in rows]
            async with database.write() as session:
                await upsert_rows(session, BY_ROW[PriceEntry], changed)
        case "again":
            await commit(database, *ledger.again(number), *statements)
        case "crossing":
            await cross(ledger, acts, number)
        case "age":
            await age(ledger, random.Random(number).choice(sorted(ledger.copies)))


async def cross(ledger: Ledger, acts: list[str], number: int) -> None:
    """Two transactions, of which the first to begin commits last; what the other wrote it changes again."""
    first = ledger.statement("insert", number, (TaxRate,))
    others = [ledger.statement(act, number * 10 + place, (Category, Address)) for place, act in enumerate(acts)]
    if ledger.database.is_sqlite:  # one writer: the first is all that there is
        await write_past_the_server(ledger.database, first, *others)
        return
    early, late = [await connect_foreign(ledger.database) for _ in range(2)]
    try:
        transaction = early.transaction()
        await transaction.start()
        await early.execute(first)
        async with late.transaction():
            for statement in others:
                await late.execute(statement)
        await ledger.copy()
        for place, act in enumerate(acts):
            await early.execute(ledger.statement(act, number * 10 + place, (Category, Address)))
        await transaction.commit()
    finally:
        await early.close()
        await late.close()


async def age(ledger: Ledger, place: int, *, retention_days: int = 35) -> None:
    """Let what was superseded up to a place be so old that it is forgotten."""
    old = sa.update(ChangeCommitModel).where(ChangeCommitModel.commit_seq <= place).values(committed_at_ms=DAY_MS)
    async with ledger.database.write() as session:
        await session.execute(old)
        await forget_versions(session, now_ms=37 * DAY_MS, history_days=35)
        await age_out(session, now_ms=37 * DAY_MS, retention_days=retention_days)


# What is kept, and what is not


async def test_what_is_inserted_or_stays_as_it_is_leaves_no_version(ledger: Ledger) -> None:
    before = await versions_of(ledger.database)
    await commit(ledger.database, *(ledger.statement("insert", number) for number in range(20)))
    await commit(ledger.database, *(f"UPDATE {BY_ROW[kind].name} SET id = id" for kind in LOOK_UPS))
    assert await versions_of(ledger.database) == before


@pytest.mark.parametrize("name", KEPT_BY)
async def test_each_entity_is_kept_by_a_column_that_it_has_and_that_is_an_id(database: Database, name: str) -> None:
    kind = BY_NAME[name].row
    assert msgspec.inspect.type_info(kind).fields
    (kept_by,) = [field for field in msgspec.structs.fields(kind) if field.name == KEPT_BY[name]]
    assert kept_by.type is UUID
    async with database.read() as session:
        reader = await as_of(session, 0)
        assert await reader.find_all(kind, (), ()) == []
        assert await reader.find_all(kind, (kept_by.name,), [(IDS.new(),)]) == []


async def test_several_changes_within_a_transaction_leave_the_version_of_before(ledger: Ledger) -> None:
    kept, fresh = IDS.new(), IDS.new()
    one, two = literal(ledger.database, kept), literal(ledger.database, fresh)
    await commit(ledger.database, f"INSERT INTO category (id, code, name) VALUES ({one}, 'KEPT', 'first')")
    await ledger.copy()
    await commit(
        ledger.database,
        f"INSERT INTO category (id, code, name) VALUES ({two}, 'FRESH', 'a')",
        "UPDATE category SET name = 'second' WHERE code IN ('KEPT', 'FRESH')",
        "UPDATE category SET name = 'third' WHERE code IN ('KEPT', 'FRESH')",
        "DELETE FROM category WHERE code IN ('KEPT', 'FRESH')",
    )
    assert await versions_of(ledger.database) == [("category", kept)]
    await ledger.copy()
    await ledger.assert_true()


async def test_a_transaction_reads_as_of_a_place_before_what_it_has_changed_itself(ledger: Ledger) -> None:
    before = max(ledger.copies)
    async with ledger.database.write() as session:
        await run(session, "UPDATE address SET city = 'mine'", "UPDATE price_entry SET unit_price = 7")
        if not ledger.database.is_sqlite:  # where others commit meanwhile, under later changes
            await commit(ledger.database, ledger.statement("insert", 1, (TaxRate,)))
        await assert_read(await as_of(session, before), ledger.copies[before])


async def test_a_row_of_a_stored_value_that_no_row_may_have_can_be_mended(sqlite_database: Database) -> None:
    ledger = Ledger(await World.found(sqlite_database))
    await write_past_the_server(sqlite_database, "UPDATE category SET name = x'00ff', parent_id = 'rubbish'")
    await write_past_the_server(sqlite_database, "UPDATE category SET name = 'mended', parent_id = NULL")
    await ledger.copy()
    await ledger.assert_true()


# What cannot be told


async def test_a_place_ahead_of_the_log_or_of_another_log_is_refused(ledger: Ledger) -> None:
    head = max(ledger.copies)
    async with ledger.database.read() as session:
        await assert_unknown(session, head + 1, Unknown.AHEAD)
        with pytest.raises(PlaceUnknownError, match=r"of another epoch.*read the rows as they are now") as refused:
            await AsOf.of(session, IDS.new(), head)
    assert refused.value.reason is Unknown.ANOTHER_LOG
    async with ledger.database.read() as session:
        epoch = (await read_head(session)).epoch
    async with ledger.database.write() as session:
        await rotate_epoch(session, IDS.new())
    async with ledger.database.read() as session:
        with pytest.raises(PlaceUnknownError):
            await AsOf.of(session, epoch, head)


async def test_no_history_is_asked_for_of_what_has_none(ledger: Ledger) -> None:
    async with ledger.database.read() as session:
        with pytest.raises(AssertionError, match="no history is kept of stock_level"):
            await (await as_of(session, max(ledger.copies))).find_all(StockLevel, (), ())


@pytest.mark.parametrize("retention_days", [1, 35, 90])
async def test_the_last_place_of_the_window_is_kept_and_none_before(ledger: Ledger, retention_days: int) -> None:
    for number in range(8):
        await commit(ledger.database, ledger.statement("update all", number), ledger.statement("delete", number))
        await ledger.copy()
    first, *_, last = sorted(ledger.copies)
    for place in range(first, last + 1, 2):
        await age(ledger, place, retention_days=retention_days)
        await ledger.assert_true()
        async with ledger.database.read() as session:
            assert (await session.execute(sa.select(ChangeHeadModel.history_floor))).scalar_one() == place
    await age(ledger, last, retention_days=retention_days)
    assert await versions_of(ledger.database) == []
    await commit(ledger.database, ledger.statement("update all", 1))
    await ledger.copy()
    await ledger.assert_true()


async def test_ageing_never_lowers_the_floor(ledger: Ledger) -> None:
    await commit(ledger.database, ledger.statement("update all", 1))
    await age(ledger, max(ledger.copies))
    async with ledger.database.write() as session:
        assert await forget_versions(session, now_ms=36 * DAY_MS, history_days=35) == 0
    async with ledger.database.read() as session:
        assert (await session.execute(sa.select(ChangeHeadModel.history_floor))).scalar_one() == max(ledger.copies)


async def test_what_is_forgotten_while_it_is_read_is_refused(postgres: Database) -> None:
    ledger = Ledger(await World.found(postgres))
    await ledger.copy()
    place = max(ledger.copies)
    await commit(postgres, "UPDATE category SET name = 'new'")
    async with postgres.write() as session:
        reader = await as_of(session, place)
        assert by_id(await reader.find_all(Category, (), ())) == by_id(ledger.copies[place][Category].values())
        await age(ledger, place + 1)
        with pytest.raises(PlaceUnknownError) as refused:
            await reader.find_all(Category, (), ())
    assert refused.value.reason is Unknown.FORGOTTEN


async def test_what_passed_the_log_by_ends_what_can_be_told(ledger: Ledger) -> None:
    """Nobody knows what a row was that the triggers did not see change."""
    database, before = ledger.database, max(ledger.copies)
    if database.is_sqlite:
        async with database.read() as session:
            (made,) = (await session.execute(sa.text("SELECT sql FROM sqlite_master WHERE name = 'capture_category_update'"))).one()
        await commit(database, "DROP TRIGGER capture_category_update", "UPDATE category SET name = 'unseen'", made)
    else:
        off, on = ("ALTER TABLE category DISABLE TRIGGER USER", "ALTER TABLE category ENABLE TRIGGER USER")
        await commit(database, off, "UPDATE category SET name = 'unseen'", on)
    async with database.write() as session:
        assert await mend(session, ["catalog"], 1) == 1
    await ledger.copy()
    async with database.read() as session:
        await assert_unknown(session, before, Unknown.FORGOTTEN)
    await commit(database, ledger.statement("update all", 2))
    await ledger.copy()
    await ledger.assert_true()


async def test_mending_what_has_no_history_forgets_none(ledger: Ledger) -> None:
    async with ledger.database.write() as session:
        await mend(session, ["catalog"], 1)
    await ledger.copy()
    await ledger.assert_true()
    assert min(ledger.copies) > 0


# Writers at once, on PostgreSQL


async def test_writers_of_the_same_rows_leave_each_of_their_versions(postgres: Database) -> None:
    ledger = Ledger(await World.found(postgres))
    await ledger.copy()
    begin = max(ledger.copies)
    rows = [literal(postgres, row) for row in sorted(ledger.latest[PriceEntry])[:4]]

    async def write(number: int) -> None:
        async with postgres.write() as session:
            await run(session, ledger.statement("insert", number, (TaxRate,)))
            await asyncio.sleep(0.001 * (number % 5))
            await run(session, f"UPDATE price_entry SET unit_price = {number} WHERE id = {rows[number % 4]}")

    await asyncio.gather(*(write(number) for number in range(40)))
    prices: dict[UUID, list[int]] = {}
    for place in range(begin, begin + 41):
        async with postgres.read() as session:
            for row in await (await as_of(session, place)).find_all(PriceEntry, (), ()):
                known = prices.setdefault(row.id, [])
                if known[-1:] != [row.unit_price]:
                    known.append(row.unit_price)
    assert sum(len(known) - 1 for known in prices.values()) == 40
    assert sorted(price for known in prices.values() for price in known[1:]) == list(range(40))

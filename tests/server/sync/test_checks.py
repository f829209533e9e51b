"""What a device compares its replica with: checks at a checkpoint, ranges, repairs, and a log that is mended."""

from collections import Counter
from uuid import UUID

import msgspec
import pytest
import sqlalchemy as sa

from server.changelog.log import compact_sums
from server.changelog.models import BucketSumModel, ChangeLogModel
from server.runtime.database import Database
from server.runtime.rows import insert_rows, table_of
from server.sync.checks import SAMPLED
from server.sync.errors import EpochChangedError
from sync_protocol.checksums import row_checksum
from sync_protocol.entities import BY_NAME, BY_ROW, SYNCED
from sync_protocol.entities.catalog import Product
from sync_protocol.entities.customers import Contact
from sync_protocol.entities.orders import Channel, Order, OrderStatus
from sync_protocol.entities.pricing import PriceEntry
from sync_protocol.values import Row
from sync_protocol.wire.codec import PageReader, decode_rows, stored_values
from sync_protocol.wire.endpoint import SyncEndpoint
from sync_protocol.wire.messages import (
    BucketRange,
    Enrolment,
    EnrolRequest,
    PageTrailer,
    PullRequest,
    RangesReply,
    RangesRequest,
    RepairRequest,
    RowChunk,
    ScopeChunk,
)
from sync_protocol.wire.version import PROTOCOL_VERSION
from tests.support.change_log import write_past_the_server
from tests.support.world import START_MS, World, make_id


class Device:
    """A device that speaks the protocol by hand and holds what it was sent."""

    def __init__(self, world: World, endpoint: SyncEndpoint, enrolment: Enrolment) -> None:
        self.world, self.endpoint, self.enrolment = world, endpoint, enrolment
        self.rows: dict[tuple[str, bytes], tuple[object, ...]] = {}
        self.epoch: UUID | None = None
        self.cursor, self.digest, self.scope = 0, b"", ()
        self.asker = {"device_id": enrolment.device_id, "incarnation": enrolment.incarnation}

    @classmethod
    async def of(cls, world: World, login: str) -> "Device":
        request = EnrolRequest(protocol_version=PROTOCOL_VERSION, code=await world.code_for(login), device_name="by hand")
        enrolment = await world.endpoint().enrol(request)
        return cls(world, world.endpoint(enrolment.token), enrolment)

    async def pull(self, version: int = PROTOCOL_VERSION) -> PageTrailer:
        """Pull to a checkpoint and return the trailer that completes it."""
        while True:
            request = PullRequest(
                protocol_version=version,
                epoch=self.epoch,
                cursor=self.cursor,
                scope_digest=self.digest or None,
                **self.asker,
            )
            trailer = await self._take(b"".join([piece async for piece in self.endpoint.pull(request)]))
            if trailer.complete:
                self.epoch, self.cursor = trailer.epoch, trailer.cursor
                return trailer

    async def _take(self, body: bytes) -> PageTrailer:
        messages = list(PageReader().feed(body))
        for message in messages:
            if isinstance(message, ScopeChunk):
                self.digest, self.scope = message.digest, message.buckets
            elif isinstance(message, RowChunk) and "checksum" in message.columns:
                for row in decode_rows(BY_NAME[message.entity], message.rows):
                    self.rows[message.entity, row[2]] = row
        trailer = messages[-1]
        assert isinstance(trailer, PageTrailer)
        return trailer

    async def ranges(self, *buckets: str, recount: bool = False) -> RangesReply:
        assert self.epoch is not None
        asked = RangesRequest(
            protocol_version=PROTOCOL_VERSION, epoch=self.epoch, buckets=buckets or self.scope, recount=recount, **self.asker
        )
        return await self.endpoint.ranges(asked)

    async def repair(self, *ranges: tuple[str, int]) -> tuple[PageTrailer, list[tuple[str, tuple[object, ...]]]]:
        """The trailer of a repair, and its rows with their entities."""
        assert self.epoch is not None
        wanted = tuple(BucketRange(bucket=bucket, range=number) for bucket, number in ranges)
        request = RepairRequest(protocol_version=PROTOCOL_VERSION, epoch=self.epoch, ranges=wanted, **self.asker)
        messages = list(PageReader().feed(b"".join([piece async for piece in self.endpoint.repair(request)])))
        assert isinstance(messages[-1], PageTrailer)
        rows = [
            (each.entity, row)
            for each in messages
            if isinstance(each, RowChunk)
            for row in decode_rows(BY_NAME[each.entity], each.rows)
        ]
        assert messages[-1].rows == len(rows)
        return messages[-1], rows

    def held(self) -> dict[str, tuple[int, int]]:
        """How many rows of each bucket are here, and the sum of the checksums of what they are."""
        rows, sums = Counter[str](), Counter[str]()
        for (entity, _), row in self.rows.items():
            bucket = bucket_of(entity, row)
            rows[bucket] += 1
            sums[bucket] += row_checksum(BY_NAME[entity], row[2:])
        return {bucket: (rows[bucket], sums[bucket]) for bucket in self.scope}


def bucket_of(entity: str, row: tuple[object, ...]) -> str:
    synced = BY_NAME[entity]
    if synced.bucket.key is None:
        return synced.bucket.kind
    key = row[2 + synced.row.__struct_fields__.index(synced.bucket.key)]
    assert isinstance(key, bytes)
    return f"{synced.bucket.kind}:{key.hex()}"


@pytest.fixture
async def world(database: Database) -> World:
    return await World.found(database)


@pytest.fixture
async def device(world: World) -> Device:
    return await Device.of(world, "rep0")


def checked(trailer: PageTrailer) -> dict[str, tuple[int, int]]:
    return {check.bucket: (check.rows, check.checksum) for check in trailer.checks}


async def test_a_first_checkpoint_checks_every_bucket_of_the_scope(device: Device) -> None:
    trailer = await device.pull()
    assert checked(trailer) == device.held()
    assert {bucket.partition(":")[0] for bucket in device.scope} == {"account", "catalog", "limits", "pricelist", "rep", "stock"}


async def test_every_row_travels_with_its_checksum(device: Device) -> None:
    await device.pull()
    assert {row[1] == row_checksum(BY_NAME[entity], row[2:]) for (entity, _), row in device.rows.items()} == {True}


async def test_a_checkpoint_checks_what_the_pass_touched(world: World, device: Device) -> None:
    await device.pull()
    await world.change(Product, world.company.products[0].id, name="Übermorgen")
    entry = world.company.entries[0]
    async with world.database.write() as session:
        await session.execute(sa.delete(table_of(PriceEntry)).where(table_of(PriceEntry).c.id == entry.id))
    trailer = await device.pull()
    device.rows.pop(("price_entry", entry.id.bytes))
    assert {"catalog", f"pricelist:{entry.price_list_id.hex}"} <= set(checked(trailer))
    assert checked(trailer) == {bucket: device.held()[bucket] for bucket in checked(trailer)}


async def test_a_row_that_moves_away_touches_the_bucket_that_it_left(world: World, device: Device) -> None:
    await device.pull()
    contact, other = world.company.contacts[0], world.company.customers[3]
    await world.change(Contact, contact.id, customer_id=other.id)
    device.rows.pop(("contact", contact.id.bytes))
    trailer = await device.pull()
    left = f"account:{contact.customer_id.hex}"
    assert checked(trailer)[left] == device.held()[left]
    assert f"account:{other.id.hex}" not in checked(trailer), "which is not in the scope"


async def test_every_bucket_has_its_turn_though_nothing_changes(world: World, device: Device) -> None:
    await device.pull()
    seen: set[str] = set()
    for _ in range(len(device.scope) // SAMPLED + 1):
        checks = checked(await device.pull())
        assert len(checks) <= SAMPLED
        seen |= set(checks)
        world.clock.advance(60_000)
    assert seen == set(device.scope)


async def test_a_device_of_protocol_1_is_sent_neither_checksums_nor_checks(device: Device) -> None:
    trailer = await device.pull(version=1)
    assert (trailer.checks, trailer.proof_id, device.rows) == ((), None, {})


@pytest.mark.parametrize("recount", [False, True])
async def test_ranges_are_those_of_the_rows(world: World, device: Device, recount: bool) -> None:
    await device.pull()
    async with world.database.write() as session:
        await compact_sums(session)
    reply = await device.ranges(recount=recount)
    assert reply.cursor == device.cursor
    counted = Counter[tuple[str, int]]()
    for (entity, row_id), row in device.rows.items():
        counted[bucket_of(entity, row), BY_NAME[entity].bucket.range_of(UUID(bytes=row_id))] += 1
    assert {(each.bucket, each.range): each.rows for each in reply.ranges} == counted
    sums = Counter[str]()
    for each in reply.ranges:
        sums[each.bucket] += each.checksum
    assert {bucket: sums[bucket] for bucket in device.scope} == {bucket: held[1] for bucket, held in device.held().items()}


async def test_ranges_and_repairs_stay_within_the_scope(world: World, device: Device) -> None:
    await device.pull()
    stranger = f"account:{world.company.customers[3].id.hex}"
    assert (await device.ranges(stranger, "catalog", recount=True)).ranges == (await device.ranges("catalog")).ranges
    trailer, rows = await device.repair((stranger, 0))
    assert (trailer.rows, rows, trailer.cursor, trailer.complete) == (0, [], device.cursor, False)


async def test_a_repair_sends_all_rows_of_the_range_and_no_others(world: World, device: Device) -> None:
    await device.pull()
    entry = world.company.entries[3]
    place = (f"pricelist:{entry.price_list_id.hex}", entry.id.bytes[15])
    account = (f"account:{world.company.customers[0].id.hex}", 0)
    _, rows = await device.repair(place, account)
    expected = {
        row
        for (entity, row_id), row in device.rows.items()
        if (bucket_of(entity, row), BY_NAME[entity].bucket.range_of(UUID(bytes=row_id))) in {place, account}
    }
    assert {row for _, row in rows} == expected
    assert {entity for entity, _ in rows} == {"price_entry", "customer", "address", "contact"}


async def test_another_log_is_refused(device: Device) -> None:
    await device.pull()
    device.epoch = make_id(1)
    with pytest.raises(EpochChangedError):
        await device.ranges("catalog")
    with pytest.raises(EpochChangedError):
        await device.repair(("catalog", 0))


# A log that missed something

LOST = {
    "a change": "UPDATE product SET name = 'Unseen' WHERE sku = 'SKU-1'",
    "a row": "INSERT INTO category (id, code, name) SELECT {id}, 'UNSEEN', 'Unseen'",
    "a deletion": "DELETE FROM contact WHERE customer_id = {customer}",
    "a move": "UPDATE contact SET customer_id = {customer} WHERE name = 'Contact 1'",
}


async def pass_by_the_triggers(world: World, statement: str) -> None:
    """Write as nobody may: with the triggers off."""
    database = world.database
    hexadecimal = (lambda row_id: f"x'{row_id.hex}'") if database.is_sqlite else (lambda row_id: f"'{row_id}'")
    act = statement.format(id=hexadecimal(make_id(77)), customer=hexadecimal(world.company.customers[0].id))
    if not database.is_sqlite:
        await write_past_the_server(database, "SET LOCAL session_replication_role = replica", act)
        return
    async with database.read() as session:
        query = sa.text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        triggers = (await session.execute(query)).all()
    away = [f"DROP TRIGGER {name}" for name, _ in triggers]
    await write_past_the_server(database, *away, act, *(sql for _, sql in triggers))


@pytest.mark.parametrize("lost", LOST)
async def test_a_recount_finds_and_mends_what_the_log_missed(world: World, device: Device, lost: str) -> None:
    await device.pull()
    before = await device.ranges()
    await pass_by_the_triggers(world, LOST[lost])
    assert await device.ranges() == before, "the sums that are kept know nothing of it"
    found = await device.ranges(recount=True)
    assert found.ranges != before.ranges
    trailer = await device.pull()
    assert trailer.cursor == before.cursor + 1, "what was missed has a place now, and travels"
    assert (await device.ranges()).ranges == (await device.ranges(recount=True)).ranges
    assert (await device.pull()).cursor == trailer.cursor, "and nothing is mended twice"


async def test_a_log_that_missed_more_than_a_statement_can_name_is_mended(world: World, device: Device) -> None:
    await device.pull()
    before = await device.ranges("catalog")
    made = "substr('000000000000018f' || printf('%032x', 1000000 + n), -32)"
    numbers = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 33000)"
    rows = f"{numbers} SELECT unhex({made}), 'U-' || n, 'Unseen' FROM numbers"
    if not world.database.is_sqlite:
        rows = "SELECT lpad(to_hex(1000000 + n), 32, '0')::uuid, 'U-' || n, 'Unseen' FROM generate_series(1, 33000) AS n"
    await pass_by_the_triggers(world, f"INSERT INTO category (id, code, name) {rows}")
    counted = await device.ranges("catalog", recount=True)
    assert sum(each.rows for each in counted.ranges) == sum(each.rows for each in before.ranges) + 33_000
    assert (await device.ranges("catalog")).ranges == counted.ranges


async def test_sums_that_are_wrong_are_mended_too(world: World, device: Device) -> None:
    await device.pull()
    before = await device.ranges()
    async with world.database.write() as session:
        await session.execute(sa.update(BucketSumModel).where(BucketSumModel.bucket == "catalog").values(rows=5, checksum=5))
    assert await device.ranges() != before
    assert (await device.ranges(recount=True)).ranges == before.ranges
    assert (await device.ranges()).ranges == before.ranges


async def test_a_recount_of_a_true_log_writes_nothing(world: World, device: Device) -> None:
    await device.pull()
    await device.ranges(recount=True)
    assert (await device.pull()).cursor == device.cursor
    async with world.database.read() as session:
        travels = ChangeLogModel.entity.in_(synced.number for synced in SYNCED)
        lacking = sa.select(ChangeLogModel.row_id).where(travels, ChangeLogModel.checksum.is_(None), ChangeLogModel.deleted == 0)
        assert (await session.execute(lacking)).all() == []


async def test_many_rows_are_repaired_in_chunks(world: World, device: Device) -> None:
    listed = world.company.entries[0]
    more: list[Row] = [msgspec.structs.replace(listed, id=make_id(50_000 + 256 * n), min_quantity=1_000 + n) for n in range(4_100)]
    async with world.database.write() as session:
        await insert_rows(session, more)
    await device.pull()
    place = (f"pricelist:{listed.price_list_id.hex}", more[0].id.bytes[15])
    _, rows = await device.repair(place)
    assert {row[2] for _, row in rows} >= {each.id.bytes for each in more}
    assert {row[2:] for _, row in rows} >= {stored_values(each) for each in more}
    assert {BY_ROW[PriceEntry].name} == {entity for entity, _ in rows}


async def test_rows_with_long_texts_are_repaired_in_frames_that_a_device_takes(world: World, device: Device) -> None:
    customer, text = world.company.customers[0], "🧾" * 4_000
    order = Order(
        id=make_id(60_000),
        number="R9-000000",
        customer_id=customer.id,
        status=OrderStatus.HELD,
        channel=Channel.REP,
        currency="EUR",
        captured_at_ms=START_MS,
        time_zone="Europe/Amsterdam",
        received_at_ms=START_MS,
        subtotal_minor=0,
        tax_minor=0,
        freight_minor=0,
        total_minor=0,
        note=text,
        reason=text,
    )
    more: list[Row] = [msgspec.structs.replace(order, id=make_id(60_000 + n), number=f"R9-{n:06d}") for n in range(600)]
    async with world.database.write() as session:
        await insert_rows(session, more)
    await device.pull()
    _, rows = await device.repair((f"account:{customer.id.hex}", 0))
    assert {row[2:] for _, row in rows} >= {stored_values(each) for each in more}

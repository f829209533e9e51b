"""Images as the server builds them: what is in them, when they are built anew, and what becomes of the old ones."""

import random
import sqlite3
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from server.changelog.log import age_out, rotate_epoch
from server.identity.devices import RevocationReason, revoke_device
from server.runtime.database import Database
from server.runtime.jobs import election_of
from server.runtime.rows import insert_rows, table_of
from server.sync.images import building
from server.sync.images.building import BuildRun
from server.sync.images.upkeep import BuildReason
from sync_protocol.entities.catalog import Product
from sync_protocol.entities.customers import Customer
from sync_protocol.entities.pricing import PriceEntry
from sync_protocol.replica_schema import REPLICA_APPLICATION_ID, finish_sql, image_format
from tests.support.images import Images, enrolled, rows_by_wire, rows_in
from tests.support.terms import shared_terms
from tests.support.world import World, make_id, small_company

DAY_MS = 86_400_000
CATALOG = ("catalog",)


@pytest.fixture
async def world(database: Database) -> World:
    return await World.found(database)


@pytest.fixture
def images(world: World, tmp_path: Path) -> Images:
    return Images(world, str(tmp_path / "images"))


def reasons(run: BuildRun) -> set[tuple[int, BuildReason]]:
    """Of each image that was built, how many buckets it has and why."""
    assert not run.busy
    return {(len(each.buckets), each.reason) for each in run.built}


async def rename_products(world: World, count: int, name: str) -> None:
    for product in world.company.products[:count]:
        await world.change(Product, product.id, name=name)


async def shuffle(world: World, chance: random.Random) -> None:
    """Change, move between lists, delete and add rows as chance has it."""
    entries = list(world.company.entries)
    chance.shuffle(entries)
    lists = world.company.price_lists
    for entry in entries[:5]:
        quantity = chance.randrange(20, 10**7)
        await world.change(PriceEntry, entry.id, price_list_id=chance.choice(lists).id, min_quantity=quantity)
    async with world.database.write() as session:
        table = table_of(PriceEntry)
        await session.execute(sa.delete(table).where(table.c.id.in_([entry.id for entry in entries[5:9]])))
        await insert_rows(session, [msgspec.structs.replace(entries[5], id=make_id(chance.randrange(10**9)), min_quantity=77)])
    await rename_products(world, chance.randrange(1, 6), f"Nämé {chance.random()}")


@pytest.mark.parametrize("seed", range(4))
async def test_an_image_has_the_rows_that_the_row_lane_brings_of_its_buckets(database: Database, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    world = await World.found(database, small_company(products=chance.randrange(6, 40), customers_each=chance.randrange(1, 4)))
    images = Images(world, str(tmp_path / "images"))
    device = await enrolled(world, f"rep{seed % 2}")
    for _ in range(chance.randrange(3)):
        await shuffle(world, chance)
    await images.builder().run()
    largest = (await images.offered())[0]
    cursor, expected = await rows_by_wire(world, device, largest.bucket_names)
    connection = await images.opened(largest, tmp_path)
    assert rows_in(connection) == expected
    assert {"product", "price_entry", "stock_level"} <= expected.keys()
    assert largest.commit_seq == cursor
    assert largest.rows == sum(map(len, expected.values()))
    connection.close()


async def test_an_image_is_a_finished_replica_that_says_what_it_is(world: World, images: Images, tmp_path: Path) -> None:
    async with world.database.write() as session:
        for row in shared_terms(world):
            await insert_rows(session, [row])
    await world.code_for("rep0")
    await images.builder().run()
    image = (await images.offered())[0]
    connection = await images.opened(image, tmp_path)
    state = {key: msgspec.msgpack.decode(value) for key, value in connection.execute("SELECT key, value FROM replica_state")}
    assert state == {
        "image_format": image_format(),
        "epoch": image.epoch.bytes,
        "commit_seq": image.commit_seq,
        "buckets": list(image.bucket_names),
    }
    assert connection.execute("PRAGMA application_id").fetchone() == (REPLICA_APPLICATION_ID,)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    made = {sql.split("(")[0].strip() for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
    assert {sql.split("(")[0].strip() for sql in finish_sql() if sql.startswith("CREATE")} <= made
    (found,) = connection.execute("SELECT count(*) FROM product_search WHERE product_search MATCH 'product'").fetchone()
    assert found == len(world.company.products)
    counted = dict(connection.execute("SELECT bucket, sum(rows) FROM range_sum GROUP BY 1"))
    assert sum(counted.values()) == image.rows
    assert set(counted) == set(image.bucket_names)
    connection.close()


async def test_images_are_of_the_sets_that_devices_hold_and_of_the_catalogue(world: World, images: Images) -> None:
    assert (await images.builder().run()).built == ()
    await world.code_for("rep0")
    assert reasons(await images.builder().run()) == {(4, BuildReason.NEW), (1, BuildReason.NEW)}
    await enrolled(world, "rep1")
    assert reasons(await images.builder().run()) == {(4, BuildReason.NEW)}
    assert {image.bucket_names for image in await images.offered()} == {
        CATALOG,
        *(
            tuple(
                sorted(
                    [
                        "catalog",
                        "limits",
                        f"pricelist:{world.company.price_lists[n].id.hex}",
                        f"stock:{world.company.locations[n].id.hex}",
                    ]
                )
            )
            for n in (0, 1)
        ),
    }


async def test_the_sets_that_most_devices_hold_come_first(world: World, images: Images) -> None:
    for login in ("rep1", "rep0", "rep1"):
        await enrolled(world, login)
    await images.builder(sets_max=2).run()
    own_list = f"pricelist:{world.company.price_lists[1].id.hex}"
    assert sorted(own_list in image.bucket_names for image in await images.offered()) == [False, True]
    assert {len(image.bucket_names) for image in await images.offered()} == {1, 4}


async def test_a_set_with_few_rows_gets_no_image(world: World, images: Images) -> None:
    await enrolled(world, "rep0")
    assert (await images.builder(rows_min=1_000).run()).built == ()


async def test_an_image_is_built_anew_when_its_tail_is_long_and_not_before(world: World, images: Images) -> None:
    await enrolled(world, "rep0")
    first = await images.builder().run()
    assert (await images.builder().run()).built == ()
    await rename_products(world, 3, "Renamed")
    for customer in world.company.customers:
        await world.change(Customer, customer.id, name="Not of these buckets")
    assert (await images.builder().run()).built == ()
    await world.change(PriceEntry, world.company.entries[0].id, unit_price=1)
    assert reasons(await images.builder().run()) == {(4, BuildReason.TAIL)}
    await rename_products(world, 4, "Renamed again")
    assert reasons(await images.builder().run()) == {(4, BuildReason.TAIL), (1, BuildReason.TAIL)}
    assert len(first.built) == 2


async def test_what_left_and_what_was_deleted_is_part_of_the_tail(world: World, images: Images) -> None:
    await enrolled(world, "rep0")
    await images.builder().run()
    entries = [entry for entry in world.company.entries if entry.price_list_id == world.company.price_lists[0].id]
    for number, entry in enumerate(entries[:2]):
        await world.change(PriceEntry, entry.id, price_list_id=world.company.price_lists[1].id, min_quantity=500 + number)
    async with world.database.write() as session:
        table = table_of(PriceEntry)
        await session.execute(sa.delete(table).where(table.c.id.in_([entry.id for entry in entries[2:4]])))
    assert reasons(await images.builder().run()) == {(4, BuildReason.TAIL)}


async def test_another_epoch_or_another_format_makes_every_image_anew(
    world: World, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    await enrolled(world, "rep0")
    await images.builder().run()
    async with world.database.write() as session:
        await rotate_epoch(session, make_id(99))
    assert reasons(await images.builder().run()) == {(4, BuildReason.EPOCH), (1, BuildReason.EPOCH)}
    monkeypatch.setattr(building, "image_format", lambda: bytes(16))
    assert reasons(await images.builder().run()) == {(4, BuildReason.FORMAT), (1, BuildReason.FORMAT)}
    assert len(await images.offered()) == 2


async def test_an_image_is_built_anew_long_before_the_log_forgets_what_follows_it(world: World, images: Images) -> None:
    await enrolled(world, "rep0")
    await images.builder().run()
    await world.change(Product, world.company.products[0].id, name="Renamed")
    async with world.database.read() as session:
        sql = "SELECT max(committed_at_ms) FROM change_commit"
        committed_at_ms = (await session.execute(sa.text(sql))).scalar_one()
    world.clock.time_ms = committed_at_ms + 44 * DAY_MS
    assert (await images.builder().run()).built == ()
    world.clock.advance(2 * DAY_MS)
    assert reasons(await images.builder().run()) == {(4, BuildReason.RETENTION), (1, BuildReason.RETENTION)}
    world.clock.advance(200 * DAY_MS)
    async with world.database.write() as session:
        await age_out(session, now_ms=world.clock.now_ms(), retention_days=90)
    assert (await images.builder().run()).built == ()


async def test_a_superseded_image_is_kept_for_a_day_and_then_removed_with_its_file(world: World, images: Images) -> None:
    await enrolled(world, "rep0")
    await images.builder().run()
    old = {image.digest: image for image in await images.offered()}
    await rename_products(world, 4, "Renamed")
    await images.builder().run()
    assert len(await images.all()) == 4
    for image in old.values():
        assert len(await images.file(image)) == image.size
    world.clock.advance(DAY_MS - 1)
    await images.builder().run()
    assert len(await images.all()) == 4
    world.clock.advance(1)
    done = await images.builder().clean()
    assert done.cleaned is not None
    assert done.cleaned.removed == 2
    left = await images.all()
    assert not old.keys() & {image.digest for image in left}
    assert await images.storage.stored(left[0].epoch) == {image.digest: image.size for image in left}


async def test_the_images_of_sets_that_nobody_holds_are_superseded(world: World, images: Images) -> None:
    device = await enrolled(world, "rep0")
    await enrolled(world, "rep1")
    await images.builder().run()
    assert len(await images.offered()) == 3
    async with world.database.write() as session:
        await revoke_device(session, device.device_id, RevocationReason.LOST, world.clock.now_ms())
    await images.builder().run()
    assert len(await images.offered()) == 2


async def test_a_build_that_dies_before_its_file_is_stored_offers_nothing(
    world: World, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    await enrolled(world, "rep0")

    async def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(images.storage, "put", die)
        with pytest.raises(KeyboardInterrupt):
            await images.builder().run()
    assert await images.all() == []
    assert len((await images.builder().run()).built) == 2


async def test_a_build_that_dies_before_it_is_offered_leaves_a_file_that_goes(
    world: World, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    await enrolled(world, "rep0")

    async def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(building, "register", die)
        with pytest.raises(KeyboardInterrupt):
            await images.builder().run()
    assert await images.all() == []
    done = await images.builder().clean()
    assert done.cleaned is not None
    assert done.cleaned.orphans == 1
    assert len((await images.builder().run()).built) == 2


async def test_an_image_whose_file_is_gone_is_not_offered_and_built_again(world: World, images: Images) -> None:
    await enrolled(world, "rep0")
    await images.builder().run()
    lost = (await images.offered())[0]
    await images.storage.delete(lost.epoch, lost.digest)
    done = await images.builder().run()
    assert done.cleaned is not None
    assert reasons(done) == {(len(lost.bucket_names), BuildReason.NEW)}
    assert len(await images.file((await images.offered())[0])) == lost.size


async def test_an_image_whose_file_was_cut_short_is_built_again(world: World, images: Images) -> None:
    await enrolled(world, "rep0")
    await images.builder().run()
    cut = (await images.offered())[0]
    assert images.storage.folder is not None
    file = images.storage.folder / cut.epoch.hex / f"{cut.digest.hex()}.sqlite.zst"
    file.write_bytes(file.read_bytes()[:100])
    assert reasons(await images.builder().run()) == {(len(cut.bucket_names), BuildReason.NEW)}
    assert len(await images.file((await images.offered())[0])) == cut.size


async def test_the_same_rows_make_the_same_file(world: World, images: Images) -> None:
    await enrolled(world, "rep0")
    await images.builder().run()
    before = {image.digest for image in await images.offered()}
    done = await images.builder().run(every=True)
    assert reasons(done) == {(4, BuildReason.ASKED), (1, BuildReason.ASKED)}
    assert {image.digest for image in await images.all()} == before


async def test_of_two_builders_one_does_nothing(world: World, images: Images) -> None:
    await enrolled(world, "rep0")
    lock = election_of(world.database, building.LOCK_NAME)
    assert await lock.hold()
    assert (await images.builder().run()).busy
    assert (await images.builder().clean()).busy
    assert await images.all() == []
    await lock.resign()
    assert len((await images.builder().run()).built) == 2


async def test_a_builder_that_lost_its_lock_offers_nothing(world: World, images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    await enrolled(world, "rep0")
    holds = iter([True, False, False])

    class Unsteady:
        async def hold(self) -> bool:
            return next(holds)

        async def resign(self) -> None:
            return

    monkeypatch.setattr(building, "election_of", lambda *_: Unsteady())
    assert (await images.builder().run()).built == ()
    assert await images.all() == []


async def test_what_another_program_wrote_has_its_place_before_an_image_is_built(sqlite_database: Database, tmp_path: Path) -> None:
    world = await World.found(sqlite_database)
    images = Images(world, str(tmp_path / "images"))
    await enrolled(world, "rep0")
    with sqlite3.connect(str(sqlite_database.url.database)) as foreign:
        foreign.execute("UPDATE product SET name = 'Foreign'")
    foreign.close()
    await images.builder().run()
    connection = await images.opened((await images.offered())[0], tmp_path)
    assert connection.execute("SELECT DISTINCT name FROM product").fetchall() == [("Foreign",)]
    connection.close()

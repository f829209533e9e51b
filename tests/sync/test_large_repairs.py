"""A repair is bounded on both ends: what does not fit into a page is asked for again, or pulled page by page."""

from itertools import pairwise

import msgspec
import pytest
import sqlalchemy as sa

from client_sdk import OrderClient
from client_sdk.errors import BadReplyError, RequestTooLargeError
from client_sdk.events import CheckpointReached, ReplicaDiffers, ReplicaRepaired
from server.runtime.database import Database
from server.sync import repair
from sync_protocol.entities import SYNCED
from sync_protocol.wire.codec import PageReader, PageWriter
from sync_protocol.wire.messages import PageTrailer
from tests.support.damage import UNSEEN, WRITTEN, Log, damage, file_of, pricelist, rows_of
from tests.support.world import World, small_company


@pytest.fixture
async def world(database: Database) -> World:
    return await World.found(database, small_company(products=20))


@pytest.mark.parametrize("limit", ["PAGE_ROWS_MAX", "REPAIR_BYTES_MAX"])
async def test_ranges_that_do_not_fit_into_one_page_are_asked_for_again(
    device: OrderClient, log: Log, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(repair, limit, {"PAGE_ROWS_MAX": 7, "REPAIR_BYTES_MAX": 700}[limit])
    whole = rows_of(file_of(device))
    damage(file_of(device), "UPDATE price_entry SET unit_price = 7, checksum = 5")
    report = await device.sync()
    assert (report.repaired_rows, report.image_rows, report.is_rebuilt) == (len(whole["price_entry"]), 0, False)
    assert rows_of(file_of(device)) == whole
    asked = [set(request.ranges) for request in log.repairs]
    assert len(asked) > 3
    assert all(later < earlier for earlier, later in pairwise(asked)), "each for the rest of what was asked"
    (told,) = log.told(ReplicaRepaired)
    assert sum(told.changed.values()) == len(whole["price_entry"])
    assert not log.told(ReplicaDiffers)


WRONG_SUM = "UPDATE range_sum SET rows = rows + 1, checksum = checksum + 5 WHERE bucket = 'catalog' AND range = 102"


async def test_a_page_has_as_many_ranges_as_fit_though_the_sums_that_are_kept_say_nothing_of_them(
    world: World, device: OrderClient, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repair, "PAGE_ROWS_MAX", 7)
    whole = rows_of(file_of(device))
    async with world.database.write() as session:
        await session.execute(sa.text("DELETE FROM bucket_sum WHERE bucket LIKE 'pricelist:%'"))
    damage(file_of(device), "UPDATE price_entry SET unit_price = 7, checksum = 5")
    await device.verify()
    assert rows_of(file_of(device)) == whole
    answered = [len(earlier.ranges) - len(later.ranges) for earlier, later in pairwise(log.repairs)]
    assert min(answered[:-1]) >= 5, "and not half of them, and half of that"


@pytest.mark.parametrize("spoiled", ["seen", "a wrong sum", "a corrupted row", "a lost row"])
async def test_a_range_that_is_too_large_for_a_page_is_pulled_with_its_bucket(
    world: World, device: OrderClient, log: Log, monkeypatch: pytest.MonkeyPatch, spoiled: str
) -> None:
    monkeypatch.setattr(repair, "PAGE_ROWS_MAX", 0)
    whole = rows_of(file_of(device))
    if spoiled == "seen":
        damage(
            file_of(device), "DELETE FROM price_entry WHERE rowid % 3 = 0", "UPDATE price_entry SET unit_price = 7, checksum = 5"
        )
    else:
        damage(file_of(device), *UNSEEN.get(spoiled, (WRONG_SUM,)), unseen=True)
    bucket = pricelist(world) if spoiled == "seen" else "catalog"
    report = await device.sync() if spoiled not in UNSEEN else None
    if report is None:
        await device.verify()
    assert rows_of(file_of(device)) == whole
    assert [request.ranges[0].bucket for request in log.repairs] == [bucket]
    assert not log.told(ReplicaDiffers)
    (told,) = log.told(ReplicaRepaired)
    assert {each.bucket for each in told.ranges} == {bucket}
    held = {each.name: len(whole[each.name]) for each in SYNCED if each.bucket.kind == bucket.partition(":")[0]}
    assert told.changed == {name: count for name, count in held.items() if count}, "all of the bucket came"
    assert report is None or report.repaired_rows == sum(told.changed.values())
    await device.sync()
    assert len(log.repairs) == 1, "and no more of it"
    assert (await device.verify()).is_equal


@pytest.mark.parametrize("is_mended", [True, False])
async def test_a_bucket_comes_once_where_the_sums_of_the_server_are_wrong(
    world: World, device: OrderClient, log: Log, monkeypatch: pytest.MonkeyPatch, *, is_mended: bool
) -> None:
    monkeypatch.setattr(repair, "PAGE_ROWS_MAX", 0)
    whole = rows_of(file_of(device))
    async with world.database.write() as session:
        await session.execute(
            sa.text("UPDATE bucket_sum SET checksum = checksum + 1 WHERE bucket = 'catalog' AND range = 102 AND rows = 1")
        )
    if not is_mended:
        log.spoil_ranges = lambda reply: msgspec.structs.replace(
            reply, ranges=tuple(msgspec.structs.replace(each, checksum=each.checksum + 1) for each in reply.ranges)
        )
    log.events.clear()
    await device.sync()
    came = [event for event in log.told(CheckpointReached) if event.changed]
    assert len(came) == 1, "the bucket"
    assert [request.recount for request in log.ranges] == [False, True] + [True] * (not is_mended)
    assert [each.error.buckets for each in log.told(ReplicaDiffers)] == ([] if is_mended else [("catalog",)])
    assert rows_of(file_of(device)) == whole
    await device.sync()
    assert (len(log.ranges) == 2) == is_mended


async def test_what_something_between_does_not_let_through_is_no_range_that_is_too_large(device: OrderClient, log: Log) -> None:
    async def refuse(what: str) -> None:
        if what == "repair":
            raise RequestTooLargeError(413, "too_large", "something before the server takes less")

    damage(file_of(device), WRITTEN["a lost row"][0])
    log.before = refuse
    await device.sync()
    assert (len(log.ranges), len(log.repairs)) == (1, 1)
    assert [type(each.error.cause) for each in log.told(ReplicaDiffers)] == [RequestTooLargeError]


async def test_the_words_of_a_lost_product_are_found_once_where_the_catalog_is_pulled_anew(
    world: World, device: OrderClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repair, "PAGE_ROWS_MAX", 0)
    last = world.company.products[-1]
    damage(file_of(device), f"UPDATE product SET name = 'Zebra' WHERE id = x'{last.id.hex}'")
    damage(file_of(device), f"DELETE FROM product WHERE id = x'{last.id.hex}'", unseen=True)
    await device.verify()
    assert [each.id for each in await device.search(last.name)] == [last.id]
    assert await device.search("Zebra") == []


@pytest.mark.parametrize("answered", [0, 2])
async def test_a_page_that_answers_no_range_or_too_many_is_not_believed(device: OrderClient, log: Log, answered: int) -> None:
    damage(file_of(device), WRITTEN["a lost row"][0])
    spoiled = rows_of(file_of(device))
    log.spoil_page = lambda body: with_answered(body, answered)
    await device.sync()
    assert rows_of(file_of(device)) == spoiled
    assert [type(each.error.cause) for each in log.told(ReplicaDiffers)] == [BadReplyError]


def with_answered(body: bytes, answered: int) -> bytes:
    """The page with another count of answered ranges in its trailer."""
    writer = PageWriter()
    *before, trailer = PageReader().feed(body)
    assert isinstance(trailer, PageTrailer)
    frames = b"".join(writer.frame(message) for message in before)
    changed = msgspec.structs.replace(trailer, ranges_answered=answered, digest=writer.digest)
    return frames + writer.frame(changed) + writer.close()

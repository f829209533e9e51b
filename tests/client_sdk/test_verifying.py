"""Proofs, and repairs that something is in the way of: a server that refuses or goes on, and a device that dies."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from client_sdk import OrderClient
from client_sdk.cli import device as device_commands
from client_sdk.clock import SystemClock
from client_sdk.errors import BadReplyError, BeyondAppError, ReplicaDiffersError, ServerError, ServerUnreachableError
from client_sdk.events import ReplicaDiffers, ReplicaRepaired
from client_sdk.state import Suspects, load
from client_sdk.verifying import TRIES_MAX
from server.identity.reports import ask_for_proof, open_device
from server.runtime.database import Database
from sync_protocol.checksums import row_checksum
from sync_protocol.entities import BY_NAME
from sync_protocol.entities.catalog import Product
from sync_protocol.wire.codec import PageReader, PageWriter, encode
from sync_protocol.wire.messages import PageTrailer, PullRequest, RowChunk
from tests.processes.wire import enrol_over_http, over_http
from tests.support.damage import FAKE, PRODUCT, UNSEEN, WRITTEN, Log, Wire, damage, enrolled, file_of, reopened, rows_of
from tests.support.databases import open_database
from tests.support.faults import KilledError, bury, kill_before_statement
from tests.support.processes import ServerProcess
from tests.support.world import World, make_id, small_company

# Proofs


async def test_support_asks_for_a_proof_and_the_server_has_it_after_the_next_sync(
    world: World, device: OrderClient, log: Log
) -> None:
    status = await device.status()
    assert status.identity is not None
    device_id = status.identity.device_id

    async def ask(number: int) -> None:
        async with world.database.write() as session:
            user_id = await world.user_id("manager")
            await ask_for_proof(session, device_id, make_id(number), requested_by_id=user_id, now_ms=world.clock.now_ms())

    async def proofs() -> dict[Any, tuple[bool, int, int]]:
        async with world.database.read() as session:
            found = await open_device(session, device_id)
        return {each.id: (each.is_equal, each.differing_ranges, each.repaired_ranges) for each in found.proofs}

    await ask(5_000)
    await device.sync()
    assert await proofs() == {make_id(5_000): (True, 0, 0)}
    recounts = len(log.ranges)
    assert [request.recount for request in log.ranges] == [True]
    await device.sync()
    assert (len(log.ranges), len([each for each in log.reports if each.proof])) == (recounts, 1), "it is answered once"
    damage(file_of(device), *UNSEEN["a lost row"], unseen=True)
    await ask(5_001)
    await device.sync()
    assert await proofs() == {make_id(5_000): (True, 0, 0), make_id(5_001): (False, 1, 1)}


async def test_over_http_a_device_repairs_and_proves_itself(world: World, tmp_path: Path) -> None:
    path = tmp_path / "device.db"
    async with await enrol_over_http(world, "rep0", path, over_http(world)) as device:
        await device.sync()
        damage(path, *UNSEEN["a lost row"], unseen=True)
        status = await device.status()
        assert status.identity is not None
        async with world.database.write() as session:
            user_id = await world.user_id("manager")
            await ask_for_proof(
                session, status.identity.device_id, make_id(5_000), requested_by_id=user_id, now_ms=world.clock.now_ms()
            )
        await device.sync()
        async with world.database.read() as session:
            found = await open_device(session, status.identity.device_id)
        assert [(each.id, each.differing_ranges, each.repaired_ranges) for each in found.proofs] == [(make_id(5_000), 1, 1)]
        assert found.device.proof_id is None
        assert (await device.verify()).is_equal


# A server that cannot be asked, or goes on meanwhile

REFUSALS = {
    "not found": ServerError(404, "not_found", "no such path"),
    "too old": ServerError(426, "protocol_not_served", "update"),
    "unreachable": ServerUnreachableError("test", "cut"),
    "garbage": BadReplyError("it is a sign-in page"),
}


@pytest.mark.parametrize("what", ["ranges", "repair"])
@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_sync_comes_through_though_nothing_can_be_repaired(device: OrderClient, log: Log, what: str, refusal: str) -> None:
    whole = rows_of(file_of(device))
    damage(file_of(device), WRITTEN["a lost row"][0])

    async def refuse(asked: str) -> None:
        if asked == what:
            raise REFUSALS[refusal]

    log.before = refuse
    for syncs in (1, 2):
        await device.sync()
        assert len(log.ranges) == syncs, "one try a sync"
        assert log.reports[-1].problem is not None
        assert log.reports[-1].problem.code == "replica_differs"
    assert len(log.told(ReplicaDiffers)) == 1, "told once while it stays the same"
    log.before = log._nothing
    await device.sync()
    assert rows_of(file_of(device)) == whole
    await device.sync()
    assert log.reports[-1].problem is None


async def test_what_could_not_be_repaired_is_remembered_through_a_restart(world: World, tmp_path: Path, log: Log) -> None:
    path = tmp_path / "device.db"

    async def refuse(_what: str) -> None:
        raise ServerUnreachableError("test", "cut")

    async with await enrolled(world, path, log):
        pass
    whole = rows_of(path)
    damage(path, *UNSEEN["a corrupted row"], unseen=True)
    log.before = refuse
    async with await reopened(world, path, log) as device:
        await device.sync()
        assert device._store.read_now(load, Suspects) == Suspects(kinds=("catalog",))
    log.before = log._nothing
    async with await reopened(world, path, log) as device:
        await device.sync()
        assert device._store.read_now(load, Suspects) is None
    assert rows_of(path) == whole


SPOILS: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda body: body[:-9],
    "garbled": lambda body: body[:20] + bytes([body[20] ^ 1]) + body[21:],
    "empty": lambda _body: b"",
}


@pytest.mark.parametrize("spoil", SPOILS)
async def test_nothing_of_a_repair_that_is_not_whole_is_used(device: OrderClient, log: Log, spoil: str) -> None:
    damage(file_of(device), WRITTEN["a lost row"][0])
    before = rows_of(file_of(device))
    log.spoil_page = SPOILS[spoil]
    await device.sync()
    assert rows_of(file_of(device)) == before
    assert (len(log.repairs), len(log.told(ReplicaDiffers))) == (1, 1)


def with_rows(body: bytes, change: Callable[[list[list[Any]]], object]) -> bytes:
    """A page that is whole, with other rows of price entries in it."""
    writer, whole, count = PageWriter(), b"", 0
    for message in PageReader().feed(body):
        sent = message
        if isinstance(message, RowChunk) and message.entity == "price_entry":
            rows = msgspec.msgpack.decode(message.rows)
            change(rows)
            count += len(rows)
            sent = msgspec.structs.replace(message, rows=msgspec.Raw(encode(rows)))
        elif isinstance(message, PageTrailer):
            sent = msgspec.structs.replace(message, rows=count, digest=writer.digest)
        whole += writer.frame(sent)
    return whole + writer.close()


def whole(row: list[Any]) -> list[Any]:
    """A row with the checksum of what it is."""
    return [row[0], row_checksum(BY_NAME["price_entry"], row[2:]), *row[2:]]


UNIT_PRICE = 2 + BY_NAME["price_entry"].row.__struct_fields__.index("unit_price")
FALSE: dict[str, Callable[[list[list[Any]]], object]] = {
    "a row of another range": lambda rows: rows.append(whole([1, 0, FAKE.bytes, *rows[0][3:]])),
    "a row with another price": lambda rows: rows[0].__setitem__(UNIT_PRICE, rows[0][UNIT_PRICE] + 1),
    "a row of another list": lambda rows: rows[0].__setitem__(3, FAKE.bytes),
}


@pytest.mark.parametrize("false", FALSE)
async def test_a_repair_with_a_row_that_cannot_be_is_refused_whole(device: OrderClient, log: Log, false: str) -> None:
    damage(file_of(device), WRITTEN["a lost row"][0])
    before = rows_of(file_of(device))
    log.spoil_page = lambda body: with_rows(body, FALSE[false])
    await device.sync()
    assert rows_of(file_of(device)) == before
    assert [type(each.error.cause) for each in log.told(ReplicaDiffers)] == [BadReplyError]


async def test_many_ranges_are_repaired_in_portions(device: OrderClient, log: Log) -> None:
    whole = rows_of(file_of(device))
    junk = (f"INSERT INTO unit VALUES (1, {number}, x'{number:032x}', 'X{number}', 'Junk')" for number in range(1, 101))
    damage(file_of(device), *junk)
    await device.sync()
    assert rows_of(file_of(device)) == whole
    assert [len(request.ranges) for request in log.repairs] == [64, 36]


async def test_ranges_of_other_buckets_than_were_asked_for_are_not_believed(device: OrderClient, log: Log) -> None:
    damage(file_of(device), WRITTEN["a lost row"][0])
    log.spoil_ranges = lambda reply: msgspec.structs.replace(
        reply, ranges=tuple(msgspec.structs.replace(each, bucket="catalog") for each in reply.ranges)
    )
    await device.sync()
    assert (log.repairs, len(log.told(ReplicaDiffers))) == ([], 1)


@pytest.mark.parametrize("what", ["ranges", "repair"])
async def test_a_server_that_goes_on_meanwhile_is_followed(world: World, device: OrderClient, log: Log, what: str) -> None:
    damage(file_of(device), WRITTEN["a lost row"][0])

    async def change_once(asked: str) -> None:
        if asked == what and len(log.ranges) == 1:
            await world.change(Product, make_id(101), name="Meanwhile")

    log.before = change_once
    await device.sync()
    assert (await device.product("SKU-1")).name == "Meanwhile"
    assert len(log.told(ReplicaRepaired)) == 1
    assert (await device.verify()).is_equal


async def test_a_server_that_never_stands_still_is_left_for_another_time(world: World, device: OrderClient, log: Log) -> None:
    damage(file_of(device), WRITTEN["a lost row"][0])

    async def change_always(asked: str) -> None:
        if asked == "repair":
            await world.change(Product, make_id(101), name=f"Change {len(log.repairs)}")

    log.before = change_always
    await device.sync()
    assert len(log.repairs) == TRIES_MAX
    assert [type(each.error) for each in log.told(ReplicaDiffers)] == [ReplicaDiffersError]
    log.before = log._nothing
    await device.sync()
    assert len(log.told(ReplicaRepaired)) == 1


# A device that dies


async def test_a_kill_at_any_statement_of_a_repair_leaves_one_to_do_or_one_done(tmp_path: Path, sqlite_database: Database) -> None:
    world = await World.found(sqlite_database, small_company(products=3, customers_each=1))
    path, log = tmp_path / "device.db", Log()
    async with await enrolled(world, path, log):
        pass
    whole = rows_of(path)
    killed, is_through = 0, False
    while not is_through:
        if rows_of(path) == whole:
            damage(path, f"DELETE FROM product WHERE id = x'{PRODUCT.hex}'")
        device = await reopened(world, path, log)

        async def die_from_here_on(what: str, countdown: int = killed + 1, device: OrderClient = device) -> None:
            if what == "repair":
                kill_before_statement(device, countdown)

        log.before = die_from_here_on
        try:
            await device.sync()
            is_through = True
        except KilledError:
            killed += 1
        bury(device)
        log.before = log._nothing
        assert rows_of(path)["product"] in (whole["product"], {row for row in whole["product"] if row[1] != PRODUCT.bytes})
        if is_through or killed % 3 == 0:  # otherwise the next one goes on from what this one left
            async with await reopened(world, path, log) as again:
                await again.sync()
                assert len(await again.search("product 2")) == 1
            assert rows_of(path) == whole
    assert killed > 20


# A server that is newer


class NewerEndpoint(Wire):
    """A server that has an entity which this app does not know, in a bucket that it does."""

    async def pull(self, request: PullRequest) -> AsyncIterator[bytes]:
        body = b"".join([piece async for piece in super().pull(request)])
        header, *between, trailer = PageReader().feed(body)
        assert isinstance(trailer, PageTrailer)
        writer, rows = PageWriter(), trailer.rows
        whole = writer.frame(header)
        for message in between:
            whole += writer.frame(message)
        if trailer.checks and request.cursor == 0:
            promotions = msgspec.Raw(encode([(1, 5, b"p" * 16)]))
            whole += writer.frame(RowChunk(entity="bonus_card", columns=("commit_seq", "checksum", "id"), rows=promotions))
            rows += 1
        checks = tuple(msgspec.structs.replace(each, rows=each.rows + (each.bucket == "catalog")) for each in trailer.checks)
        whole += writer.frame(msgspec.structs.replace(trailer, rows=rows, checks=checks, digest=writer.digest))
        yield whole + writer.close()


async def test_what_an_app_does_not_know_is_not_taken_for_a_difference(world: World, tmp_path: Path, log: Log) -> None:
    path = tmp_path / "device.db"
    async with await world.enrolled_device("rep0", path, wrap=lambda endpoint: NewerEndpoint(endpoint, log)) as device:
        device.subscribe(log.events.append)
        for _ in range(2):
            await device.sync()
        assert (log.ranges, log.repairs, log.told(ReplicaDiffers)) == ([], [], [])
        with pytest.raises(BeyondAppError):
            await device.verify()


# At the terminal


def test_verify_says_at_the_terminal_what_it_found(sqlite_database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "device.db"
    with ServerProcess(sqlite_database_url, tmp_path) as server:
        server.start_warm()

        async def enrol() -> None:
            database = open_database(sqlite_database_url)
            world = await World.found(database)
            world.clock.time_ms = SystemClock().now_ms()
            code = await world.code_for("rep0")
            await database.close()
            async with await OrderClient.open(path) as device:
                await device.enrol(server.url, code, "Tablet")

        asyncio.run(enrol())
        run = partial(CliRunner().invoke, device_commands)
        equal = run(["--store", str(path), "verify"])
        assert equal.exit_code == 0, equal.output
        assert "Equal to the server as of" in equal.output
        damage(path, *UNSEEN["a lost row"], unseen=True)
        repaired = run(["--store", str(path), "verify"])
        assert f"catalog, range {PRODUCT.bytes[15]}, was not as the server has it." in repaired.output
        assert "1 range of" in repaired.output
        assert "product 1" in repaired.output
        damage(path, WRITTEN["a lost row"][0])
        assert "came anew: 1." in run(["--store", str(path), "sync"]).output
        found = json.loads(run(["--store", str(path), "verify", "--json"]).output)
        assert (found["is_equal"], found["differing"], found["buckets"]) == (True, [], 7)

"""The same client without `await`."""

import threading
from pathlib import Path

import anyio
import pytest

from client_sdk import BlockingOrderClient
from client_sdk.errors import NotEnrolledError, StoreDamagedError, UnknownRowError
from server.runtime.database import Database
from sync_protocol.verdicts import Outcome
from tests.support.databases import open_database
from tests.support.world import SERVER_URL, World


def use(path: Path, **options: object) -> list[str]:
    with BlockingOrderClient(path, **options) as client:
        with pytest.raises(NotEnrolledError):
            client.call(client.device.sync)
        with pytest.raises(UnknownRowError):
            client.call(client.device.product, "nothing")
        return [product.sku for product in client.call(client.device.search, "valve", limit=3)]


def test_a_program_without_an_event_loop_can_use_a_device_and_gets_its_errors(tmp_path: Path) -> None:
    assert use(tmp_path / "device.db") == []


def test_closing_ends_the_thread_and_lets_go_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "device.db"
    for _ in range(3):
        BlockingOrderClient(path).close()
    assert not path.with_name("device.db-wal").exists()


def test_a_device_that_cannot_be_opened_leaves_no_thread_behind(tmp_path: Path) -> None:
    path = tmp_path / "device.db"
    path.write_bytes(b"no database" * 100)
    before = set(threading.enumerate())
    with pytest.raises(StoreDamagedError):
        BlockingOrderClient(path)
    assert {thread for thread in threading.enumerate() if thread not in before and thread.is_alive()} == set()


async def test_an_order_is_taken_and_synced_without_await(sqlite_database: Database, tmp_path: Path) -> None:
    world = await World.found(sqlite_database)
    code = await world.code_for("rep0")
    await sqlite_database.close()
    url = str(sqlite_database.url.database)

    def take_an_order() -> list[Outcome]:
        databases: list[Database] = []

        def endpoint_for(_url: str, token: str) -> object:
            if not databases:
                databases.append(open_database(f"sqlite:///{url}"))
                world.database = databases[0]
            return world.endpoint(token)

        with BlockingOrderClient(tmp_path / "device.db", clock=world.clock, endpoint_for=endpoint_for) as client:
            client.call(client.device.enrol, SERVER_URL, code, "till")
            client.call(client.device.sync)
            customer = client.call(client.device.customer, "C0")
            draft = client.call(client.device.draft_order, customer.id)
            product = client.call(client.device.product, "SKU-1")
            line = client.call(draft.add_line, product.id, 2)
            assert line.amount_minor == 400
            client.call(draft.submit)
            report = client.call(client.device.sync)

            async def close() -> None:
                await databases[0].close()

            client.call(close)
            return [entry.verdict.outcome for entry in report.verdicts]

    assert await anyio.to_thread.run_sync(take_an_order) == [Outcome.ACCEPTED]

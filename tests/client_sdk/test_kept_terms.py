"""The terms of customers are found once for each state of the replica, and every change of it is seen at once."""

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import apsw
import pytest

from client_sdk import NewCustomer, OrderClient, ordering, overlay
from client_sdk.kept_terms import CUSTOMERS_KEPT_MAX, kept_terms
from client_sdk.quoting import known_terms
from client_sdk.state import rows_token
from server.runtime.database import Database
from server.runtime.rows import insert_rows
from sync_protocol.entities.customers import Customer
from sync_protocol.entities.taxes import TaxRate
from sync_protocol.rules.pricing.terms import Terms
from tests.support.world import World, make_id

PROSPECT = NewCustomer(
    name="Prospect", street="S", postal_code="1", city="C", country="NL", contact_name="N", territory_id=make_id(400)
)


@pytest.fixture
async def world(sqlite_database: Database) -> World:
    return await World.found(sqlite_database)


@pytest.fixture
async def device(world: World, tmp_path: Path) -> AsyncIterator[OrderClient]:
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as client:
        await client.sync()
        yield client


async def terms_of(device: OrderClient, customer_id: UUID) -> Terms | None:
    return await device._store.read(known_terms, customer_id)


async def list_of(device: OrderClient, customer_id: UUID) -> UUID | None:
    terms = await terms_of(device, customer_id)
    assert terms is not None
    return terms.customer.price_list_id


async def test_they_are_looked_up_once_as_long_as_nothing_changes(device: OrderClient, world: World) -> None:
    customer = world.company.customers[0]
    asked: list[str] = []
    found = await terms_of(device, customer.id)
    for connection in (device._store.reader, device._store.writer):
        connection.exec_trace = lambda _cursor, sql, _bindings: bool(asked.append(sql)) or True
    assert await terms_of(device, customer.id) is found
    assert not [sql for sql in asked if "tax_rate" in sql]
    draft = await device.draft_order(customer.id)
    for product in world.company.products[:3]:
        await draft.add_line(product.id, 1)
    assert len([sql for sql in asked if "FROM promotion " in sql]) == 1, "the writer's first look; drafts are no rows"


async def test_a_sync_is_seen_at_once(device: OrderClient, world: World) -> None:
    customer = world.company.customers[0]
    before = await terms_of(device, customer.id)
    rate = TaxRate(
        id=make_id(90), jurisdiction="NL", customer_tax_code="standard", product_tax_code="standard", name="VAT", rate_ppm=1
    )
    async with world.database.write() as session:
        await insert_rows(session, [rate])
    assert await terms_of(device, customer.id) is before
    await device.sync()
    after = await terms_of(device, customer.id)
    assert after is not None
    assert after.rates == (rate,)


async def test_a_sync_of_another_program_on_the_file_is_seen_at_once(device: OrderClient, world: World, tmp_path: Path) -> None:
    customer = world.company.customers[0]
    assert await list_of(device, customer.id) is None
    async with await world.open_device(tmp_path / "device.db") as other:
        await world.change(Customer, customer.id, price_list_id=world.company.price_lists[0].id)
        await other.sync()
        assert await list_of(other, customer.id) == await list_of(device, customer.id) == world.company.price_lists[0].id


async def test_an_own_new_customer_is_seen_at_once_and_one_that_was_not_saved_never(device: OrderClient, world: World) -> None:
    assert await terms_of(device, make_id(1)) is None
    made: list[UUID] = []

    def create_and_fail(connection: apsw.Connection) -> None:
        made.append(ordering.create_customer(connection, PROSPECT, device._surroundings))
        assert known_terms(connection, made[0]) is not None
        raise KeyError

    with suppress(KeyError):
        await device._store.write(create_and_fail)
    assert await device._store.write(known_terms, made[0]) is None
    assert await terms_of(device, made[0]) is None
    created = await device.create_customer(PROSPECT)
    terms = await terms_of(device, created.id)
    assert terms is not None
    assert [address.customer_id for address in terms.addresses] == [created.id]
    await device.sync()
    await world.change(Customer, created.id, name="Customer by now")
    await device.sync()
    terms = await terms_of(device, created.id)
    assert terms is not None
    assert terms.customer.name == "Customer by now"


async def test_an_overlay_that_is_laid_anew_is_seen_at_once(device: OrderClient) -> None:
    created = await device.create_customer(PROSPECT)
    assert await terms_of(device, created.id) is not None

    def refuse(connection: apsw.Connection) -> None:
        connection.execute("DELETE FROM outbox")
        overlay.rebuild(connection)

    await device._store.write(refuse)
    assert await terms_of(device, created.id) is None


async def test_a_replica_that_takes_the_place_of_another_is_seen_at_once(device: OrderClient, world: World) -> None:
    customer = world.company.customers[0]
    assert await terms_of(device, customer.id) is not None
    await device._store._run("write", device._store._empty_shown, "a test says so")
    assert await terms_of(device, customer.id) is None
    await device.sync()
    assert await terms_of(device, customer.id) is not None


def test_those_asked_for_last_are_kept_and_no_token_is_no_keeping() -> None:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE replica_state (key TEXT PRIMARY KEY, value BLOB)")
    asked: list[int] = []

    def gather(number: int) -> Callable[[], Any]:
        return lambda: asked.append(number) or number

    for _ in range(2):
        kept_terms(connection, make_id(0), gather(0))
    assert asked == [0, 0]
    assert rows_token(connection) is None
    connection.execute("INSERT INTO replica_state VALUES ('rows', x'01')")
    for number in (*range(CUSTOMERS_KEPT_MAX), 0, CUSTOMERS_KEPT_MAX):
        kept_terms(connection, make_id(number), gather(number))
    asked.clear()
    kept_terms(connection, make_id(0), gather(0))
    kept_terms(connection, make_id(1), gather(1))
    assert asked == [1]

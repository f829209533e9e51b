"""The front door: one user's file, and what an application is told."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from client_sdk import NewCustomer, OrderClient, changes
from client_sdk.errors import (
    EnrolmentRefusedError,
    InvalidEntryError,
    NotEnrolledError,
    OrderStateError,
    RoadbookError,
    StoreTakenError,
)
from client_sdk.events import CheckpointReached, Event, ReplicaRebuilt, ScopeChanged, SyncProgress, VerdictArrived
from server.changelog.log import rotate_epoch
from server.runtime.database import Database
from server.runtime.errors import ProblemError
from server.runtime.rows import table_of
from sync_protocol.entities.catalog import Product
from sync_protocol.entities.customers import Contact, Customer
from sync_protocol.entities.inventory import StockLevel
from sync_protocol.verdicts import Outcome
from sync_protocol.wire.messages import ResyncReason
from tests.support.world import SERVER_URL, World


@pytest.fixture
async def world(sqlite_database: Database) -> World:
    return await World.found(sqlite_database)


async def order(device: OrderClient, world: World, customer: int = 0, product: int = 0, quantity: int = 1) -> str:
    draft = await device.draft_order(world.company.customers[customer].id)
    await draft.add_line(world.company.products[product].id, quantity)
    return (await draft.submit()).order.number


def prospect(world: World, **changed: object) -> NewCustomer:
    entered = {
        "name": "New & Co",
        "street": "Here 1",
        "postal_code": "1",
        "city": "Gent",
        "country": "BE",
        "contact_name": "Ann",
        "territory_id": world.company.territories[0].id,
    }
    return NewCustomer(**(entered | changed))


async def test_a_device_that_is_nobodys_can_only_be_enrolled(world: World, tmp_path: Path) -> None:
    async with await world.open_device(tmp_path / "device.db") as device:
        with pytest.raises(NotEnrolledError, match="ask a manager for a code"):
            await device.sync()
        with pytest.raises(NotEnrolledError):
            await device.draft_order(world.company.customers[0].id)
        with pytest.raises(NotEnrolledError):
            await device.create_customer(prospect(world))
        assert await device.customers() == []
        assert (await device.status()).identity is None


async def test_a_file_belongs_to_one_user_with_the_orders_in_it(world: World, tmp_path: Path) -> None:
    path = tmp_path / "device.db"
    async with await world.enrolled_device("rep0", path) as device:
        await device.sync()
        await order(device, world)
        mine = (await device.status()).identity
        with pytest.raises(StoreTakenError) as taken:
            await device.enrol(SERVER_URL, await world.code_for("rep1"), "other")
        error, said = taken.value, str(taken.value)
        assert (error.user_name, error.other_user_name, error.device_name) == ("REP0", "REP1", "other")
        assert said.startswith("this file belongs to REP0, whose orders may still be in it")
        assert "The code is spent: ask a manager for a new one, and to revoke the device «other» of REP1" in said
        assert (await device.status()).identity == mine
        assert len(await device.outbox()) == 1
        await device.enrol(SERVER_URL, await world.code_for("rep0"), "again")
        renewed = (await device.status()).identity
        assert renewed is not None
        assert mine is not None
        assert renewed.device_id != mine.device_id
        report = await device.sync()
        assert [entry.verdict.outcome for entry in report.verdicts] == [Outcome.ACCEPTED]


async def test_a_code_works_once(world: World, tmp_path: Path) -> None:
    code = await world.code_for("rep0")
    async with await world.open_device(tmp_path / "one.db") as one, await world.open_device(tmp_path / "two.db") as two:
        await one.enrol(SERVER_URL, code, "one")
        with pytest.raises((EnrolmentRefusedError, ProblemError)):
            await two.enrol(SERVER_URL, code, "two")
        assert (await two.status()).identity is None


async def test_an_application_is_told_of_verdicts_checkpoints_and_scope(world: World, tmp_path: Path) -> None:
    events: list[Event] = []
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        stop = device.subscribe(events.append)
        await device.sync()
        assert isinstance(events[0], CheckpointReached)
        await order(device, world)
        events.clear()
        await device.sync()
        verdict, reached = events
        assert isinstance(verdict, VerdictArrived)
        assert verdict.entry == (await device.journal())[0]
        assert isinstance(reached, CheckpointReached)
        assert (reached.cursor, reached.as_of_ms) == ((await device.status()).cursor, (await device.status()).as_of_ms)
        assert reached.changed == {"stock_level": 1, "sales_order": 1, "sales_order_line": 1}
        assert reached.ids["sales_order"] == {verdict.entry.subject_id}
        events.clear()
        moved = world.company.customers[0]
        await world.change(Customer, moved.id, territory_id=world.company.territories[1].id)
        await device.sync()
        assert ScopeChanged((), (f"account:{moved.id.hex}",)) in events
        stop()
        events.clear()
        await device.sync()
        assert events == []


async def test_an_application_is_told_which_rows_changed_where_they_are_few(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "NAMED_MAX", 3)
    products, contacts, gone = world.company.products, world.company.contacts, world.company.customers[1]
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        reached: list[CheckpointReached] = []
        device.subscribe(lambda event: reached.append(event) if isinstance(event, CheckpointReached) else None)
        await device.sync()
        assert reached.pop().ids == {}, "all is new"
        await world.change(Product, products[0].id, name="Renamed")
        async with world.database.write() as session:
            await session.execute(sa.delete(table_of(Contact)).where(table_of(Contact).c.id == contacts[0].id))
        await device.sync()
        told = reached.pop()
        assert told.changed == {"product": 1, "contact": 1}
        assert told.ids == {"product": {products[0].id}, "contact": {contacts[0].id}}
        async with world.database.write() as session:
            await session.execute(sa.update(table_of(Product)).values(description="New for all"))
        await world.change(Customer, gone.id, territory_id=world.company.territories[1].id)
        await device.sync()
        told = reached.pop()
        assert told.changed == {"product": len(products), "customer": 1, "address": 1, "contact": 1}
        assert told.ids == {"customer": {gone.id}, "address": {world.company.addresses[1].id}, "contact": {contacts[1].id}}


async def test_a_rebuilt_replica_is_told_with_what_is_offered_again(world: World, tmp_path: Path) -> None:
    events: list[Event] = []
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        await order(device, world)
        await device.sync()
        device.subscribe(events.append)
        async with world.database.write() as session:
            await rotate_epoch(session, world.ids.new())
        await device.sync()
        assert ReplicaRebuilt(ResyncReason.EPOCH_CHANGED, 1) in events


async def test_progress_grows_to_what_was_expected(world: World, tmp_path: Path) -> None:
    told: list[SyncProgress] = []
    async with await world.enrolled_device("rep0", tmp_path / "device.db", page_rows=10) as device:
        report = await device.sync(told.append)
        assert [each.done for each in told] == sorted(each.done for each in told)
        assert told[-1].done == told[-1].expected == report.rows
        await order(device, world)
        told.clear()
        await device.sync(told.append)
        assert [(each.phase, each.done, each.expected) for each in told if each.phase == "push"] == [("push", 1, 1)]


async def test_a_status_says_what_waits_and_since_when(world: World, tmp_path: Path) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        world.clock.advance(5_000)
        before = world.clock.now_ms()
        await order(device, world)
        world.clock.advance(5_000)
        await order(device, world)
        status = await device.status()
        assert (status.outbox_count, status.oldest_unsent_ms) == (2, before)
        assert (status.customers, status.products) == (2, 6)


async def test_stock_is_what_the_last_sync_said_less_what_waits_here(world: World, tmp_path: Path) -> None:
    product = world.company.products[0]
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        await order(device, world, quantity=4)
        (stock,) = await device.stock(product.id)
        assert (stock.on_hand, stock.allocated, stock.pending, stock.available) == (10, 0, 4, 6)
        await order(device, world, quantity=9)
        (stock,) = await device.stock(product.id)
        assert (stock.pending, stock.available) == (13, 0)
        await device.sync()
        (stock,) = await device.stock(product.id)
        assert (stock.on_hand, stock.allocated, stock.pending, stock.available) == (10, 10, 0, 0)
        await world.change(StockLevel, world.company.levels[0].id, on_hand=50)
        assert (await device.stock(product.id))[0].on_hand == 10, "no sync, no change"


async def test_a_price_names_its_list_and_the_next_cheaper_quantity(world: World, tmp_path: Path) -> None:
    customer, product = world.company.customers[0], world.company.products[1]
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        price = await device.price(customer.id, product.id, 9)
        assert price is not None
        assert (price.unit_price, price.amount_minor, price.next_break) == (20_000, 1_800, (10, 18_000))
        assert (price.price_list, price.currency, price.as_of_ms) == ("PL0", "EUR", (await device.status()).as_of_ms)
        for quantity in (0, -1, 10_000_001):
            with pytest.raises(InvalidEntryError, match="quantity"):
                await device.price(customer.id, product.id, quantity)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", "", "name: is empty"),
        ("name", "x" * 201, "name: has more than 200 characters"),
        ("country", "Belgium", "country: is not two capital letters of ISO 3166, such as NL"),
        ("country", "nl", "country: is not two capital letters of ISO 3166, such as NL"),
        ("email", "a\0b", "email: contains a control character"),
        ("note", "x" * 4_001, "note: has more than 4000 characters"),
        ("city", "\x07", "city: contains a control character"),
        ("name", "New \ud800 Co", "a text contains characters that are none"),
    ],
)
async def test_a_prospect_that_breaks_a_limit_is_refused_by_field(
    world: World, tmp_path: Path, field: str, value: str, said: str
) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        with pytest.raises(InvalidEntryError) as refused:
            await device.create_customer(prospect(world, **{field: value}))
        assert str(refused.value) == f"{said}: mend it and do it again; nothing was saved"
        assert await device.outbox() == []
        assert len(await device.customers()) == 2


@pytest.mark.parametrize(
    ("code", "name", "said"),
    [
        ("", "tablet", "code: is empty"),
        ("x" * 65, "tablet", "code: has more than 64 characters"),
        (None, " ", "device_name: is empty"),
        (None, "a\x01", "device_name: contains a control character"),
        (None, "a\ud800", "device_name: contains a control character"),
    ],
)
async def test_what_enrols_nothing_is_refused_before_the_code_is_spent(
    world: World, tmp_path: Path, code: str | None, name: str, said: str
) -> None:
    good = await world.code_for("rep0")
    async with await world.open_device(tmp_path / "device.db") as device:
        with pytest.raises(InvalidEntryError, match=f"^{said}: mend it"):
            await device.enrol(SERVER_URL, good if code is None else code, name)
        assert (await device.enrol(SERVER_URL, good, " tablet ")).device_name == "tablet"


async def test_an_order_that_is_over_can_be_neither_amended_nor_cancelled(world: World, tmp_path: Path) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        number = await order(device, world)
        order_id = (await device.order(number)).order.id
        assert (await device.cancel_order(order_id, reason="mistake")).order.reason == "mistake"
        for act in (device.cancel_order(order_id), device.amend_order(order_id, [(world.company.products[0].id, 1)])):
            with pytest.raises(OrderStateError, match=number):
                await act
        assert len(await device.outbox()) == 2


def test_every_error_says_whether_to_try_again() -> None:
    unsaid = list(RoadbookError.__subclasses__())
    while unsaid:
        error = unsaid.pop()
        assert isinstance(error.retry, bool)
        assert error.__doc__
        unsaid += error.__subclasses__()

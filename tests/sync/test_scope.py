"""What a device may hold, and that it holds just that after the sync that told it (I-5), on both engines."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from client_sdk import OrderClient
from client_sdk.events import Event, ScopeChanged
from server.customers.models import RepTerritoryModel
from server.identity.principals import Role
from server.runtime.database import Database
from server.runtime.errors import ProblemError
from server.runtime.rows import insert_rows
from sync_protocol.entities import SYNCED
from sync_protocol.entities.customers import Contact, Customer, Territory
from sync_protocol.entities.pricing import PriceEntry, PriceList
from sync_protocol.wire.endpoint import SyncEndpoint
from sync_protocol.wire.messages import PullRequest
from tests.support.ledger import device_view, server_view
from tests.support.terms import given, shared_terms, terms_of
from tests.support.world import World, make_id
from tests.sync.test_pull import Between

Happenings = dict[int, Callable[[], Awaitable[None]]]


@pytest.fixture
async def world(database: Database) -> World:
    return await World.found(database)


async def assign(world: World, rep: int, *territories: int) -> None:
    """Let a rep work these territories and no other."""
    rep_id = world.company.reps[rep].id
    async with world.database.write() as session:
        await session.execute(sa.delete(RepTerritoryModel).where(RepTerritoryModel.rep_id == rep_id))
        for territory in territories:
            session.add(RepTerritoryModel(rep_id=rep_id, territory_id=world.company.territories[territory].id))


async def same(world: World, device: OrderClient, rep: int = 0) -> bool:
    return device_view(device) == await server_view(world.database, world.company.reps[rep].id)


async def codes(device: OrderClient) -> list[str]:
    return [customer.code for customer in await device.customers()]


async def test_a_territory_gained_is_filled_and_one_lost_is_purged(world: World, tmp_path: Path) -> None:
    events: list[Event] = []
    async with await world.enrolled_device("rep0", tmp_path / "device.db", page_rows=4) as device:
        await device.sync()
        device.subscribe(events.append)
        for territories, expected in (
            ((0, 1), ["C0", "C1", "C2", "C3"]),
            ((1,), ["C2", "C3"]),
            ((), []),
            ((0,), ["C0", "C1"]),
        ):
            events.clear()
            await assign(world, 0, *territories)
            await device.sync()
            assert await codes(device) == expected
            assert await same(world, device)
            assert [event for event in events if isinstance(event, ScopeChanged)]


async def test_what_changed_while_a_territory_was_somebody_elses_is_right_when_it_comes_back(world: World, tmp_path: Path) -> None:
    company = world.company
    async with await world.enrolled_device("rep0", tmp_path / "device.db", page_rows=3) as device:
        await device.sync()
        await assign(world, 0)
        await device.sync()
        await world.change(Customer, company.customers[0].id, name="Renamed meanwhile")
        async with world.database.write() as session:
            await session.execute(sa.text("DELETE FROM contact"))
        await assign(world, 0, 0)
        await device.sync()
        assert (await device.customer("C0")).name == "Renamed meanwhile"
        assert await same(world, device)


async def test_territories_that_change_between_two_pages_leave_no_row_too_many_or_too_few(world: World, tmp_path: Path) -> None:
    asked: list[PullRequest] = []
    happenings: Happenings = {}

    def now_works(*territories: int) -> Callable[[], Awaitable[None]]:
        return lambda: assign(world, 0, *territories)

    def wire(inner: SyncEndpoint) -> SyncEndpoint:
        return Between(inner, asked, happenings)

    for place, then in ((3, ()), (5, (0, 1)), (8, (1,)), (11, ()), (11, (0, 1))):
        await assign(world, 0, 0)
        path = tmp_path / f"{place}-{len(then)}.db"
        async with await world.enrolled_device("rep0", path, page_rows=4, wrap=wire) as device:
            asked.clear()
            happenings[place] = now_works(*then)
            await device.sync()
            assert not happenings
            assert await same(world, device)
            happenings.update({len(asked) + 1: now_works(0), len(asked) + 3: now_works(*then)})
            await world.change(Contact, world.company.contacts[0].id, name=f"Changed {place}")
            await device.sync()
            await device.sync()
            assert await same(world, device)
            happenings.clear()


async def test_a_territory_lost_and_gained_again_within_one_pull_is_whole(world: World, tmp_path: Path) -> None:
    asked: list[PullRequest] = []
    happenings: Happenings = {}

    async def lose() -> None:
        await assign(world, 0)

    async def regain() -> None:
        await assign(world, 0, 0, 1)

    def wire(inner: SyncEndpoint) -> SyncEndpoint:
        return Between(inner, asked, happenings)

    for place in (2, 6, 11):
        path = tmp_path / f"device{place}.db"
        async with await world.enrolled_device("rep0", path, page_rows=4, wrap=wire) as device:
            asked.clear()
            happenings.update({place: lose, place + 2: regain})
            await device.sync()
            assert await same(world, device)
        await assign(world, 0, 0)


async def test_an_order_waiting_for_a_lost_customer_gets_its_verdict_and_its_rows_are_gone(world: World, tmp_path: Path) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        draft = await device.draft_order(world.company.customers[0].id)
        await draft.add_line(world.company.products[0].id, 1)
        submitted = await draft.submit()
        unfinished = await device.draft_order(world.company.customers[1].id)
        await unfinished.add_line(world.company.products[1].id, 2)
        await assign(world, 0)
        report = await device.sync()
        assert [entry.subject_id for entry in report.verdicts] == [submitted.order.id]
        assert await device.outbox() == []
        assert await device.orders() == []
        assert {view.order_id for view in await device.drafts()} == {submitted.order.id, unfinished.order_id}
        await unfinished.discard()
        assert len(await device.drafts()) == 1
        assert await same(world, device)


async def test_a_buyers_device_holds_its_company_and_nothing_of_others(world: World, tmp_path: Path) -> None:
    company = world.company
    own = company.customers[0]
    async with world.database.write() as session:
        await world._user(session, "buyer", Role.BUYER, customer_id=own.id)
        for rows in (shared_terms(world), terms_of(world, company.customers[0], 0), terms_of(world, company.customers[1], 1)):
            for row in rows:
                await insert_rows(session, [row])
    async with (
        await world.enrolled_device("rep0", tmp_path / "rep.db") as rep,
        await world.enrolled_device("buyer", tmp_path / "buyer.db") as buyer,
    ):
        await rep.sync()
        for customer in company.customers[:2]:
            draft = await rep.draft_order(customer.id)
            await draft.add_line(company.products[0].id, 1)
            await draft.submit()
        await rep.sync()
        async with world.database.write() as session:
            await insert_rows(session, [given(make_id(920), view.order) for view in await rep.orders()])
        await rep.sync()
        assert await same(world, rep)
        assert [name for name, rows in device_view(rep).items() if not rows] == ["pack"], "there is one of all else"
        await buyer.sync()
        view = device_view(buyer)
        assert await codes(buyer) == ["C0"]
        by_company = {
            each.name: each.row.__struct_fields__.index("customer_id") for each in SYNCED if each.bucket.key == "customer_id"
        }
        for name, place in by_company.items():
            assert {row[place] for row in view[name]} == {own.id.bytes}, name
        assert view["discount_limit"] == view["price_floor"] == []
        assert [row[0] for row in view["price_list"]] == [company.price_lists[0].id.bytes]
        assert {row[2] for row in view["stock_level"]} == {company.locations[0].id.bytes}
        assert len(await buyer.search("")) == len(company.products)
        draft = await buyer.draft_order(own.id)
        await draft.add_line(company.products[1].id, 1)
        await draft.submit()
        assert [entry.verdict.outcome for entry in (await buyer.sync()).verdicts] == ["accepted"]
        assert len(await buyer.orders()) == 2


async def test_another_price_list_of_a_customer_comes_and_the_old_one_goes(world: World, tmp_path: Path) -> None:
    company = world.company
    special = PriceList(id=make_id(990), code="VIP", name="Special", currency="EUR")
    price = PriceEntry(
        id=make_id(991), price_list_id=special.id, product_id=company.products[0].id, min_quantity=1, unit_price=5_000
    )
    customer = company.customers[0]
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        async with world.database.write() as session:
            await insert_rows(session, [special])
            await insert_rows(session, [price])
        await device.sync()
        assert await unit_price(device, world, 0) == 10_000
        assert len(device_view(device)["price_list"]) == 1
        await world.change(Customer, customer.id, price_list_id=special.id)
        await device.sync()
        assert await unit_price(device, world, 0) == 5_000
        assert await unit_price(device, world, 1) == 10_000
        assert await same(world, device)
        await world.change(Customer, customer.id, price_list_id=None)
        await device.sync()
        assert await unit_price(device, world, 0) == 10_000
        assert len(device_view(device)["price_list"]) == 1
        assert await same(world, device)


async def unit_price(device: OrderClient, world: World, customer: int) -> int | None:
    price = await device.price(world.company.customers[customer].id, world.company.products[0].id)
    return price.unit_price if price else None


async def test_another_stock_location_of_a_territory_takes_the_place_of_the_old_one(world: World, tmp_path: Path) -> None:
    company = world.company
    async with await world.enrolled_device("rep0", tmp_path / "device.db", page_rows=4) as device:
        await device.sync()
        await world.change(
            Territory,
            company.territories[0].id,
            stock_location_id=company.locations[1].id,
            price_list_id=company.price_lists[1].id,
        )
        await device.sync()
        assert [view.location_code for view in await device.stock(company.products[0].id)] == ["WH1"]
        assert await same(world, device)


async def test_only_who_can_hold_something_has_a_device(world: World, tmp_path: Path) -> None:
    async with world.database.write() as session:
        for role in (Role.ADMIN, Role.INTEGRATION):
            await world._user(session, role, role)
    async with await world.open_device(tmp_path / "device.db") as device:
        for login in ("manager", "admin", "integration"):
            with pytest.raises(ProblemError):
                await device.enrol("https://server.test", await world.code_for(login), "office")
        assert (await device.status()).identity is None
    async with world.database.read() as session:
        assert (await session.execute(sa.text("SELECT count(*) FROM device"))).scalar() == 0

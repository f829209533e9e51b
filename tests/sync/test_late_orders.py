"""What becomes of an order that meets a handover on its way: taken before it, or after it on a device that had not heard."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
import sqlalchemy as sa

from client_sdk import OrderClient, receipts
from client_sdk.ordering import NewCustomer
from server.changelog.log import age_out
from server.customers.late_orders import Claim
from server.identity.reports import PurgeReceiptModel
from server.runtime.database import Database
from server.runtime.rows import table_of
from sync_protocol.entities.customers import Address, Customer
from sync_protocol.entities.orders import Order, OrderStatus
from sync_protocol.entities.pricing import PriceEntry
from sync_protocol.verdicts import Code, Outcome, Verdict
from tests.support.ledger import device_view, server_view
from tests.support.management import Manager, managing
from tests.support.world import ManualClock, World

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
YEAR_MS = 365 * DAY_MS
POLICIES = ("honour", "route", "refuse")
every_policy = pytest.mark.parametrize("late_orders", POLICIES)


@pytest.fixture
async def world(database: Database) -> World:
    """In territory 1 everything costs twice as much, so that it shows on whose terms an order was decided."""
    founded = await World.found(database)
    table = table_of(PriceEntry)
    dear = table.c.price_list_id == founded.company.price_lists[1].id
    async with database.write() as session:
        await session.execute(sa.update(table).where(dear).values(unit_price=table.c.unit_price * 2))
    return founded


@pytest.fixture
async def manager(world: World) -> AsyncIterator[Manager]:
    async with managing(world) as opened:
        yield opened


async def take(device: OrderClient, world: World, customer: int, quantity: int = 1) -> UUID:
    """Take an order on the device; it is not sent."""
    draft = await device.draft_order(world.company.customers[customer].id)
    await draft.add_line(world.company.products[0].id, quantity)
    return (await draft.submit()).order.id


async def send(device: OrderClient, subject_id: UUID) -> Verdict:
    """Sync; the verdict on what was asked last about an order."""
    await device.sync()
    return (await device.journal(subject_id=subject_id))[0].verdict


def whose(world: World, order: Order) -> int:
    return [rep.id for rep in world.company.reps].index(order.rep_id)


async def same(world: World, device: OrderClient, rep: int) -> bool:
    return device_view(device) == await server_view(world.database, world.company.reps[rep].id)


@every_policy
@pytest.mark.parametrize("by", ["customers", "rep"])
async def test_an_order_taken_before_a_handover_is_honoured_on_the_old_terms(
    world: World, manager: Manager, tmp_path: Path, late_orders: str, by: str
) -> None:
    async with (
        await world.enrolled_device("rep0", tmp_path / "old.db") as old,
        await world.enrolled_device("rep1", tmp_path / "new.db") as new,
    ):
        await old.sync()
        await new.sync()
        order_id = await take(old, world, 0, 3)
        world.clock.advance(HOUR_MS)
        if by == "customers":
            await manager.move(0, to=1, late_orders=late_orders)
        else:
            await manager.reassign(0, to=1, late_orders=late_orders)
        world.clock.advance(HOUR_MS)
        verdict = await send(old, order_id)
        assert (verdict.outcome, verdict.changes) == (Outcome.ACCEPTED, ())
        order = await world.fetch(Order, order_id)
        assert (whose(world, order), order.total_minor) == (0, 300)
        assert order.stock_location_id == world.company.locations[0].id
        assert order_id not in {view.order.id for view in await old.orders()}, "it is purged"
        await new.sync()
        assert order_id in {view.order.id for view in await new.orders()}
        assert await same(world, old, 0)
        assert await same(world, new, 1)


@pytest.mark.parametrize(
    ("late_orders", "outcome", "codes", "rep", "total"),
    [
        ("honour", Outcome.ACCEPTED, (), 0, 300),
        ("route", Outcome.HELD, (Code.ROUTED, Code.PRICE_CHANGED), 1, 600),
        ("refuse", Outcome.REJECTED, (Code.HANDED_OVER,), None, None),
    ],
)
async def test_an_order_taken_after_a_handover_that_the_device_had_not_heard_of_follows_the_policy(
    *,
    world: World,
    manager: Manager,
    tmp_path: Path,
    late_orders: str,
    outcome: Outcome,
    codes: tuple[Code, ...],
    rep: int | None,
    total: int | None,
) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "old.db") as old:
        await old.sync()
        await manager.move(0, to=1, late_orders=late_orders)
        world.clock.advance(HOUR_MS)
        order_id = await take(old, world, 0, 3)
        verdict = await send(old, order_id)
        assert (verdict.outcome, verdict.codes) == (outcome, codes)
        if rep is not None:
            order = await world.fetch(Order, order_id)
            assert (whose(world, order), order.total_minor) == (rep, total)
            assert order.hold_code == (Code.ROUTED if late_orders == "route" else None)
        assert await old.outbox() == []


async def test_a_routed_order_is_decided_by_the_new_rep_or_by_a_manager(world: World, manager: Manager, tmp_path: Path) -> None:
    company = world.company
    async with (
        await world.enrolled_device("rep0", tmp_path / "old.db") as old,
        await world.enrolled_device("rep1", tmp_path / "new.db") as new,
    ):
        await old.sync()
        await new.sync()
        await manager.reassign(0, to=1)
        world.clock.advance(HOUR_MS)
        first, second = await take(old, world, 0, 1), await take(old, world, 1, 2)
        await old.sync()
        await new.sync()
        assert {view.order.id for view in await new.orders(status=OrderStatus.HELD)} == {first, second}
        await new.amend_order(first, [(company.products[0].id, 1)])
        assert (await send(new, first)).outcome is Outcome.ACCEPTED
        await manager.post(f"/orders/{second}/release", reason="fine")
        assert {(await world.fetch(Order, each)).status for each in (first, second)} == {OrderStatus.CONFIRMED}
        assert {whose(world, await world.fetch(Order, each)) for each in (first, second)} == {1}


@every_policy
@pytest.mark.parametrize("is_late", [False, True])
async def test_amendments_and_cancels_of_a_handed_over_order_go_the_same_way(
    world: World, manager: Manager, tmp_path: Path, late_orders: str, is_late: bool
) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "old.db") as old:
        await old.sync()
        amended, cancelled = await take(old, world, 0, 1), await take(old, world, 0, 2)
        await old.sync()
        if not is_late:
            await change(old, world, amended, cancelled)
            world.clock.advance(HOUR_MS)
        await manager.move(0, to=1, late_orders=late_orders)
        world.clock.advance(HOUR_MS)
        if is_late:
            await change(old, world, amended, cancelled)
        await old.sync()
        verdicts = [(await old.journal(subject_id=each))[0].verdict for each in (amended, cancelled)]
        orders = [await world.fetch(Order, each) for each in (amended, cancelled)]
        assert [whose(world, order) for order in orders] == [0, 0], "whose order it is was frozen when it was taken"
        seen = [(verdict.outcome, order.status, order.total_minor) for verdict, order in zip(verdicts, orders, strict=True)]
        if not is_late or late_orders == "honour":
            assert seen == [
                (Outcome.ACCEPTED, OrderStatus.CONFIRMED, 500),
                (Outcome.ACCEPTED, OrderStatus.CANCELLED, 200),
            ]
        elif late_orders == "route":
            assert seen == [(Outcome.HELD, OrderStatus.HELD, 1_000), (Outcome.HELD, OrderStatus.HELD, 200)]
            assert [order.hold_code for order in orders] == [Code.ROUTED, Code.ROUTED]
            assert orders[1].reason == "to be cancelled, says its former rep: no more"
        else:
            assert [verdict.codes for verdict in verdicts] == [(Code.HANDED_OVER,)] * 2
            assert seen == [
                (Outcome.REJECTED, OrderStatus.CONFIRMED, 100),
                (Outcome.REJECTED, OrderStatus.CONFIRMED, 200),
            ]


async def change(device: OrderClient, world: World, amended: UUID, cancelled: UUID) -> None:
    await device.amend_order(amended, [(world.company.products[0].id, 5)])
    await device.cancel_order(cancelled, reason="no more")


@every_policy
async def test_a_customer_that_goes_and_comes_back_while_the_device_is_away_changes_nothing_for_it(
    world: World, manager: Manager, tmp_path: Path, late_orders: str
) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "old.db") as old:
        await old.sync()
        before = await take(old, world, 0, 1)
        world.clock.advance(HOUR_MS)
        await manager.move(0, to=1, late_orders=late_orders)
        world.clock.advance(HOUR_MS)
        between = await take(old, world, 0, 2)
        await manager.move(0, to=0, late_orders=late_orders)
        world.clock.advance(HOUR_MS)
        after = await take(old, world, 0, 3)
        await old.sync()
        for order_id in (before, between, after):
            assert (await old.journal(subject_id=order_id))[0].verdict.outcome is Outcome.ACCEPTED
            assert whose(world, await world.fetch(Order, order_id)) == 0
        assert await same(world, old, 0)


async def test_a_prospect_taken_in_a_territory_before_that_was_handed_over_comes_in_with_its_order(
    world: World, manager: Manager, tmp_path: Path
) -> None:
    async with (
        await world.enrolled_device("rep0", tmp_path / "old.db") as old,
        await world.enrolled_device("rep1", tmp_path / "new.db") as new,
    ):
        await old.sync()
        await new.sync()
        prospect = await old.create_customer(new_customer(world))
        draft = await old.draft_order(prospect.id)
        await draft.add_line(world.company.products[0].id, 1)
        order_id = (await draft.submit()).order.id
        await manager.reassign(0, to=1, late_orders="refuse")
        world.clock.advance(HOUR_MS)
        late = await old.create_customer(new_customer(world))
        await old.sync()
        assert (await old.journal(subject_id=prospect.id))[0].verdict.outcome is Outcome.ACCEPTED
        assert (await old.journal(subject_id=order_id))[0].verdict.codes == (Code.CUSTOMER_IS_PROSPECT,)
        assert (await old.journal(subject_id=late.id))[0].verdict.codes == (Code.HANDED_OVER,)
        await new.sync()
        assert prospect.id in {customer.id for customer in await new.customers()}
        assert await same(world, new, 1)


def new_customer(world: World) -> NewCustomer:
    return NewCustomer(
        territory_id=world.company.territories[0].id,
        name="Prospect",
        street="Lane 1",
        postal_code="1000",
        city="Utrecht",
        country="NL",
        contact_name="Somebody",
    )


@pytest.mark.parametrize("years", [-9, 9])
async def test_a_clock_that_is_years_off_is_corrected_and_moves_nothing(
    world: World, manager: Manager, tmp_path: Path, years: int
) -> None:
    clock = ManualClock(world.clock.now_ms() + years * YEAR_MS)
    async with await world.open_device(tmp_path / "old.db", clock=clock) as old:
        await old.enrol("https://server.test", await world.code_for("rep0"), "tablet")
        await old.sync()
        early = await take(old, world, 0)
        for each in (world.clock, clock):
            each.advance(HOUR_MS)
        await manager.move(0, to=1, late_orders="refuse")
        for each in (world.clock, clock):
            each.advance(HOUR_MS)
        late = await take(old, world, 0)
        await old.sync()
        assert (await old.journal(subject_id=early))[0].verdict.outcome is Outcome.ACCEPTED
        assert (await old.journal(subject_id=late))[0].verdict.codes == (Code.HANDED_OVER,)


@pytest.mark.parametrize("jump_ms", [-20 * YEAR_MS, 20 * YEAR_MS])
async def test_a_clock_that_jumped_by_years_since_the_last_checkpoint_is_not_believed(
    world: World, manager: Manager, tmp_path: Path, jump_ms: int
) -> None:
    clock = ManualClock(world.clock.now_ms())
    async with await world.open_device(tmp_path / "old.db", clock=clock) as old:
        await old.enrol("https://server.test", await world.code_for("rep0"), "tablet")
        await old.sync()
        await manager.move(0, to=1, late_orders="route")
        world.clock.advance(HOUR_MS)
        clock.advance(jump_ms)
        verdict = await send(old, await take(old, world, 0))
        assert verdict.outcome is Outcome.HELD
        assert Code.ROUTED in verdict.codes


def test_a_claim_is_held_against_what_the_server_knows() -> None:
    claim = Claim(
        captured_at_ms=10 * DAY_MS, clock_skew_ms=0, decided_at_cursor=41, enrolled_at_ms=5 * DAY_MS, received_at_ms=20 * DAY_MS
    )
    done = {"commit_seq": 42, "done_at_ms": 11 * DAY_MS}

    def is_before(**differs: int | None) -> bool:
        return msgspec.structs.replace(claim, **differs).is_before(**done)

    assert is_before()
    assert is_before(clock_skew_ms=None)
    assert is_before(captured_at_ms=10 * DAY_MS + YEAR_MS, clock_skew_ms=YEAR_MS)
    assert not is_before(decided_at_cursor=42), "it had come past the handover"
    assert is_before(captured_at_ms=11 * DAY_MS)
    assert not is_before(captured_at_ms=11 * DAY_MS + 1)
    assert not is_before(captured_at_ms=10 * DAY_MS, clock_skew_ms=-2 * DAY_MS)
    assert not is_before(captured_at_ms=4 * DAY_MS), "its user had no device yet"
    assert not is_before(received_at_ms=9 * DAY_MS), "it would be in the future"


async def test_a_handover_in_the_middle_of_a_push_loses_nothing_and_doubles_nothing(
    world: World, manager: Manager, tmp_path: Path
) -> None:
    async with (
        await world.enrolled_device("rep0", tmp_path / "old.db") as old,
        await world.enrolled_device("rep1", tmp_path / "new.db") as new,
    ):
        await old.sync()
        await new.sync()
        taken: list[UUID] = []
        for turn in range(6):
            made = [await take(old, world, 0, 1) for _ in range(5)]
            taken += made
            world.clock.advance(HOUR_MS)
            await asyncio.gather(old.sync(), after_steps(turn, manager.move(0, to=1, late_orders="refuse")))
            await old.sync()
            assert await old.outbox() == []
            await manager.move(0, to=0, late_orders="refuse")
            await old.sync()
        for order_id in taken:
            entries = await old.journal(subject_id=order_id)
            assert [entry.verdict.outcome for entry in entries] in ([Outcome.ACCEPTED], [Outcome.ACCEPTED_WITH_CHANGES]), entries
            assert {code for entry in entries for code in entry.verdict.codes} <= {Code.BACKORDERED}
            order = await world.fetch(Order, order_id)
            assert (whose(world, order), order.total_minor) == (0, 100)
        await new.sync()
        assert await same(world, old, 0)
        assert await same(world, new, 1)


async def after_steps(count: int, act: Awaitable[object]) -> None:
    """Begin so many steps of the event loop later: each time the other side is somewhere else."""
    for _ in range(7 * count):
        await asyncio.sleep(0)
    await act


async def test_nothing_of_a_customer_crosses_from_one_rep_to_the_other_before_or_stays_after(
    world: World, manager: Manager, tmp_path: Path
) -> None:
    company = world.company
    words = (b"Kandahar", b"Samarkand")
    for place, word in ((0, words[0]), (2, words[1])):
        await world.change(Customer, company.customers[place].id, name=word.decode(), note=f"{word.decode()} pays late")
        await world.change(Address, company.addresses[place].id, street=f"{word.decode()} Road")
    paths = (tmp_path / "old.db", tmp_path / "new.db")
    async with (
        await world.enrolled_device("rep0", paths[0], page_rows=7) as old,
        await world.enrolled_device("rep1", paths[1], page_rows=7) as new,
    ):
        await old.sync()
        await new.sync()
        assert [holds(path, word) for path in paths for word in words] == [True, False, False, True]
        await manager.move(0, to=1)
        await manager.move(2, to=0)
        for device in (new, old):
            await device.sync()
        assert [holds(path, word) for path in paths for word in words] == [False, True, True, False]
        assert await same(world, old, 0)
        assert await same(world, new, 1)


def holds(path: Path, word: bytes) -> bool:
    """Whether a word stands anywhere in the files of a device."""
    return any(word in each.read_bytes() for each in path.parent.glob(f"{path.name}*"))


async def test_a_device_that_was_away_for_91_days_is_honoured_purged_and_answered(
    world: World, manager: Manager, tmp_path: Path
) -> None:
    word = b"Bukhara"
    await world.change(Customer, world.company.customers[0].id, name=word.decode())
    path = tmp_path / "old.db"
    async with await world.enrolled_device("rep0", path) as old:
        await old.sync()
        early = await take(old, world, 0)
        world.clock.advance(DAY_MS)
        await manager.move(0, to=1, late_orders="refuse")
        world.clock.advance(DAY_MS)
        late = await take(old, world, 0)
        world.clock.advance(90 * DAY_MS)
        await forget_everything(world)
        await old.sync()
        assert (await old.journal(subject_id=early))[0].verdict.outcome is Outcome.ACCEPTED
        assert (await old.journal(subject_id=late))[0].verdict.codes == (Code.HANDED_OVER,)
        assert await same(world, old, 0)
        assert not holds(path, word)
        assert await erased(world, old) == {f"account:{world.company.customers[0].id.hex}": 3}


async def erased(world: World, device: OrderClient) -> dict[str, int]:
    """What the device erased, by its receipts: those that it still holds, and those that the server has already."""
    async with world.database.read() as session:
        stored = (await session.execute(sa.select(PurgeReceiptModel))).scalars().all()
    return {each.bucket: each.rows for each in (*stored, *device._store.read_now(receipts.ready))}


async def forget_everything(world: World) -> None:
    """Age the log out as a server does that ran all the while; its triggers stamp commits with the machine's own clock."""
    async with world.database.write() as session:
        last_ms = (await session.execute(sa.text("SELECT max(committed_at_ms) FROM change_commit"))).scalar_one()
        await age_out(session, now_ms=last_ms + 91 * DAY_MS, retention_days=90)

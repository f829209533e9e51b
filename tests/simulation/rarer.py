"""What happens now and then: slips of users, handovers, assignments, rows that come and go while a device is away."""

import asyncio
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from client_sdk import OrderClient
from client_sdk.draft_view import DraftState
from server.changelog.forgetting import forget_intents
from server.customers.handover import Asked, LateOrders, check_move, plan
from server.customers.handover_execution import execute
from server.runtime.clock import IdSource
from server.runtime.database import WriteSession
from server.runtime.rows import insert_rows
from sync_protocol.entities import BY_ROW
from sync_protocol.entities.catalog import Product
from sync_protocol.entities.customers import Segment, SegmentMember
from sync_protocol.entities.orders import Channel
from sync_protocol.entities.pricing import CustomerPriceList, Exclusivity, PriceEntry, PriceListAssignment
from tests.simulation import steps
from tests.simulation.handset import Handset
from tests.simulation.plan import DAY_MS, Step
from tests.simulation.world import SimulatedWorld

_SOME_DAY_MS: Final = 200_000_000_000_000
"""So late that no price is made of it: what it changes is what devices hold."""
_HOUR_SECONDS: Final = 3_600
_DAYS_AWAY: Final = 200
_HUGE_QUANTITY: Final = 1_000_000
_HUGE_PRICE: Final = 10**12


# Slips and second thoughts of users


async def blunder(world: SimulatedWorld, handset: Handset, step: Step) -> None:
    """An order without lines, a quantity that is none, a draft that is not there any more: refused at once, in so many words."""

    async def act(client: OrderClient) -> None:
        kind = step.pick(0, 3)
        customers = await client.customers(limit=1)
        if not customers:
            return
        draft = await client.draft_order(customers[0].id)
        try:
            if kind == 0:
                await draft.add_line(world.product(step.numbers[2]), 1)
                await draft.submit()
                handset.saved()
                await draft.add_line(world.product(1), 1)
            if kind == 1:
                await draft.submit()
            await draft.add_line(world.product(1), 0)
        finally:
            if kind:
                await draft.discard()

    await handset.attempt(act)


async def finish(_world: SimulatedWorld, handset: Handset, step: Step) -> None:
    """A draft that was begun some time is submitted."""

    async def act(client: OrderClient) -> None:
        begun = [each for each in await client.drafts() if each.state is DraftState.OPEN and each.lines]
        if begun:
            chosen = sorted(begun, key=lambda each: each.order_id)[step.pick(0, len(begun))]
            await (await client.draft(chosen.order_id)).submit()
            handset.saved()

    await handset.attempt(act)
    handset.check_held()


async def contend(world: SimulatedWorld, handset: Handset, step: Step) -> None:
    """All devices of one user change the same order before any of them hears of the others."""
    same = [each for each in world.handsets if each.rep == handset.rep]
    await asyncio.gather(*(steps.amend(world, each, step) for each in same))
    await asyncio.gather(*(each.sync() for each in same))


async def roll_back(world: SimulatedWorld, handset: Handset, step: Step) -> None:
    """A device is backed up, goes on, and is restored; a draft that was begun before is submitted before and after it."""
    await steps.draft(world, handset, step)
    world.back_up_device(handset)
    backup = world.device_backups[-1][1]
    await finish(world, handset, step)
    await steps.order(world, handset, step)
    await handset.sync()
    await world.restore_device(handset, backup)
    world.trace.saw("device: restored")
    await finish(world, handset, step)


# What the office does while a device is away


async def hand_over(world: SimulatedWorld, handset: Handset, step: Step) -> None:
    """Customers or a territory go to the other rep, now or some hours later; the old one's device has an order on its way."""
    here, there = (
        territory.id for territory in (world.company.territories if handset.rep == 0 else world.company.territories[::-1])
    )
    other = world.company.reps[1 - handset.rep].id
    theirs = [each.id for each in world.company.customers if each.territory_id == here]
    asked = (
        Asked(customer_ids=(theirs[step.pick(1, len(theirs))],), to_territory_id=there),
        Asked(territory_id=here, to_territory_id=there),
        Asked(territory_id=here, to_rep_id=other),
    )[step.pick(0, 3)]
    policy = tuple(LateOrders)[step.pick(2, 3)]
    hours = step.pick(3, 48) if step.pick(4, 2) else 0

    async def act(session: WriteSession) -> UUID:
        found = await session.execute(sa.text("SELECT id FROM user_account WHERE role = 'manager'"))
        now_ms = world.clock.now_ms()
        planned = await plan(
            session,
            await check_move(session, asked),
            late_orders=policy,
            note="",
            effective_at_ms=now_ms + hours * _HOUR_SECONDS * 1000 if hours else None,
            user_id=UUID(bytes=found.scalar_one()),
            ids=world.server.ids,
            now_ms=now_ms,
        )
        if not hours:
            await execute(session, planned.id, now_ms)
        return planned.id

    planned = await world.server.work(act)
    if planned is None:
        return
    if hours:
        await asyncio.sleep(hours * _HOUR_SECONDS)
        await world.server.work(lambda session: execute(session, planned, world.clock.now_ms()))
    world.trace.saw("office: handed over")
    if step.pick(5, 3):
        await asyncio.sleep(1)
        await steps.order(world, handset, step)
        await handset.sync()


async def assign(world: SimulatedWorld, _handset: Handset, step: Step) -> None:
    """A rep works one more territory, or one less."""
    rep, territory = world.company.reps[step.pick(0, 2)].id.bytes, world.company.territories[step.pick(1, 2)].id.bytes
    sql = (
        "INSERT OR IGNORE INTO rep_territory (rep_id, territory_id) VALUES (:rep, :territory)",
        "DELETE FROM rep_territory WHERE rep_id = :rep AND territory_id = :territory",
    )[step.pick(2, 3) == 0]
    await world.server.work(lambda session: session.execute(sa.text(sql), {"rep": rep, "territory": territory}))
    world.trace.saw("office: assigned")


async def enlist(world: SimulatedWorld, _handset: Handset, step: Step) -> None:
    """Who is to buy from which list some day: that comes, goes or is changed, for a segment, for many, or for one customer."""
    kind = (SegmentMember, PriceListAssignment, CustomerPriceList)[step.pick(0, 3)]
    company, ids = world.company, world.server.ids
    shared = {"price_list_id": company.price_lists[step.pick(2, 2)].id, "priority": 1, "exclusivity": Exclusivity.SHARED}
    customer_id = world.customer(step.numbers[3])

    async def act(session: WriteSession) -> None:
        segment_id = await _segment(session, ids)
        values: dict[str, Any] = {"customer_id": customer_id, "segment_id": segment_id}
        if kind is CustomerPriceList:
            values = {"customer_id": customer_id, "valid_from_ms": _SOME_DAY_MS, **shared}
        if kind is PriceListAssignment:
            channel = (None, None, Channel.REP, Channel.BUYER)[step.pick(4, 4)]
            territory_id = (None, *(each.id for each in company.territories))[step.pick(5, 3)]
            named = {
                "segment_id": (segment_id, segment_id, None)[step.pick(6, 3)],
                "channel": channel,
                "territory_id": territory_id,
            }
            values = {"valid_from_ms": _SOME_DAY_MS, **named, **shared}
        found = (await session.execute(sa.text(f"SELECT id FROM {BY_ROW[kind].name} ORDER BY id"))).scalars().all()
        known = UUID(bytes=found[step.pick(7, len(found))]) if found else None
        if known is None or step.pick(1, 2):
            await insert_rows(session, [kind(id=ids.new(), **values)])
        elif step.pick(1, 4):
            await steps.change(kind, known, **values)(session)
        else:
            await steps.delete(kind, known)(session)

    await world.server.work(act)
    world.trace.saw("office: enlisted")


async def _segment(session: WriteSession, ids: IdSource) -> UUID:
    """The one that there is."""
    found = (await session.execute(sa.text("SELECT id FROM segment"))).scalar_one_or_none()
    if found is not None:
        return UUID(bytes=found)
    segment = Segment(id=ids.new(), code="GOLD", name="Gold")
    await insert_rows(session, [segment])
    return segment.id


async def fad(world: SimulatedWorld, handset: Handset, step: Step) -> None:
    """A product comes, a device has it, an order of it is saved, and before that is sent it is removed again."""
    new, ids = world.company, world.server.ids
    home = new.territories[handset.rep]
    product = Product(
        id=ids.new(),
        sku=f"FAD-{step.numbers[0]}",
        name="A fad",
        description="",
        unit_id=new.unit.id,
        status=new.products[0].status,
        category_id=new.category.id,
    )
    entry = PriceEntry(id=ids.new(), price_list_id=home.price_list_id, product_id=product.id, min_quantity=1, unit_price=20_000)
    rows = (product, entry)
    for row in rows:
        await world.server.work(lambda session, row=row: insert_rows(session, [row]))
    await handset.sync()

    async def act(client: OrderClient) -> None:
        customers = await client.customers(limit=1)
        if customers:
            draft = await client.draft_order(customers[0].id)
            await draft.add_line(product.id, 2)
            await draft.submit()
            handset.saved()

    await handset.attempt(act)
    for row in reversed(rows):
        await world.server.work(steps.delete(type(row), row.id))
    world.trace.saw("office: a fad")
    await handset.sync()


async def forget(world: SimulatedWorld, _handset: Handset, _step: Step) -> None:
    """Verdicts of half a year ago are forgotten, as the server's job does; nothing younger is."""
    history = world.server.history
    before, now_ms = len(history.forgotten), world.clock.now_ms()
    history.is_forgetting = True
    await world.server.work(lambda session: forget_intents(session, now_ms=now_ms))
    history.is_forgetting = False
    if len(history.forgotten) > before:
        world.trace.saw("server: verdicts forgotten")


async def come_back_late(world: SimulatedWorld, handset: Handset, step: Step) -> None:
    """What a device sent was decided, and it never heard of it: it is away for longer than that is remembered."""
    if handset.client is None or handset.is_revoked:
        return
    await steps.order(world, handset, step)
    before, handset.network.rates = handset.network.rates, {"lost_reply": 1.0}
    await handset.sync()
    handset.network.rates, handset.network.is_offline = before, True
    await asyncio.sleep(_DAYS_AWAY * DAY_MS / 1000)
    await forget(world, handset, step)
    handset.network.is_offline = False
    world.trace.saw("device: came back late")
    await handset.sync()


async def inflate(world: SimulatedWorld, handset: Handset, _step: Step) -> None:
    """A very large order is on its way when prices rise beyond what an order may hold."""

    async def act(client: OrderClient) -> None:
        customers = await client.customers(limit=1)
        if customers:
            draft = await client.draft_order(customers[0].id)
            await draft.add_line(world.product(0), _HUGE_QUANTITY)
            await draft.submit()
            handset.saved()

    await handset.attempt(act)
    of_product = [entry for entry in world.company.entries if entry.product_id == world.product(0)]
    for entry in of_product:
        await world.server.work(steps.change(PriceEntry, entry.id, unit_price=_HUGE_PRICE))
    await handset.sync()
    for entry in of_product:
        await world.server.work(steps.change(PriceEntry, entry.id, unit_price=entry.unit_price))

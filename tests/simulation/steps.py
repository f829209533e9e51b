"""What can happen in a world, one function a kind of step: what users do, what the office does, what goes wrong."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import closing
from typing import Any, Final
from uuid import UUID

import apsw
import sqlalchemy as sa

from client_sdk import NewCustomer, OrderClient
from client_sdk.draft_view import DraftState
from server.changelog.log import age_out
from server.identity.devices import RevocationReason, revoke_device
from server.orders.service import refuse_order, release_order
from server.runtime.database import WriteSession
from server.runtime.rows import table_of
from sync_protocol.entities.catalog import Product
from sync_protocol.entities.customers import Address, Contact, Customer
from sync_protocol.entities.inventory import StockLevel
from sync_protocol.entities.pricing import PriceEntry, PriceList
from sync_protocol.values import Row
from tests.simulation.device import open_as_another
from tests.simulation.handset import Handset
from tests.simulation.plan import DAY_MS, Step
from tests.simulation.world import SimulatedWorld

Act = Callable[[SimulatedWorld, Handset, Step], Coroutine[Any, Any, None]]
RETENTION_DAYS: Final = 90


# What users do


def _lines(world: SimulatedWorld, step: Step) -> list[tuple[UUID, int]]:
    count = 1 + step.pick(1, 3)
    return [(world.product(step.numbers[2] >> (3 * n)), 1 + (step.numbers[3] >> (5 * n)) % 14) for n in range(count)]


async def order(world: SimulatedWorld, handset: Handset, step: Step) -> None:
    async def act(client: OrderClient) -> None:
        customers = await client.customers(limit=10)
        if not customers:
            return
        chosen = sorted(customers, key=lambda each: each.id)[step.pick(0, len(customers))]
        addresses = sorted(await client.addresses(chosen.id), key=lambda each: each.id)
        address = addresses[0].id if addresses and step.pick(4, 3) == 0 else None
        draft = await client.draft_order(chosen.id, address_id=address)
        for product, quantity in _lines(world, step):
            await draft.add_line(product, quantity)
        shown = await draft.submit()
        handset.saved()
        assert shown.order.id == draft.order_id

    await handset.attempt(act)
    handset.check_held()
    handset.check_shown()


async def prospect(world: SimulatedWorld, handset: Handset, step: Step) -> None:
    territory = world.company.territories[handset.rep if step.pick(0, 4) else 1 - handset.rep].id

    async def act(client: OrderClient) -> None:
        new = NewCustomer(name="Néw", street="S", postal_code="1", city="C", country="NL", contact_name="N", territory_id=territory)
        made = await client.create_customer(new)
        handset.saved()
        draft = await client.draft_order(made.id)
        await draft.add_line(world.product(step.numbers[1]), 1 + step.pick(2, 5))
        await draft.submit()
        handset.saved()

    await handset.attempt(act)
    handset.check_held()


async def amend(world: SimulatedWorld, handset: Handset, step: Step) -> None:
    async def act(client: OrderClient) -> None:
        shown = await client.orders()
        if shown:
            chosen = sorted(shown, key=lambda each: each.order.id)[step.pick(0, len(shown))]
            await client.amend_order(chosen.order.id, _lines(world, step))
            handset.saved()

    await handset.attempt(act)
    handset.check_held()


async def cancel(_world: SimulatedWorld, handset: Handset, step: Step) -> None:
    async def act(client: OrderClient) -> None:
        shown = await client.orders()
        if shown:
            chosen = sorted(shown, key=lambda each: each.order.id)[step.pick(0, len(shown))]
            await client.cancel_order(chosen.order.id, reason="no")
            handset.saved()

    await handset.attempt(act)
    handset.check_held()


async def draft(world: SimulatedWorld, handset: Handset, step: Step) -> None:
    """A draft that is edited and left, now and then thrown away."""

    async def act(client: OrderClient) -> None:
        begun = await client.draft_order(world.customer(step.numbers[0]))
        line = await begun.add_line(world.product(step.numbers[1]), 1)
        await begun.set_quantity(line.line_id, 1 + step.pick(2, 20))
        await begun.set_note("later")
        if step.pick(3, 3) == 0:
            await begun.discard()

    await handset.attempt(act)


async def mend(_world: SimulatedWorld, handset: Handset, step: Step) -> None:
    """An order that came back refused is submitted once more, or thrown away."""

    async def act(client: OrderClient) -> None:
        returned = [each for each in await client.drafts() if each.state is DraftState.RETURNED]
        if returned:
            again = await client.draft(sorted(returned, key=lambda each: each.order_id)[step.pick(0, len(returned))].order_id)
            if step.pick(1, 4):
                await again.submit()
                handset.saved()
            else:
                await again.discard()

    await handset.attempt(act)
    handset.check_held()


async def look(_world: SimulatedWorld, handset: Handset, _step: Step) -> None:
    """Look at everything, perhaps in the middle of a sync."""

    async def act(client: OrderClient) -> None:
        await client.status()
        await client.outbox()
        await client.journal()
        await client.drafts()
        await client.orders()

    await handset.attempt(act)
    if handset.client is not None:
        handset.check_shown()


async def sync(_world: SimulatedWorld, handset: Handset, _step: Step) -> None:
    await handset.sync()


# What the office does


def change(row: type[Row], row_id: UUID, **values: object) -> Callable[[WriteSession], Awaitable[None]]:
    async def act(session: WriteSession) -> None:
        table = table_of(row)
        await session.execute(sa.update(table).where(table.c.id == row_id).values(**values))

    return act


def delete(row: type[Row], row_id: UUID) -> Callable[[WriteSession], Awaitable[None]]:
    async def act(session: WriteSession) -> None:
        table = table_of(row)
        await session.execute(sa.delete(table).where(table.c.id == row_id))

    return act


async def price(world: SimulatedWorld, _handset: Handset, step: Step) -> None:
    entries = world.company.entries
    unit_price = (step.pick(1, 50_000), 10**12)[step.pick(2, 12) == 0]
    await world.server.work(change(PriceEntry, entries[step.pick(0, len(entries))].id, unit_price=unit_price))


async def stock(world: SimulatedWorld, _handset: Handset, step: Step) -> None:
    levels = world.company.levels
    await world.server.work(change(StockLevel, levels[step.pick(0, len(levels))].id, on_hand=step.pick(1, 40)))


async def product(world: SimulatedWorld, _handset: Handset, step: Step) -> None:
    values: dict[str, object] = {"status": ("active", "discontinued")[step.pick(1, 2)], "name": f"Product {step.pick(2, 1000)}"}
    await world.server.work(change(Product, world.product(step.numbers[0]), **values))


async def move_customer(world: SimulatedWorld, _handset: Handset, step: Step) -> None:
    target = world.company.territories[step.pick(1, 2)].id
    await world.server.work(change(Customer, world.customer(step.numbers[0]), territory_id=target))


async def customer_status(world: SimulatedWorld, _handset: Handset, step: Step) -> None:
    status = ("active", "active", "on_hold", "closed", "prospect")[step.pick(1, 5)]
    await world.server.work(change(Customer, world.customer(step.numbers[0]), status=status))


async def review_limit(world: SimulatedWorld, _handset: Handset, step: Step) -> None:
    limit = (None, 500, 2_000)[step.pick(1, 3)]
    await world.server.work(change(Customer, world.customer(step.numbers[0]), review_above_minor=limit))


async def delete_contact(world: SimulatedWorld, _handset: Handset, step: Step) -> None:
    contacts = world.company.contacts
    await world.server.work(delete(Contact, contacts[step.pick(0, len(contacts))].id))


async def move_contact(world: SimulatedWorld, _handset: Handset, step: Step) -> None:
    contacts = world.company.contacts
    chosen = contacts[step.pick(0, len(contacts))].id
    await world.server.work(change(Contact, chosen, customer_id=world.customer(step.numbers[1])))


async def delete_address(world: SimulatedWorld, _handset: Handset, step: Step) -> None:
    addresses = world.company.addresses
    await world.server.work(delete(Address, addresses[step.pick(0, len(addresses))].id))


async def delete_price(world: SimulatedWorld, _handset: Handset, step: Step) -> None:
    """A price goes; put back later it is a new row under the same key."""
    entries = world.company.entries
    await world.server.work(delete(PriceEntry, entries[step.pick(0, len(entries))].id))


async def currency(world: SimulatedWorld, _handset: Handset, step: Step) -> None:
    price_list = world.company.price_lists[step.pick(0, 2)].id
    await world.server.work(change(PriceList, price_list, currency=("EUR", "GBP")[step.pick(1, 2)]))


async def _decide(world: SimulatedWorld, step: Step, *, releases: bool) -> None:
    async def act(session: WriteSession) -> None:
        held = await session.execute(sa.text("SELECT id FROM sales_order WHERE status = 'held' ORDER BY id"))
        found = [UUID(bytes=each) for each in held.scalars()]
        if not found:
            return
        manager = (await session.execute(sa.text("SELECT id FROM user_account WHERE role = 'manager'"))).scalar_one()
        decide = release_order if releases else refuse_order
        order_id, now_ms = found[step.pick(0, len(found))], world.clock.now_ms()
        await decide(session, order_id, user_id=UUID(bytes=manager), reason="seen", ids=world.server.ids, now_ms=now_ms)
        world.trace.saw("office: released" if releases else "office: refused")

    await world.server.work(act)


async def release(world: SimulatedWorld, _handset: Handset, step: Step) -> None:
    await _decide(world, step, releases=True)


async def refuse(world: SimulatedWorld, _handset: Handset, step: Step) -> None:
    await _decide(world, step, releases=False)


async def foreign_write(world: SimulatedWorld, _handset: Handset, step: Step) -> None:
    """Another program writes to the server's file and knows nothing of the log."""
    with closing(sqlite3.connect(world.server.path, timeout=0, isolation_level=None)) as connection:
        connection.create_function("virtual_now_ms", 0, world.clock.now_ms)
        try:
            connection.execute("BEGIN IMMEDIATE")
            level = world.company.levels[step.pick(0, len(world.company.levels))].id
            connection.execute("UPDATE stock_level SET on_hand = ? WHERE id = ?", (step.pick(1, 40), level.bytes))
            connection.execute("COMMIT")
        except sqlite3.OperationalError:
            return
    world.trace.saw("server: foreign write")


# What goes wrong with devices


async def device_kill(world: SimulatedWorld, handset: Handset, step: Step) -> None:
    """Die before a statement, or right after a commit, of whatever the device does next."""
    if step.pick(0, 4) == 0:
        handset.die_soon(0, 1 + step.pick(1, 6))
    else:
        handset.die_soon(1 + step.pick(1, (40, 250)[step.pick(2, 2)]), 0)
    if step.pick(3, 2):
        await sync(world, handset, step)


async def device_backup(world: SimulatedWorld, handset: Handset, _step: Step) -> None:
    world.back_up_device(handset)


async def device_restore(world: SimulatedWorld, handset: Handset, step: Step) -> None:
    theirs = [backup for place, backup in world.device_backups if place == handset.place]
    if theirs:
        await world.restore_device(handset, theirs[step.pick(0, len(theirs))])
        world.trace.saw("device: restored")


async def device_clone(world: SimulatedWorld, handset: Handset, _step: Step) -> None:
    if len(world.handsets) < 5:
        await world.clone_device(handset)
        world.trace.saw("device: cloned")


async def clock_jump(world: SimulatedWorld, handset: Handset, step: Step) -> None:
    handset.clock.ahead_ms = (step.pick(0, 20 * 365) - 10 * 365) * DAY_MS
    world.trace.saw("device: clock jumped")


async def disk_full(world: SimulatedWorld, handset: Handset, step: Step) -> None:
    """No room for more than a few pages, for a while."""
    handset.life.limit_pages(step.pick(0, 4))
    world.trace.saw("device: disk full")
    if step.pick(2, 2):
        await order(world, handset, step)
        await sync(world, handset, step)
    await asyncio.sleep(step.pick(1, 3_600))
    handset.life.limit_pages(None)


async def locked(world: SimulatedWorld, handset: Handset, step: Step) -> None:
    """Another program holds the device's file for a while."""
    other = open_as_another(handset.folder / "tablet.db")
    try:
        other.execute("BEGIN IMMEDIATE")
    except apsw.BusyError:
        other.close()
        return
    world.trace.saw("device: locked")

    def let_go() -> None:
        other.execute("ROLLBACK")
        other.close()

    asyncio.get_running_loop().call_later(step.pick(0, 60), let_go)
    await order(world, handset, step)
    await sync(world, handset, step)


async def offline(world: SimulatedWorld, handset: Handset, step: Step) -> None:
    handset.network.is_offline = True
    days = (0.001, 0.1, 5, 20, 91, 400)[step.pick(0, 6)]
    await asyncio.sleep(days * DAY_MS / 1000)
    handset.network.is_offline = False
    world.trace.saw(f"device: offline {days} days")


async def revoke(world: SimulatedWorld, handset: Handset, step: Step) -> None:
    if handset.client is None or sum(not each.is_revoked for each in world.handsets) < 2:
        return
    identity = handset.look(handset.client.status()).identity
    if identity is None or any(each.original == -1 for each in world.handsets):
        return  # of a family of copies, all would be refused

    async def act(session: WriteSession) -> None:
        reason = (RevocationReason.LOST, RevocationReason.LEFT)[step.pick(0, 2)]
        await revoke_device(session, identity.device_id, reason, world.clock.now_ms())
        handset.is_revoked = True

    await world.server.work(act)
    world.trace.saw("device: revoked")


# What goes wrong with the server


async def server_kill(world: SimulatedWorld, handset: Handset, step: Step) -> None:
    world.server.crash_soon(1 + step.pick(0, 60), after=step.pick(1, 2) == 1)
    if step.pick(2, 2):
        await sync(world, handset, step)


async def server_backup(world: SimulatedWorld, _handset: Handset, _step: Step) -> None:
    target = world.folder / f"backup-{len(world.server_backups)}.db"
    world.server_backups.append(target)
    world.server.back_up(target)


async def server_restore(world: SimulatedWorld, _handset: Handset, step: Step) -> None:
    backup = world.server_backups[step.pick(0, len(world.server_backups))]
    await world.restore_server(backup, by_the_book=True)
    world.trace.saw("server: restored")


async def hand_restore(world: SimulatedWorld, _handset: Handset, step: Step) -> None:
    """The file is put back and nobody says so: until a day later, or ever."""
    backup = world.server_backups[step.pick(0, len(world.server_backups))]
    await world.restore_server(backup, by_the_book=False)
    for handset in world.handsets:
        handset.doubt()
    world.trace.saw("server: restored by hand")
    if step.pick(1, 2):
        await asyncio.sleep(86_400)
        await world.say_restored()


async def collect(world: SimulatedWorld, _handset: Handset, step: Step) -> None:
    """Tombstones are collected, now and then with a retention so short that every device is too old."""
    days = (0, 1, RETENTION_DAYS)[step.pick(0, 3)]

    async def act(session: WriteSession) -> None:
        await age_out(session, now_ms=world.clock.now_ms(), retention_days=days)

    await world.server.work(act)
    world.trace.saw("server: tombstones collected")


async def server_full(world: SimulatedWorld, handset: Handset, step: Step) -> None:
    world.server.process.limit_pages(step.pick(0, 3))
    await sync(world, handset, step)
    await asyncio.sleep(step.pick(1, 600))
    world.server.process.limit_pages(None)
    world.trace.saw("server: disk full")


async def server_locked(world: SimulatedWorld, _handset: Handset, step: Step) -> None:
    """Another program holds the server's file for longer than a request waits, or for less."""
    with closing(sqlite3.connect(world.server.path, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return
        world.trace.saw("server: locked")
        world.server.others.append(connection)
        await asyncio.sleep(step.pick(0, 30))


_ALL: Final[tuple[Act, ...]] = (
    *(order, prospect, amend, cancel, draft, mend, look, sync),
    *(price, stock, product, move_customer, customer_status, review_limit, delete_contact, move_contact),
    *(release, refuse, delete_price, delete_address, currency, foreign_write),
    *(device_kill, device_backup, device_restore, device_clone, clock_jump, disk_full, locked, offline, revoke),
    *(server_kill, server_backup, server_restore, hand_restore, collect, server_full, server_locked),
)
ACTS: Final[dict[str, Act]] = {act.__name__: act for act in _ALL}

"""The core scenarios, each a preparation and an act. The act goes on after whatever ends a process in its midst.

A user who is not sure that something was done looks, and does it only where it is not there: so an act may begin again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from client_sdk import NewCustomer, OrderClient
from client_sdk.draft_view import DraftState
from server.changelog.log import age_out, compact_sums
from server.customers.handover import Asked, LateOrders, check_move, plan
from server.customers.handover_execution import execute
from server.identity.devices import RevocationReason, revoke_device
from server.orders.service import release_order
from server.runtime.database import WriteSession
from server.runtime.rows import table_of
from sync_protocol.entities.catalog import Product
from sync_protocol.entities.customers import Address, Contact, Customer
from sync_protocol.entities.inventory import StockLevel
from sync_protocol.entities.pricing import PriceEntry
from sync_protocol.values import Row
from tests.simulation.handset import Handset
from tests.simulation.world import SimulatedWorld

Part = Callable[[SimulatedWorld], Coroutine[Any, Any, None]]
TRIES_MAX: Final = 6


class Scenario(NamedTuple):
    """`processes` are those that are killed: places of devices, and "server"."""

    name: str
    states: tuple[str, ...]
    prepare: Part
    act: Part
    processes: tuple[int | str, ...] = (0, "server")
    page_rows: int = 50_000


# What its people do until it is done


async def _until(done: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(TRIES_MAX):
        if await done():
            return
        await asyncio.sleep(61)  # a server that died is up again
    raise AssertionError("it is not done, however often it is tried")


async def _user(handset: Handset, act: Callable[[OrderClient], Awaitable[object]]) -> None:
    async def tried(client: OrderClient) -> bool:
        await act(client)
        handset.saved()
        return True

    async def done() -> bool:
        return handset.is_wiped or bool(await handset.attempt(tried))

    await _until(done)
    handset.check_held()


async def _sync(world: SimulatedWorld, place: int = 0) -> None:
    handset = world.handsets[place]

    async def done() -> bool:
        return handset.is_revoked or await handset.sync()

    await _until(done)


async def _office(world: SimulatedWorld, act: Callable[[WriteSession], Awaitable[object]]) -> None:
    async def tried(session: WriteSession) -> bool:
        await act(session)
        return True

    async def done() -> bool:
        return bool(await world.server.work(tried))

    await _until(done)


async def _set(world: SimulatedWorld, row: type[Row], row_id: UUID, **values: object) -> None:
    table = table_of(row)
    await _office(world, lambda session: session.execute(sa.update(table).where(table.c.id == row_id).values(**values)))


async def _delete(world: SimulatedWorld, row: type[Row], row_id: UUID) -> None:
    table = table_of(row)
    await _office(world, lambda session: session.execute(sa.delete(table).where(table.c.id == row_id)))


async def _order(world: SimulatedWorld, label: str, customer: int = 0, place: int = 0, quantity: int = 3) -> None:
    """An order with this label is saved: where a draft was begun it is gone on with."""

    async def act(client: OrderClient) -> None:
        if any(each.order.purchase_order_number == label for each in await client.orders()):
            return
        known = [each for each in await client.drafts() if each.purchase_order_number == label]
        if any(each.state is not DraftState.OPEN for each in known):
            return
        begun = known or [each for each in await client.drafts() if each.purchase_order_number == ""]
        draft = await client.draft(begun[0].order_id) if begun else await client.draft_order(world.customer(customer))
        await draft.set_purchase_order_number(label)
        has = {line.product_id for line in (await draft.view()).lines}
        for product in (world.product(0), world.product(1)):
            if product not in has:
                await draft.add_line(product, quantity)
        await draft.submit()

    await _user(world.handsets[place], act)


async def _order_id(client: OrderClient, label: str) -> UUID:
    return next(each.order.id for each in await client.orders() if each.order.purchase_order_number == label)


# The scenarios


async def _nothing(_world: SimulatedWorld) -> None: ...


async def _save(world: SimulatedWorld) -> None:
    await _order(world, "A")


async def _save_and_sync(world: SimulatedWorld) -> None:
    await _order(world, "A")
    await _sync(world)


async def _change_much(world: SimulatedWorld) -> None:
    company = world.company
    await _delete(world, PriceEntry, company.entries[0].id)
    await _delete(world, Contact, company.contacts[0].id)
    await _delete(world, Address, company.addresses[1].id)
    await _set(world, Product, company.products[0].id, name="Another name")
    await _set(world, StockLevel, company.levels[0].id, on_hand=40)
    await _set(world, PriceEntry, company.entries[2].id, unit_price=12_345)


async def _save_batch(world: SimulatedWorld) -> None:
    async def prospect(client: OrderClient) -> None:
        if not any(each.name == "Néw" for each in await client.customers(limit=20)):
            territory = world.company.territories[0].id
            new = NewCustomer(
                name="Néw", street="S", postal_code="1", city="C", country="NL", contact_name="N", territory_id=territory
            )
            await client.create_customer(new)

    await _user(world.handsets[0], prospect)
    for label, customer in (("A", 0), ("B", 1), ("C", 0), ("D", 1)):
        await _order(world, label, customer)
    await _set(world, Customer, world.customer(1), status="closed")


async def _amend(world: SimulatedWorld) -> None:
    async def act(client: OrderClient) -> None:
        order = await client.order(await _order_id(client, "A"))
        if [line.quantity for line in order.lines] != [7]:
            await client.amend_order(order.order.id, [(world.product(2), 7)])

    await _user(world.handsets[0], act)
    await _sync(world)


async def _cancel(world: SimulatedWorld) -> None:
    async def act(client: OrderClient) -> None:
        order = await client.order(await _order_id(client, "A"))
        if order.order.status.value != "cancelled":
            await client.cancel_order(order.order.id, reason="no")

    await _user(world.handsets[0], act)
    await _sync(world)


async def _hold(world: SimulatedWorld) -> None:
    await _set(world, Customer, world.customer(0), review_above_minor=500)
    await _save_and_sync(world)


async def _release(world: SimulatedWorld) -> None:
    async def act(session: WriteSession) -> None:
        found = (await session.execute(sa.text("SELECT id FROM sales_order WHERE status = 'held'"))).scalar()
        if found is not None:
            manager = (await session.execute(sa.text("SELECT id FROM user_account WHERE role = 'manager'"))).scalar_one()
            now_ms = world.clock.now_ms()
            await release_order(
                session, UUID(bytes=found), user_id=UUID(bytes=manager), reason="seen", ids=world.server.ids, now_ms=now_ms
            )

    await _office(world, act)
    await _sync(world)


async def _swap_customers(world: SimulatedWorld) -> None:
    await _save_and_sync(world)
    await _set(world, Customer, world.customer(0), territory_id=world.company.territories[1].id)
    await _set(world, Customer, world.customer(2), territory_id=world.company.territories[0].id)


async def _sync_both(world: SimulatedWorld) -> None:
    await _sync(world, 0)
    await _sync(world, 1)
    await _sync(world, 0)


async def _age(world: SimulatedWorld) -> None:
    async def act(session: WriteSession) -> None:
        await age_out(session, now_ms=world.clock.now_ms() + 1, retention_days=0)
        await compact_sums(session)

    await _office(world, act)


async def _age_and_sync(world: SimulatedWorld) -> None:
    await _age(world)
    await _sync(world)


async def _fall_behind(world: SimulatedWorld) -> None:
    await _save_and_sync(world)
    await _order(world, "B")
    await _change_much(world)
    await _age(world)


async def _restore(world: SimulatedWorld) -> None:
    await _save_and_sync(world)
    await _order(world, "B")
    await world.restore_server(world.server_backups[0], by_the_book=True)


async def _restore_by_hand(world: SimulatedWorld) -> None:
    await _save_and_sync(world)
    await world.restore_server(world.server_backups[0], by_the_book=False)
    for handset in world.handsets:
        handset.doubt()


async def _find_out(world: SimulatedWorld) -> None:
    await _sync(world)
    await world.server.say_restored()
    await _sync(world)


async def _restore_device(world: SimulatedWorld) -> None:
    world.back_up_device(world.handsets[0])
    await _save_and_sync(world)
    await world.restore_device(world.handsets[0], world.device_backups[0][1])
    await _order(world, "B")


async def _clone(world: SimulatedWorld) -> None:
    await _order(world, "A")
    await world.clone_device(world.handsets[0])
    await _sync(world)


async def _use_clone(world: SimulatedWorld) -> None:
    await _order(world, "B", place=2)
    await _sync(world, 2)
    await _sync(world)


async def _hand_over(world: SimulatedWorld) -> None:
    async def act(session: WriteSession) -> None:
        if (await session.execute(sa.text("SELECT 1 FROM handover"))).first() is None:
            manager = (await session.execute(sa.text("SELECT id FROM user_account WHERE role = 'manager'"))).scalar_one()
            asked = Asked(customer_ids=(world.customer(0),), to_territory_id=world.company.territories[1].id)
            now_ms, ids = world.clock.now_ms(), world.server.ids
            planned = await plan(
                session,
                await check_move(session, asked),
                late_orders=LateOrders.ROUTE,
                note="",
                effective_at_ms=None,
                user_id=UUID(bytes=manager),
                ids=ids,
                now_ms=now_ms,
            )
            await execute(session, planned.id, now_ms)

    await _office(world, act)
    await _sync_both(world)


async def _revoke(world: SimulatedWorld, reason: RevocationReason) -> None:
    await _save_and_sync(world)
    await _order(world, "B")
    handset = world.handsets[0]
    assert handset.client is not None
    identity = handset.look(handset.client.status()).identity
    assert identity is not None
    await _office(world, lambda session: revoke_device(session, identity.device_id, reason, world.clock.now_ms()))
    handset.is_revoked = True


async def _lose(world: SimulatedWorld) -> None:
    await _revoke(world, RevocationReason.LOST)


async def _leave(world: SimulatedWorld) -> None:
    await _revoke(world, RevocationReason.LEFT)


async def _sync_revoked(world: SimulatedWorld) -> None:
    """Until it is erased, or was told that it is refused: a kill or a server that died is no answer."""
    handset = world.handsets[0]
    for _ in range(TRIES_MAX):
        if not handset.is_wiped:
            await handset.sync()
            await asyncio.sleep(61)


BOTH: Final = ("synced", "synced")
SCENARIOS: Final = (
    Scenario("enrolment and first sync", ("fresh", "synced"), _nothing, _sync),
    Scenario("first sync in pages", ("enrolled", "synced"), _nothing, _sync, page_rows=10),
    Scenario("an order is saved", BOTH, _nothing, _save_and_sync),
    Scenario("an order is sent", BOTH, _save, _sync),
    Scenario("a batch is sent, some of it is refused", BOTH, _save_batch, _sync),
    Scenario("an order is amended", BOTH, _save_and_sync, _amend),
    Scenario("an order is cancelled", BOTH, _save_and_sync, _cancel),
    Scenario("a held order is released", BOTH, _hold, _release),
    Scenario("changes and deletes come", BOTH, _change_much, _sync, page_rows=3),
    Scenario("customers come and go", BOTH, _swap_customers, _sync_both),
    Scenario("tombstones are collected", BOTH, _change_much, _age_and_sync, processes=("server",)),
    Scenario("a device is too far behind", BOTH, _fall_behind, _sync, page_rows=10),
    Scenario("the server was restored", BOTH, _restore, _sync),
    Scenario("the server was restored by hand", BOTH, _restore_by_hand, _find_out),
    Scenario("a device was restored", BOTH, _restore_device, _sync),
    Scenario("a device was cloned", BOTH, _clone, _use_clone, processes=(0, 2, "server")),
    Scenario("customers are handed over", BOTH, _save, _hand_over, processes=(0, 1, "server")),
    Scenario("a device was lost", BOTH, _lose, _sync_revoked),
    Scenario("a user left", BOTH, _leave, _sync_revoked),
)

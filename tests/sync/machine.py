"""Three devices, one server, and everything that can go wrong between them, as a state machine for Hypothesis.

Steps are drawn by Hypothesis; faults are part of a step. After each sync that came through, the replica must equal
plain SQL under the scope; at the end faults stop and everything must come to rest.
"""

import asyncio
import random
import shutil
from collections.abc import Callable, Coroutine
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from uuid import UUID

import sqlalchemy as sa
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from client_sdk import NewCustomer, OrderClient
from client_sdk.errors import RoadbookError, UnknownRowError
from client_sdk.events import CheckpointReached, Event, VerdictArrived
from server.orders.service import refuse_order, release_order
from server.runtime.database import Database
from server.runtime.errors import ProblemError
from server.runtime.rows import table_of
from sync_protocol.entities.catalog import Product
from sync_protocol.entities.customers import Contact, Customer
from sync_protocol.entities.inventory import StockLevel
from sync_protocol.entities.pricing import PriceEntry
from sync_protocol.wire.codec import encode
from sync_protocol.wire.endpoint import SyncEndpoint
from sync_protocol.wire.messages import PushRequest
from tests.support.faults import Fault, FaultyEndpoint, KilledError, bury, kill_before_statement
from tests.support.ledger import device_view, oracle_kept, server_view, stock_faults, submissions_of, verdicts_of
from tests.support.scratch import scratch_folder
from tests.support.world import World, small_company

T = TypeVar("T")

_STILL_ITS_OWN = """
    SELECT subject_id FROM outbox WHERE kind = 'SubmitOrder'
    UNION SELECT subject_id FROM journal WHERE kind = 'SubmitOrder' AND outcome <> 'rejected' AND commit_seq > ?
"""

REPS = (0, 0, 1)
DEVICES = st.integers(0, len(REPS) - 1)
PRODUCTS = st.integers(0, 3)
LINES = st.lists(st.tuples(PRODUCTS, st.integers(1, 12)), min_size=1, max_size=3)
FAULTS = st.lists(st.sampled_from(Fault), min_size=1, max_size=4)
CUSTOMERS = st.integers(0, 3)

Act = Callable[["SyncMachine"], Coroutine[Any, Any, None]]
OFFICE: st.SearchStrategy[Act] = st.one_of(
    st.builds(lambda n, price: lambda world: world.change_a_price(n, price), st.integers(0, 15), st.integers(0, 50_000)),
    st.builds(lambda n, count: lambda world: world.count_stock(n, count), st.integers(0, 7), st.integers(0, 30)),
    st.builds(lambda n, to: lambda world: world.change_a_product(n, to), PRODUCTS, st.sampled_from(["active", "discontinued"])),
    st.builds(lambda n, to: lambda world: world.move_a_customer(n, to), CUSTOMERS, st.integers(0, 1)),
    st.builds(
        lambda n, to, limit: lambda world: world.change_a_customer(n, to, limit),
        CUSTOMERS,
        st.sampled_from(["active", "active", "on_hold", "closed"]),
        st.sampled_from([None, 500]),
    ),
    st.builds(lambda n: lambda world: world.delete_a_contact(n), CUSTOMERS),
    st.builds(lambda n, to: lambda world: world.move_a_contact(n, to), CUSTOMERS, CUSTOMERS),
    st.builds(lambda yes: lambda world: world.decide_a_held_order(releases=yes), st.booleans()),
)


class Handset:
    """A device as its user knows it: what was shown as saved, and what the device said since."""

    def __init__(self, place: int, path: Path) -> None:
        self.rep = REPS[place]
        self.path = path
        self.client: OrderClient | None = None
        self.faults: list[Fault] = []
        self.saved: set[UUID] = set()
        self.told: dict[UUID, bytes] = {}
        self.cursor = 0

    def hear(self, event: Event) -> None:
        match event:
            case VerdictArrived(entry):
                verdict = encode(entry.verdict)
                assert self.told.setdefault(entry.intent_id, verdict) == verdict, "I-2: a verdict never changes"
            case CheckpointReached(cursor):
                assert cursor >= self.cursor, "I-4: the cursor never goes back"
                self.cursor = cursor


def _difference(shown: dict[str, list[Any]], expected: dict[str, list[Any]]) -> str:
    """Which rows one side has and the other has not, for whoever reads a failure."""
    told = []
    for name, rows in expected.items():
        told += [f"{name}: the device lacks {row}\n" for row in rows if row not in shown[name]]
        told += [f"{name}: the device has {row}\n" for row in shown[name] if row not in rows]
    return "".join(told)


class SyncMachine(RuleBasedStateMachine):
    """Everything happens in one event loop of the machine's own, one step at a time."""

    share_of_runs: ClassVar[int] = 0
    open_server: ClassVar[Callable[[Path], Database]]
    close_server: ClassVar[Callable[[Database], Coroutine[Any, Any, None]]]

    def __init__(self) -> None:
        super().__init__()
        self.folder = scratch_folder("machine")
        self.runner = asyncio.Runner()
        self.oracle = ExitStack()
        self.sent: list[PushRequest] = []
        self.verdicts: dict[bytes, bytes] = {}
        self.restless = False

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(step)

    @initialize(seed=st.integers(0, 2**32), page_rows=st.sampled_from([1, 3, 10, 50_000]))
    def begin(self, seed: int, page_rows: int) -> None:
        self.chance = random.Random(seed)
        self.page_rows = page_rows
        self.run(self._begin())

    async def _begin(self) -> None:
        self.database = type(self).open_server(self.folder)
        self.oracle.enter_context(oracle_kept(self.database))
        self.world = World(self.database, small_company(products=4), seed=self.chance.randrange(2**32))
        self.handsets = [Handset(place, self.folder / f"device{place}.db") for place in range(len(REPS))]
        for handset in self.handsets:
            await self._switch_on(handset)
            assert handset.client is not None
            code = await self.world.code_for(f"rep{handset.rep}")
            await handset.client.enrol("https://server.test", code, "device")
        for handset in self.handsets:
            if self.chance.random() < 0.8:
                await self._sync(handset, [], 0)

    async def _switch_on(self, handset: Handset) -> None:
        def wire(endpoint: SyncEndpoint) -> SyncEndpoint:
            return FaultyEndpoint(endpoint, handset.faults, self.chance, self.sent)

        handset.client = await self.world.open_device(handset.path, wrap=wire, page_rows=self.page_rows)
        handset.client.subscribe(handset.hear)

    async def _survive(self, handset: Handset, act: Callable[[OrderClient], Coroutine[Any, Any, T]], dies_before: int) -> T | None:
        """Do something with a device that may die before its n-th statement; a dead one is switched on again."""
        assert handset.client is not None
        if dies_before:
            kill_before_statement(handset.client, dies_before)
        try:
            result = await act(handset.client)
        except KilledError:
            bury(handset.client)
            await self._switch_on(handset)
            return None
        except RoadbookError:
            result = None
        handset.client._store.trace(None)
        return result

    # What users do

    @rule(place=DEVICES, customer=CUSTOMERS, lines=LINES, dies_before=st.integers(0, 40))
    def submit_an_order(self, place: int, customer: int, lines: list[tuple[int, int]], dies_before: int) -> None:
        handset = self.handsets[place]

        async def act(client: OrderClient) -> UUID:
            draft = await client.draft_order(self.world.company.customers[customer].id)
            for product, quantity in lines:
                await draft.add_line(self.world.company.products[product].id, quantity)
            return (await draft.submit()).order.id

        order_id = self.run(self._survive(handset, act, dies_before if dies_before < 30 else 0))
        if order_id is not None:
            handset.saved.add(order_id)
            self.run(self._shows(handset, order_id))

    @rule(place=DEVICES, dies_before=st.integers(0, 40))
    def order_for_a_prospect(self, place: int, dies_before: int) -> None:
        handset = self.handsets[place]
        territory = self.world.company.territories[handset.rep].id

        async def act(client: OrderClient) -> UUID:
            new = NewCustomer(
                name="Néw", street="S", postal_code="1", city="C", country="NL", contact_name="N", territory_id=territory
            )
            prospect = await client.create_customer(new)
            draft = await client.draft_order(prospect.id)
            await draft.add_line(self.world.company.products[0].id, 1)
            return (await draft.submit()).order.id

        order_id = self.run(self._survive(handset, act, dies_before if dies_before < 30 else 0))
        if order_id is not None:
            handset.saved.add(order_id)

    @rule(place=DEVICES, which=st.integers(0, 50), lines=LINES, cancels=st.booleans(), dies_before=st.integers(0, 20))
    def amend_or_cancel(self, place: int, which: int, lines: list[tuple[int, int]], cancels: bool, dies_before: int) -> None:
        handset = self.handsets[place]

        async def act(client: OrderClient) -> None:
            shown = await client.orders()
            if not shown:
                return
            order_id = shown[which % len(shown)].order.id
            if cancels:
                await client.cancel_order(order_id, reason="changed their mind")
            else:
                wanted = [(self.world.company.products[product].id, quantity) for product, quantity in lines]
                await client.amend_order(order_id, wanted)

        self.run(self._survive(handset, act, dies_before if dies_before < 15 else 0))

    @rule(place=DEVICES)
    def sync(self, place: int) -> None:
        self.run(self._sync(self.handsets[place], [], 0))

    @rule(place=DEVICES, faults=FAULTS)
    def sync_over_a_bad_wire(self, place: int, faults: list[Fault]) -> None:
        self.run(self._sync(self.handsets[place], faults, 0))

    @rule(place=DEVICES, faults=st.lists(st.sampled_from(Fault), max_size=2), dies_before=st.integers(1, 250))
    def sync_and_die(self, place: int, faults: list[Fault], dies_before: int) -> None:
        self.run(self._sync(self.handsets[place], faults, dies_before))

    async def _sync(self, handset: Handset, faults: list[Fault], dies_before: int) -> None:
        handset.faults[:] = faults
        report = await self._survive(handset, lambda client: client.sync(), dies_before)
        handset.faults.clear()
        assert handset.client is not None
        if report is not None:
            expected = await server_view(self.database, self.world.company.reps[handset.rep].id)
            shown = device_view(handset.client)
            assert shown == expected, (
                _difference(shown, expected) + "I-3, I-5: at a checkpoint the replica equals SQL under the scope"
            )
        if handset.cursor:
            assert await handset.client.search("", limit=1), "I-4: a list is never transiently empty"
        for (order_id,) in handset.client._store.reader.execute(_STILL_ITS_OWN, (handset.cursor,)).fetchall():
            await self._shows(handset, UUID(bytes=order_id))
        await self._check()

    @rule(which=st.integers(0, 50))
    def an_old_request_arrives_again(self, which: int) -> None:
        """A proxy sends a push once more, long after: it must not have any effect."""
        if self.sent:
            self.run(self._replay(self.sent[which % len(self.sent)]))

    async def _replay(self, request: PushRequest) -> None:
        before = await verdicts_of(self.database)
        for handset in self.handsets:
            assert handset.client is not None
            identity = (await handset.client.status()).identity
            if identity is not None and identity.device_id == request.device_id:
                with suppress(ProblemError):
                    await self.world.endpoint(identity.token).push(request)
        assert await verdicts_of(self.database) == before, "I-2: a repeated request has no effect"

    # What the office does

    @rule(acts=st.lists(OFFICE, min_size=1, max_size=3))
    def the_office_works(self, acts: list[Act]) -> None:
        for act in acts:
            self.run(act(self))

    async def change_a_price(self, entry: int, unit_price: int) -> None:
        await self.world.change(PriceEntry, self.world.company.entries[entry].id, unit_price=unit_price)

    async def count_stock(self, level: int, on_hand: int) -> None:
        await self.world.change(StockLevel, self.world.company.levels[level].id, on_hand=on_hand)

    async def change_a_product(self, product: int, status: str) -> None:
        await self.world.change(Product, self.world.company.products[product].id, status=status)

    async def move_a_customer(self, customer: int, territory: int) -> None:
        target = self.world.company.territories[territory].id
        await self.world.change(Customer, self.world.company.customers[customer].id, territory_id=target)

    async def change_a_customer(self, customer: int, status: str, limit: int | None) -> None:
        customer_id = self.world.company.customers[customer].id
        await self.world.change(Customer, customer_id, status=status, review_above_minor=limit)

    async def delete_a_contact(self, contact: int) -> None:
        async with self.database.write() as session:
            table = table_of(Contact)
            await session.execute(sa.delete(table).where(table.c.id == self.world.company.contacts[contact].id))

    async def move_a_contact(self, contact: int, customer: int) -> None:
        """A row goes from one bucket to another."""
        target = self.world.company.customers[customer].id
        await self.world.change(Contact, self.world.company.contacts[contact].id, customer_id=target)

    async def decide_a_held_order(self, *, releases: bool) -> None:
        manager = await self.world.user_id("manager")
        async with self.database.write() as session:
            held = await session.execute(sa.text("SELECT id FROM sales_order WHERE status = 'held' ORDER BY number"))
            found = held.scalars().first()
            if found is None:
                return
            order_id = found if isinstance(found, UUID) else UUID(bytes=found)
            decide = release_order if releases else refuse_order
            now_ms = self.world.clock.now_ms()
            await decide(session, order_id, user_id=manager, reason="seen", ids=self.world.ids, now_ms=now_ms)

    @rule(minutes=st.integers(1, 100_000))
    def time_passes(self, minutes: int) -> None:
        self.world.clock.advance(minutes * 60_000 % (13 * 86_400_000))

    # What must hold

    async def _shows(self, handset: Handset, order_id: UUID) -> None:
        assert handset.client is not None
        try:
            await handset.client.order(order_id)
        except UnknownRowError as error:
            raise AssertionError("I-4: own saved writes are visible") from error

    async def _check(self) -> None:
        held = await verdicts_of(self.database)
        for intent_id, verdict in self.verdicts.items():
            assert held.get(intent_id) == verdict, "I-2: a verdict never changes"
        self.verdicts = held
        for handset in self.handsets:
            for intent_id, verdict in handset.told.items():
                assert held.get(intent_id.bytes) == verdict, "I-2: what was told is what the server holds"
        assert not await stock_faults(self.database), "I-7: what lines have allocated is what levels have"
        await self._nothing_is_lost()

    async def _nothing_is_lost(self) -> None:
        decided = await submissions_of(self.database)
        for handset in self.handsets:
            assert handset.client is not None
            outbox = handset.client._store.reader.execute("SELECT subject_id FROM outbox WHERE kind = 'SubmitOrder'")
            waiting = outbox.fetchall()
            for order_id in handset.saved:
                places = ((order_id.bytes,) in waiting) + decided.count(order_id.bytes)
                assert places >= 1, "I-1: an order shown as saved is never lost"
                assert decided.count(order_id.bytes) <= 1, "I-2: an intent has at most one effect"

    def teardown(self) -> None:
        try:
            if hasattr(self, "world"):
                self.run(self._come_to_rest())
        finally:
            self.oracle.close()
            if hasattr(self, "database"):
                self.run(type(self).close_server(self.database))
            self.runner.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    async def _come_to_rest(self) -> None:
        try:
            for _ in range(2):
                for handset in self.handsets:
                    await self._sync(handset, [], 0)
            for handset in self.handsets:
                assert handset.client is not None
                assert await handset.client.outbox() == [], "I-6: with faults off every queue empties"
                for order_id in handset.saved:
                    entries = await handset.client.journal(subject_id=order_id)
                    submissions = [each for each in entries if each.kind == "SubmitOrder"]
                    assert len(submissions) <= 1
            await self._check()
        finally:
            for handset in self.handsets:
                if handset.client is not None:
                    await handset.client.close()

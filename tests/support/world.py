"""A small company, its server and its devices, in one process: the real server code, the real SDK, a clock of the test's own."""

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import httpx2
import msgspec
import sqlalchemy as sa

from client_sdk import OrderClient
from client_sdk.clock import IdSource as DeviceIds
from server.app import intent_handlers
from server.customers.models import RepTerritoryModel
from server.identity.principals import Role
from server.identity.service import create_enrolment_code, create_user, user_of_login
from server.runtime.clock import IdSource
from server.runtime.database import Database, WriteSession
from server.runtime.rows import fetch_row, insert_rows, table_of
from server.sync.endpoint import ServerEndpoint
from sync_protocol.entities.catalog import Category, Product, ProductStatus, Unit
from sync_protocol.entities.customers import Address, Contact, Customer, CustomerStatus, Rep, Territory
from sync_protocol.entities.inventory import StockLevel, StockLocation
from sync_protocol.entities.pricing import PriceEntry, PriceList
from sync_protocol.values import Row, uuid7
from sync_protocol.wire.endpoint import SyncEndpoint
from tests.support.application import application

START_MS = 1_790_000_000_000
SERVER_URL = "https://server.test"


class ManualClock:
    """A clock that moves only when it is told to."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self.time_ms = now_ms

    def now_ms(self) -> int:
        return self.time_ms

    def advance(self, milliseconds: int) -> None:
        self.time_ms += milliseconds


def make_id(number: int) -> UUID:
    """The same id for the same number, for rows that a test names."""
    return uuid7(START_MS, number)


class Company(msgspec.Struct, frozen=True):
    """What the small company is made of: two territories (0 and 1), each with a rep, two customers, a list and a location."""

    unit: Unit
    category: Category
    products: tuple[Product, ...]
    price_lists: tuple[PriceList, ...]
    entries: tuple[PriceEntry, ...]
    locations: tuple[StockLocation, ...]
    territories: tuple[Territory, ...]
    reps: tuple[Rep, ...]
    customers: tuple[Customer, ...]
    addresses: tuple[Address, ...]
    contacts: tuple[Contact, ...]
    levels: tuple[StockLevel, ...]

    def rows(self) -> list[tuple[Row, ...]]:
        """All rows, what is referred to first."""
        return [
            (self.unit,),
            (self.category,),
            self.products,
            self.price_lists,
            self.entries,
            self.locations,
            self.territories,
            self.reps,
            self.customers,
            self.addresses,
            self.contacts,
            self.levels,
        ]


def small_company(products: int = 6, customers_each: int = 2) -> Company:
    """A company whose numbers a test can do in its head: product n costs n+1.00, or 0.90 of it from ten on; ten in stock."""
    unit = Unit(id=make_id(1), code="EA", name="Each")
    category = Category(id=make_id(2), code="ALL", name="Everything")
    goods = tuple(
        Product(
            id=make_id(100 + n),
            sku=f"SKU-{n}",
            name=f"Product {n}",
            description="",
            unit_id=unit.id,
            status=ProductStatus.ACTIVE,
            category_id=category.id,
        )
        for n in range(products)
    )
    lists = tuple(PriceList(id=make_id(200 + n), code=f"PL{n}", name=f"List {n}", currency="EUR") for n in range(2))
    entries = tuple(
        PriceEntry(
            id=make_id(10_000 + 100 * place + 2 * n + deep),
            price_list_id=price_list.id,
            product_id=product.id,
            min_quantity=10 if deep else 1,
            unit_price=(n + 1) * (9_000 if deep else 10_000),
        )
        for place, price_list in enumerate(lists)
        for n, product in enumerate(goods)
        for deep in (0, 1)
    )
    locations = tuple(StockLocation(id=make_id(300 + n), code=f"WH{n}", name=f"Warehouse {n}") for n in range(2))
    territories = tuple(
        Territory(
            id=make_id(400 + n),
            code=f"T{n}",
            name=f"Territory {n}",
            time_zone="Europe/Amsterdam",
            price_list_id=lists[n].id,
            stock_location_id=locations[n].id,
        )
        for n in range(2)
    )
    customers = tuple(
        Customer(
            id=make_id(600 + n),
            code=f"C{n}",
            name=f"Customer {n}",
            status=CustomerStatus.ACTIVE,
            territory_id=territories[n // customers_each].id,
        )
        for n in range(2 * customers_each)
    )
    return Company(
        unit=unit,
        category=category,
        products=goods,
        price_lists=lists,
        entries=entries,
        locations=locations,
        territories=territories,
        reps=tuple(Rep(id=make_id(500 + n), code=f"REP{n}", name=f"Rep {n}") for n in range(2)),
        customers=customers,
        addresses=tuple(
            Address(
                id=make_id(700 + n),
                customer_id=customer.id,
                label="Main",
                street=f"Street {n}",
                postal_code="1000",
                city="Utrecht",
                country="NL",
            )
            for n, customer in enumerate(customers)
        ),
        contacts=tuple(
            Contact(id=make_id(800 + n), customer_id=customer.id, name=f"Contact {n}") for n, customer in enumerate(customers)
        ),
        levels=tuple(
            StockLevel(
                id=make_id(20_000 + 1_000 * place + n),
                product_id=product.id,
                stock_location_id=location.id,
                on_hand=10,
                allocated=0,
                as_of_ms=START_MS,
            )
            for place, location in enumerate(locations)
            for n, product in enumerate(goods)
        ),
    )


R = TypeVar("R", bound=Row)
Wrap = Callable[[SyncEndpoint], SyncEndpoint]


class World:
    """The server's database with a company in it, and the way to make devices of its reps."""

    def __init__(self, database: Database, company: Company, seed: int = 1) -> None:
        self.database = database
        self.company = company
        self.clock = ManualClock()
        self._chance = random.Random(seed)
        self.ids = IdSource(self.clock, self._chance)
        self.handlers = intent_handlers()

    @classmethod
    async def found(cls, database: Database, company: Company | None = None) -> "World":
        world = cls(database, company or small_company())
        async with database.write() as session:
            for rows in world.company.rows():
                await insert_rows(session, rows)
            for rep, territory in zip(world.company.reps, world.company.territories, strict=True):
                session.add(RepTerritoryModel(rep_id=rep.id, territory_id=territory.id))
            await session.flush()
            for rep in world.company.reps:
                await world._user(session, rep.code, Role.REP, rep_id=rep.id)
            await world._user(session, "manager", Role.MANAGER)
        return world

    async def _user(self, session: WriteSession, login: str, role: Role, **belongs_to: UUID) -> None:
        now_ms = self.clock.now_ms()
        await create_user(session, ids=self.ids, now_ms=now_ms, login=login, name=login, role=role, **belongs_to)

    async def user_id(self, login: str) -> UUID:
        async with self.database.read() as session:
            return (await user_of_login(session, login)).id

    async def code_for(self, login: str) -> str:
        """An enrolment code for a user."""
        async with self.database.write() as session:
            user = await user_of_login(session, login)
            issued = await create_enrolment_code(
                session, user_id=user.id, created_by_id=user.id, now_ms=self.clock.now_ms(), valid_minutes=60
            )
            return issued.code

    def endpoint(self, token: str = "") -> SyncEndpoint:
        return ServerEndpoint(self.database, self.handlers, self.clock, self.ids, token)

    def http_transport(self) -> httpx2.ASGITransport:
        """The way to the whole application over HTTP, without a network: for wires that do something to what travels."""
        return httpx2.ASGITransport(app=application(self.database, self.clock))

    async def open_device(
        self,
        path: Path,
        *,
        wrap: Wrap | None = None,
        page_rows: int = 50_000,
        inline: bool = True,
        clock: ManualClock | None = None,
    ) -> OrderClient:
        """The device in a file, new or not. Its clock is the server's unless it has one of its own."""
        return await OrderClient.open(
            path,
            time_zone="Europe/Amsterdam",
            clock=clock or self.clock,
            ids=DeviceIds(self.clock, self._chance),
            endpoint_for=lambda _url, token: wrap(self.endpoint(token)) if wrap else self.endpoint(token),
            page_rows=page_rows,
            inline=inline,
        )

    async def enrolled_device(self, login: str, path: Path, *, wrap: Wrap | None = None, page_rows: int = 50_000) -> OrderClient:
        """A device of a user, enrolled."""
        device = await self.open_device(path, wrap=wrap, page_rows=page_rows)
        await device.enrol(SERVER_URL, await self.code_for(login), f"device of {login}")
        return device

    async def change(self, row: type[Row], row_id: UUID, **values: object) -> None:
        """Change a row as the office would."""
        async with self.database.write() as session:
            table = table_of(row)
            await session.execute(sa.update(table).where(table.c.id == row_id).values(**values))

    async def change_all(self, row: type[Row], changes: Mapping[UUID, Mapping[str, object]]) -> None:
        """Change rows as the office would, in one commit."""
        async with self.database.write() as session:
            table = table_of(row)
            for row_id, values in changes.items():
                await session.execute(sa.update(table).where(table.c.id == row_id).values(**values))

    async def fetch(self, row: type[R], row_id: UUID) -> R:
        """A row as the server has it; it must be there."""
        async with self.database.read() as session:
            found = await fetch_row(session, row, row_id)
        assert found is not None
        return found

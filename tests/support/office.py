"""A small company with a user of each role, the real application over its database, and a rep with a device."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx2
import msgspec

from server.app import intent_handlers
from server.customers.models import RepTerritoryModel
from server.identity import service
from server.identity.principals import Role
from server.runtime.clock import IdSource
from server.runtime.database import Database
from server.runtime.rows import insert_rows
from server.sync.endpoint import ServerEndpoint
from sync_protocol.entities.catalog import Product, ProductStatus, Unit
from sync_protocol.entities.customers import Customer, CustomerStatus, Rep, Territory
from sync_protocol.entities.inventory import StockLevel, StockLocation
from sync_protocol.entities.pricing import PriceEntry, PriceList
from sync_protocol.intents import Intent, RequestedLine, SubmitOrder
from sync_protocol.verdicts import Verdict
from sync_protocol.wire.codec import decode_verdict, digest, encode
from sync_protocol.wire.messages import Enrolment, EnrolRequest, IntentEnvelope, PushRequest
from sync_protocol.wire.version import PROTOCOL_VERSION, RULES_VERSION
from tests.support.application import application

START_MS = 1_795_000_000_000
SECOND_MS = 1_000
PRICE = 12_5000
PRICE_MINOR = 1250


class TickingClock:
    """A clock that moves when it is told to, and by a millisecond whenever it is read."""

    def __init__(self) -> None:
        self.reading = START_MS

    def now_ms(self) -> int:
        self.reading += 1
        return self.reading

    def advance(self, seconds: float) -> None:
        self.reading += int(seconds * SECOND_MS)


class Office:
    """The company and its application. `tokens` are of a signed-in user of each role."""

    def __init__(self, database: Database, client: httpx2.AsyncClient, clock: TickingClock) -> None:
        self.database = database
        self.client = client
        self.clock = clock
        self.ids = IdSource(clock)
        self.users: dict[Role, UUID] = {}
        self.tokens: dict[Role, str] = {}
        self.unit, self.territory, self.rep = (self.ids.new() for _ in range(3))
        self.price_list, self.location, self.product = (self.ids.new() for _ in range(3))
        self.customer, self.stranger, self.on_hold = (self.ids.new() for _ in range(3))

    async def furnish(self) -> None:
        """Write the company down."""
        async with self.database.write() as session:
            for row in self._rows():
                await insert_rows(session, [row])
        for role in Role:
            await self.hire(role)

    def _rows(self) -> list[Any]:
        def customer(identifier: UUID, code: str, status: CustomerStatus) -> Customer:
            return Customer(id=identifier, code=code, name=f"Company {code}", status=status, territory_id=self.territory)

        return [
            Unit(id=self.unit, code="PCE", name="Piece"),
            StockLocation(id=self.location, code="MAIN", name="Main warehouse"),
            PriceList(id=self.price_list, code="STD", name="Standard", currency="EUR"),
            Territory(
                id=self.territory,
                code="N",
                name="North",
                time_zone="Europe/Amsterdam",
                price_list_id=self.price_list,
                stock_location_id=self.location,
            ),
            Rep(id=self.rep, code="R-07", name="Femke Vos"),
            Product(
                id=self.product,
                sku="ELBOW-22",
                name="Press elbow 22",
                description="",
                unit_id=self.unit,
                status=ProductStatus.ACTIVE,
            ),
            PriceEntry(id=self.ids.new(), price_list_id=self.price_list, product_id=self.product, min_quantity=1, unit_price=PRICE),
            StockLevel(
                id=self.ids.new(),
                product_id=self.product,
                stock_location_id=self.location,
                on_hand=1000,
                allocated=0,
                as_of_ms=START_MS,
            ),
            customer(self.customer, "ACME", CustomerStatus.ACTIVE),
            customer(self.stranger, "OTHER", CustomerStatus.ACTIVE),
            customer(self.on_hold, "LATE", CustomerStatus.ON_HOLD),
        ]

    async def hire(self, role: Role, login: str | None = None, *, password_hash: str | None = None) -> UUID:
        """A user of this role, signed in; the first of each role is `users[role]` with `tokens[role]`."""
        async with self.database.write() as session:
            user = await service.create_user(
                session,
                ids=self.ids,
                now_ms=self.clock.now_ms(),
                login=login or str(role),
                name=f"The {role}",
                role=role,
                rep_id=self.rep if role is Role.REP else None,
                customer_id=self.customer if role is Role.BUYER else None,
                password_hash=password_hash,
            )
            signed_in = await service.open_session(session, user, ids=self.ids, now_ms=self.clock.now_ms(), session_hours=12)
        self.users.setdefault(role, user.id)
        self.tokens.setdefault(role, signed_in.token)
        return user.id

    def as_(self, role: Role) -> dict[str, str]:
        """The header that speaks for the first user of this role."""
        return bearer(self.tokens[role])

    async def enrol(self, login: str = "rep", name: str = "Tablet") -> "Tablet":
        """A device of this user, made as the app makes it. The rep is put into the territory first."""
        async with self.database.write() as session:
            user = await service.user_of_login(session, login)
            issued = await service.create_enrolment_code(
                session, user_id=user.id, created_by_id=user.id, now_ms=self.clock.now_ms(), valid_minutes=10
            )
            await _assign(session, self.rep, self.territory)
        endpoint = self._endpoint()
        request = EnrolRequest(protocol_version=PROTOCOL_VERSION, code=issued.code, device_name=name)
        return Tablet(self, await endpoint.enrol(request))

    def _endpoint(self, token: str = "") -> ServerEndpoint:
        return ServerEndpoint(self.database, intent_handlers(), self.clock, self.ids, token)


class Tablet:
    """A device that pushes through the server's own endpoint."""

    def __init__(self, office: Office, enrolment: Enrolment) -> None:
        self.office = office
        self.enrolment = enrolment
        self.endpoint = office._endpoint(enrolment.token)
        self.incarnation = enrolment.incarnation
        self.orders_made = 0

    async def submit(self, customer_id: UUID, quantity: int = 10, product_id: UUID | None = None) -> tuple[UUID, Verdict]:
        """Submit an order of one line; its id and what the server decided."""
        self.orders_made += 1
        order_id = self.office.ids.new()
        line = RequestedLine(
            line_id=self.office.ids.new(), product_id=product_id or self.office.product, quantity=quantity, unit_price=PRICE
        )
        number = f"{self.enrolment.number_prefix}-{self.orders_made:06d}"
        return order_id, await self.push(
            SubmitOrder(order_id=order_id, number=number, customer_id=customer_id, currency="EUR", lines=(line,))
        )

    async def push(self, intent: Intent) -> Verdict:
        """Push one intent."""
        body = encode(intent)
        envelope = IntentEnvelope(
            id=self.office.ids.new(),
            kind=type(intent).__name__,
            schema_version=intent.schema_version,
            body=body,
            digest=digest(body),
            captured_at_ms=self.office.clock.now_ms(),
            time_zone="Europe/Amsterdam",
            clock_skew_ms=0,
            decided_at_cursor=0,
            rules_version=RULES_VERSION,
        )
        following = self.office.ids.token()
        request = PushRequest(
            protocol_version=PROTOCOL_VERSION,
            device_id=self.enrolment.device_id,
            incarnation=self.incarnation,
            next_incarnation=following,
            epoch=None,
            intents=(envelope,),
        )
        reply = await self.endpoint.push(request)
        self.incarnation = following
        assert reply.results[0].verdict, reply.results[0].detail
        return decode_verdict(reply.results[0].verdict)


async def _assign(session: Any, rep_id: UUID, territory_id: UUID) -> None:

    if await session.get(RepTerritoryModel, (rep_id, territory_id)) is None:
        session.add(RepTerritoryModel(rep_id=rep_id, territory_id=territory_id))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def problem(response: Any, status: int, code: str) -> Mapping[str, Any]:
    """The problem details of a response, checked for their form."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = msgspec.json.decode(response.content)
    assert body["code"] == code, body
    assert body["status"] == status
    assert body["type"] == f"urn:roadbook:problem:{code}"
    assert body["detail"]
    return dict(body)


@asynccontextmanager
async def open_office(database: Database) -> AsyncIterator[Office]:
    """The company in this database, with its application running."""
    clock = TickingClock()
    app = application(database, clock)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://office") as client:
        office = Office(database, client, clock)
        await office.furnish()
        yield office

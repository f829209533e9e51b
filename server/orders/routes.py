"""Orders and verdicts over HTTP: the manager's list, one order with its history, and the two decisions."""

from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from server.identity.errors import CodeUnknownError
from server.identity.principals import OFFICE, Principal, Role, allow, allow_signed_in
from server.identity.service import id_of_code
from server.orders import service
from server.orders.answers import OrderDetail, OrderPage, VerdictPage, order_detail, order_page, verdict_page
from server.orders.errors import TimeWithoutOffsetError
from server.orders.listing import OrderFilter, outcomes_of, page_of_orders, page_of_verdicts
from server.runtime.clock import IdSource
from server.runtime.cursor import Cursor
from server.runtime.database import Database, ReadSession, WriteSession
from server.runtime.instants import milliseconds
from server.runtime.pages import GivenCode, Limit
from sync_protocol.entities.orders import OrderStatus
from sync_protocol.values import EnteredNote
from sync_protocol.verdicts import Outcome

_PAGE: Final = 50


class Decision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why the order is released or refused; the rep reads it on the next sync. A refusal needs one."""

    reason: EnteredNote = ""


@get("/orders", opt=allow(*OFFICE, Role.BUYER), summary="List orders", tags=["orders"])
async def list_orders(
    *,
    principal: NamedDependency[Principal],
    database: NamedDependency[Database],
    status: FromQuery[OrderStatus | None] = None,
    customer_id: FromQuery[UUID | None] = None,
    rep_id: FromQuery[UUID | None] = None,
    customer: GivenCode = None,
    rep: GivenCode = None,
    received_from: FromQuery[datetime | None] = None,
    received_to: FromQuery[datetime | None] = None,
    after: FromQuery[str | None] = None,
    limit: Limit = _PAGE,
) -> OrderPage:
    """Orders, newest first; a buyer sees those of their own company. Times are ISO 8601 with an offset, [from, to).

    `customer` and `rep` are codes, for who does not have the ids; what is given together must hold together.
    """
    chosen = OrderFilter(
        status=status,
        customer_id=customer_id,
        rep_id=rep_id,
        received_from_ms=_instant("received_from", received_from),
        received_to_ms=_instant("received_to", received_to),
    )
    company_id = own_company(principal)
    if company_id is not None and customer_id not in {None, company_id}:
        return OrderPage(items=[], next=None)
    if company_id is not None:
        chosen = msgspec.structs.replace(chosen, customer_id=company_id)
    async with database.read() as session:
        try:
            of_customer, of_rep = await _ids_of(session, customer=customer, rep=rep)
        except CodeUnknownError:
            if company_id is None:
                raise
            return OrderPage(items=[], next=None)  # a buyer is not told who else is known here
        if _differ(chosen.customer_id, of_customer) or _differ(chosen.rep_id, of_rep):
            return OrderPage(items=[], next=None)
        chosen = msgspec.structs.replace(chosen, customer_id=chosen.customer_id or of_customer, rep_id=chosen.rep_id or of_rep)
        found = await page_of_orders(session, chosen, after=Cursor.read(after), limit=limit)
        outcomes = await outcomes_of(session, [row.OrderModel.id for row in found])
    return order_page(found, outcomes, limit)


@get("/orders/{order_id:uuid}", opt=allow(*OFFICE, Role.BUYER), summary="Open an order", tags=["orders"])
async def open_order(
    order_id: FromPath[UUID], principal: NamedDependency[Principal], database: NamedDependency[Database]
) -> OrderDetail:
    """An order with its lines, what was asked and decided of it, verdict by verdict, and who released or refused it."""
    async with database.read() as session:
        return order_detail(await service.open_order(session, order_id, customer_id=own_company(principal)))


@post(
    "/orders/{order_id:uuid}/release",
    opt=allow_signed_in(*OFFICE),
    status_code=200,
    summary="Release a held order",
    tags=["orders"],
)
async def release_order(
    *,
    order_id: FromPath[UUID],
    data: JSONBody[Decision],
    principal: NamedDependency[Principal],
    database: NamedDependency[Database],
    now_ms: NamedDependency[int],
    ids: NamedDependency[IdSource],
) -> OrderDetail:
    """Confirm a held order as it stands. Of two managers at once the second is told who was first (409)."""
    return await _decided(
        service.release_order, database, order_id, user_id=principal.user_id, reason=data.reason, ids=ids, now_ms=now_ms
    )


@post(
    "/orders/{order_id:uuid}/refusal",
    opt=allow_signed_in(*OFFICE),
    status_code=200,
    summary="Refuse a held order",
    tags=["orders"],
)
async def refuse_order(
    *,
    order_id: FromPath[UUID],
    data: JSONBody[Decision],
    principal: NamedDependency[Principal],
    database: NamedDependency[Database],
    now_ms: NamedDependency[int],
    ids: NamedDependency[IdSource],
) -> OrderDetail:
    """Refuse a held order; what it had promised from stock flows back."""
    return await _decided(
        service.refuse_order, database, order_id, user_id=principal.user_id, reason=data.reason, ids=ids, now_ms=now_ms
    )


@get("/verdicts", opt=allow(*OFFICE), summary="List verdicts", tags=["orders"])
async def list_verdicts(
    database: NamedDependency[Database],
    outcome: FromQuery[Outcome | None] = None,
    after: FromQuery[str | None] = None,
    limit: Limit = _PAGE,
) -> VerdictPage:
    """What devices asked and what became of it, newest first: rejected submissions too, which made no order."""
    async with database.read() as session:
        found = await page_of_verdicts(session, outcome, after=Cursor.read(after), limit=limit)
    return verdict_page(found, limit)


class _Decide(Protocol):
    """`service.release_order` or `service.refuse_order`."""

    async def __call__(
        self, session: WriteSession, order_id: UUID, *, user_id: UUID, reason: str, ids: IdSource, now_ms: int
    ) -> None: ...


async def _decided(
    decide: _Decide, database: Database, order_id: UUID, *, user_id: UUID, reason: str, ids: IdSource, now_ms: int
) -> OrderDetail:
    """The order as it stands after the decision."""
    async with database.write() as session:
        await decide(session, order_id, user_id=user_id, reason=reason, ids=ids, now_ms=now_ms)
        await session.flush()
        return order_detail(await service.open_order(session, order_id))


async def _ids_of(session: ReadSession, **codes: str | None) -> list[UUID | None]:
    """The ids behind the codes that are given, each of the table and the parameter of its name."""
    return [await id_of_code(session, table, code, field=table) if code else None for table, code in codes.items()]


def _differ(one: UUID | None, other: UUID | None) -> bool:
    return one is not None and other is not None and one != other


def _instant(field: str, moment: datetime | None) -> int | None:
    """A time of the query. Litestar drops `Meta(tz=True)` of a query parameter, so the offset is asked for here."""
    if moment is not None and moment.tzinfo is None:
        raise TimeWithoutOffsetError(field)
    return None if moment is None else milliseconds(moment)


def own_company(principal: Principal) -> UUID | None:
    """The only company whose orders the caller may see; None where all are theirs to see."""
    if principal.role is not Role.BUYER:
        return None
    assert principal.customer_id is not None
    return principal.customer_id


ROUTES: Final = (list_orders, open_order, release_order, refuse_order, list_verdicts)

"""Handover: customers go to another territory, or a territory to another rep. What is asked is checked here, and planned.

A handover is planned with what it moves, and done by `handover_execution`: at once, or by a job when its time has come.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec
import sqlalchemy as sa

from server.customers.errors import HandoverOverlapsError, UnfitHandoverError
from server.customers.models import (
    CustomerModel,
    HandoverCustomerModel,
    HandoverModel,
    RepModel,
    RepTerritoryModel,
    TerritoryModel,
)
from server.runtime.clock import IdSource
from server.runtime.database import ReadSession, WriteSession
from sync_protocol.values import normal_text

CUSTOMERS_MAX: Final = 5_000
DAYS_AHEAD_MAX: Final = 366
_DAY_MS: Final = 86_400_000


class HandoverKind(StrEnum):
    """What goes where: listed customers or all of a territory's to another territory, or a territory to another rep."""

    CUSTOMERS = "customers"
    TERRITORY = "territory"
    REP = "rep"


class LateOrders(StrEnum):
    """What becomes of an order that the old rep captured after the handover, on a device that did not know of it yet."""

    HONOUR = "honour"
    ROUTE = "route"
    REFUSE = "refuse"


class HandoverState(StrEnum):
    """A handover is still to come, or was done, or was cancelled before it came."""

    PLANNED = "planned"
    DONE = "done"
    CANCELLED = "cancelled"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a manager names: customers or a territory, and where to. `from_rep_id` where several reps work the territory."""

    customer_ids: tuple[UUID, ...] = ()
    territory_id: UUID | None = None
    to_territory_id: UUID | None = None
    from_rep_id: UUID | None = None
    to_rep_id: UUID | None = None


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked, found to make sense."""

    kind: HandoverKind
    customer_ids: tuple[UUID, ...] = ()
    territory_id: UUID | None = None
    to_territory_id: UUID | None = None
    from_rep_id: UUID | None = None
    to_rep_id: UUID | None = None

    def chosen(self) -> sa.ColumnElement[bool]:
        """Which customers move, as a condition on their table as it is now."""
        if self.kind is HandoverKind.CUSTOMERS:
            return CustomerModel.id.in_(self.customer_ids)
        return CustomerModel.territory_id == self.territory_id

    def losses(self) -> sa.Select[UUID, UUID]:
        """Pairs of a rep and a customer that it serves now and does not after the move."""
        served = sa.select(RepTerritoryModel.rep_id, CustomerModel.id.label("customer_id")).join_from(
            CustomerModel, RepTerritoryModel, RepTerritoryModel.territory_id == CustomerModel.territory_id
        )
        if self.kind is HandoverKind.REP:
            return served.where(self.chosen(), RepTerritoryModel.rep_id == self.from_rep_id)
        keeps = sa.select(RepTerritoryModel.rep_id).where(RepTerritoryModel.territory_id == self.to_territory_id)
        return served.where(self.chosen(), RepTerritoryModel.rep_id.not_in(keeps))


async def check_move(session: ReadSession, asked: Asked) -> Move:
    """What was asked, as a move that makes sense today. Raises UnfitHandoverError, which names each field with its remedy."""
    _check_shape(asked)
    if asked.territory_id is not None:
        await _require(session, TerritoryModel, "territory_id", asked.territory_id)
    if asked.to_rep_id is not None:
        return await _territory_to_rep(session, asked, asked.to_rep_id)
    assert asked.to_territory_id is not None
    await _require(session, TerritoryModel, "to_territory_id", asked.to_territory_id)
    if asked.territory_id is not None:
        move = Move(kind=HandoverKind.TERRITORY, territory_id=asked.territory_id, to_territory_id=asked.to_territory_id)
        some = sa.select(sa.exists().where(move.chosen()))
        if not (await session.execute(some)).scalar_one():
            raise UnfitHandoverError({"territory_id": "has no customers; name another, or hand the territory to another rep"})
        return move
    await _check_customers(session, asked.customer_ids, asked.to_territory_id)
    return Move(kind=HandoverKind.CUSTOMERS, customer_ids=asked.customer_ids, to_territory_id=asked.to_territory_id)


def _check_shape(asked: Asked) -> None:
    """Refuse what cannot be meant, before anything is looked up."""
    faults: dict[str, str] = {}
    if asked.customer_ids and asked.territory_id is not None:
        faults["territory_id"] = "does not go with a list of customers; name customers, or their whole territory"
    if not asked.customer_ids and asked.territory_id is None:
        faults["customer_ids"] = "is empty; name the customers that move, or a territory"
    if len(asked.customer_ids) > CUSTOMERS_MAX:
        faults["customer_ids"] = f"has more than {CUSTOMERS_MAX} ids; split it"
    if asked.to_territory_id is not None and asked.to_rep_id is not None:
        faults["to_rep_id"] = "does not go with a territory to move to; give one of them"
    if asked.to_territory_id is None and asked.to_rep_id is None:
        faults["to_territory_id"] = "is missing; say where they go, or which rep takes the territory"
    if asked.to_rep_id is not None and asked.customer_ids:
        faults["to_rep_id"] = "takes a whole territory; move customers to a territory of that rep"
    if asked.from_rep_id is not None and asked.to_rep_id is None:
        faults["from_rep_id"] = "is for a territory that goes to another rep; leave it out"
    if asked.territory_id is not None and asked.territory_id == asked.to_territory_id:
        faults["to_territory_id"] = "is the same territory; choose another"
    if asked.to_rep_id is not None and asked.from_rep_id == asked.to_rep_id:
        faults["to_rep_id"] = "is the same rep; choose another"
    faults |= _doubles(asked.customer_ids)
    if faults:
        raise UnfitHandoverError(faults)


def _doubles(customer_ids: tuple[UUID, ...]) -> dict[str, str]:
    return {
        f"customer_ids[{place}]": "was named before; leave it out"
        for place, customer_id in enumerate(customer_ids)
        if customer_ids.index(customer_id) != place
    }


async def _require(session: ReadSession, model: type[TerritoryModel | RepModel], field: str, identifier: UUID) -> None:
    if await session.get(model, identifier) is None:
        raise UnfitHandoverError({field: f"names no {model.__tablename__}; check the id, or give its code on the command line"})


async def _territory_to_rep(session: ReadSession, asked: Asked, to_rep_id: UUID) -> Move:
    """The move of a territory; whose it was follows where one rep works it."""
    await _require(session, RepModel, "to_rep_id", to_rep_id)
    works = sa.select(RepModel.id, RepModel.code).join(RepTerritoryModel, RepTerritoryModel.rep_id == RepModel.id)
    found = await session.execute(works.where(RepTerritoryModel.territory_id == asked.territory_id).order_by(RepModel.code))
    reps: dict[UUID, str] = {row.id: row.code for row in found}
    if to_rep_id in reps:
        raise UnfitHandoverError({"to_rep_id": "works this territory already; choose another rep"})
    if asked.from_rep_id is not None and asked.from_rep_id not in reps:
        raise UnfitHandoverError({"from_rep_id": f"does not work this territory; {_named(reps)}"})
    if asked.from_rep_id is None and len(reps) > 1:
        raise UnfitHandoverError({"from_rep_id": f"is missing, and several reps work this territory; {_named(reps)}"})
    return Move(
        kind=HandoverKind.REP,
        territory_id=asked.territory_id,
        from_rep_id=asked.from_rep_id or next(iter(reps), None),
        to_rep_id=to_rep_id,
    )


def _named(reps: Mapping[UUID, str]) -> str:
    listed = ", ".join(f"{code} ({rep_id})" for rep_id, code in reps.items())
    return f"give one of {listed}" if listed else "nobody does; leave it out"


async def _check_customers(session: ReadSession, customer_ids: tuple[UUID, ...], to_territory_id: UUID) -> None:
    query = sa.select(CustomerModel.id, CustomerModel.territory_id).where(CustomerModel.id.in_(customer_ids))
    territories = {row.id: row.territory_id for row in await session.execute(query)}
    faults: dict[str, str] = {}
    for place, customer_id in enumerate(customer_ids):
        if customer_id not in territories:
            faults[f"customer_ids[{place}]"] = "names no customer; check the id"
        elif territories[customer_id] == to_territory_id:
            faults[f"customer_ids[{place}]"] = "is in that territory already; leave it out"
    if faults:
        raise UnfitHandoverError(faults)


async def plan(
    session: WriteSession,
    move: Move,
    *,
    late_orders: LateOrders,
    note: str,
    effective_at_ms: int | None,
    user_id: UUID,
    ids: IdSource,
    now_ms: int,
) -> HandoverModel:
    """Write a handover down, to be done at an instant, or now. Raises UnfitHandoverError, HandoverOverlapsError."""
    if effective_at_ms is not None and effective_at_ms < now_ms:
        raise UnfitHandoverError({"effective_at": "is in the past; give an instant to come, or leave it out for now"})
    if effective_at_ms is not None and effective_at_ms > now_ms + DAYS_AHEAD_MAX * _DAY_MS:
        raise UnfitHandoverError({"effective_at": f"is more than {DAYS_AHEAD_MAX} days ahead; plan it later"})
    await _refuse_overlap(session, move)
    handover = HandoverModel(
        id=ids.new(),
        kind=str(move.kind),
        territory_id=move.territory_id,
        to_territory_id=move.to_territory_id,
        from_rep_id=move.from_rep_id,
        to_rep_id=move.to_rep_id,
        late_orders=str(late_orders),
        note=normal_text(note),
        effective_at_ms=now_ms if effective_at_ms is None else effective_at_ms,
        state=str(HandoverState.PLANNED),
        created_by_id=user_id,
        created_at_ms=now_ms,
        ended_by_id=None,
        ended_at_ms=None,
        commit_seq=None,
        reason="",
    )
    session.add(handover)
    await session.flush()
    if move.customer_ids:
        rows = [{"handover_id": handover.id, "customer_id": each, "from_territory_id": None} for each in move.customer_ids]
        await session.execute(sa.insert(HandoverCustomerModel), rows)
    return handover


async def _refuse_overlap(session: WriteSession, move: Move) -> None:
    """Of two handovers of one customer nobody could say which was meant. Raises HandoverOverlapsError.

    The lock lets one at a time look and plan; on SQLite there is one writer anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(sa.text("LOCK TABLE handover IN SHARE ROW EXCLUSIVE MODE"))
    listed = (
        sa.exists()
        .where(HandoverCustomerModel.handover_id == HandoverModel.id, HandoverCustomerModel.customer_id == CustomerModel.id)
        .where(move.chosen())
    )
    inside = sa.exists().where(CustomerModel.territory_id == HandoverModel.territory_id, move.chosen())
    clash = sa.or_(listed, inside)
    if move.territory_id is not None:
        clash = sa.or_(clash, HandoverModel.territory_id == move.territory_id)
    planned = sa.select(HandoverModel).where(HandoverModel.state == HandoverState.PLANNED, clash)
    other = (await session.execute(planned.order_by(HandoverModel.effective_at_ms).limit(1))).scalar_one_or_none()
    if other is not None:
        field = "territory_id" if move.territory_id else await _first_of(session, other, move.customer_ids)
        raise HandoverOverlapsError(other.id, other.effective_at_ms, field)


async def _first_of(session: ReadSession, handover: HandoverModel, customer_ids: tuple[UUID, ...]) -> str:
    """The place of the first of these customers that are in a handover."""
    listed = sa.exists().where(
        HandoverCustomerModel.handover_id == handover.id, HandoverCustomerModel.customer_id == CustomerModel.id
    )
    inside = CustomerModel.territory_id == handover.territory_id
    query = sa.select(CustomerModel.id).where(CustomerModel.id.in_(customer_ids), sa.or_(listed, inside))
    found = set((await session.execute(query)).scalars())
    places = (place for place, each in enumerate(customer_ids) if each in found)
    return f"customer_ids[{min(places, default=0)}]"  # another writer may have moved it meanwhile


def move_of(handover: HandoverModel, customer_ids: tuple[UUID, ...] = ()) -> Move:
    """The move of a handover that was planned before."""
    return Move(
        kind=HandoverKind(handover.kind),
        customer_ids=customer_ids,
        territory_id=handover.territory_id,
        to_territory_id=handover.to_territory_id,
        from_rep_id=handover.from_rep_id,
        to_rep_id=handover.to_rep_id,
    )

"""Revisions: a change of one list is drafted, published at an instant, and recalled while that is still to come.

Whatever is done is kept: who, when and why. Whoever changes a revision holds its row first, so that of two at once the second
finds what the first did.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from server.identity.models import UserModel
from server.identity.terminal import OPERATOR_ID
from server.pricing.computed_lists import refuse_computed
from server.pricing.errors import RevisionNotDraftError, RevisionNotFoundError, UnfitRevisionError
from server.pricing.models import PriceListModel
from server.pricing.revision_models import PriceRevisionEntryModel, PriceRevisionEventModel, PriceRevisionModel
from server.runtime.clock import IdSource
from server.runtime.database import ReadSession, WriteSession
from server.runtime.rows import fetch_row
from sync_protocol.entities.pricing import PriceList
from sync_protocol.values import normal_text


class RevisionState(StrEnum):
    """A revision is being made, or its prices are written down, or it was given up."""

    DRAFT = "draft"
    PUBLISHED = "published"
    DISCARDED = "discarded"


class RevisionAct(StrEnum):
    """What somebody did with a revision."""

    CREATED = "created"
    FILLED = "filled"
    PUBLISHED = "published"
    RECALLED = "recalled"
    DISCARDED = "discarded"


_ENDED_BY = {RevisionState.PUBLISHED: RevisionAct.PUBLISHED, RevisionState.DISCARDED: RevisionAct.DISCARDED}


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who acts, and when: what each entry of the record says."""

    user_id: UUID
    now_ms: int
    ids: IdSource


class FoundRevision(msgspec.Struct, frozen=True, kw_only=True):
    """A revision with its list and how many prices it sets and ends."""

    revision: PriceRevisionModel
    list_code: str
    sets: int
    ends: int


async def create_revision(session: WriteSession, price_list_id: UUID, note: str, actor: Actor) -> PriceRevisionModel:
    """Begin a change of a list. Raises UnfitRevisionError, ListIsComputedError."""
    if await fetch_row(session, PriceList, price_list_id) is None:
        raise UnfitRevisionError({"price_list_id": "names no price_list; check the id"})
    await refuse_computed(session, price_list_id)
    revision = PriceRevisionModel(
        id=actor.ids.new(),
        price_list_id=price_list_id,
        state=str(RevisionState.DRAFT),
        note=normal_text(note),
        created_by_id=actor.user_id,
        created_at_ms=actor.now_ms,
        effective_at_ms=None,
        published_at_ms=None,
    )
    session.add(revision)
    await session.flush()
    await record(session, revision.id, RevisionAct.CREATED, actor, note=note)
    return revision


async def discard_revision(session: WriteSession, revision_id: UUID, reason: str, actor: Actor) -> None:
    """Give a draft up. Raises RevisionNotFoundError, RevisionNotDraftError."""
    revision = await hold_draft(session, revision_id)
    revision.state = str(RevisionState.DISCARDED)
    await record(session, revision_id, RevisionAct.DISCARDED, actor, note=reason)


async def hold_revision(session: WriteSession, revision_id: UUID) -> PriceRevisionModel:
    """A revision that nobody else changes until this transaction ends. Raises RevisionNotFoundError."""
    revision = await session.get(PriceRevisionModel, revision_id, with_for_update=True, populate_existing=True)
    if revision is None:
        raise RevisionNotFoundError(revision_id)
    return revision


async def hold_draft(session: WriteSession, revision_id: UUID) -> PriceRevisionModel:
    """Raises RevisionNotFoundError, RevisionNotDraftError."""
    revision = await hold_revision(session, revision_id)
    await require_draft(session, revision)
    return revision


async def require_draft(session: ReadSession, revision: PriceRevisionModel) -> None:
    """Raises RevisionNotDraftError, which says who was first."""
    state = RevisionState(revision.state)
    if state is not RevisionState.DRAFT:
        acts = [event for event, _ in await events_of(session, revision.id) if event.act == _ENDED_BY[state]]
        who = await name_of(session, acts[-1].user_id)
        raise RevisionNotDraftError(revision.id, str(state), acts[-1].at_ms, who)


async def record(
    session: WriteSession,
    revision_id: UUID,
    act: RevisionAct,
    actor: Actor,
    *,
    note: str,
    effective_at_ms: int | None = None,
    entries: int | None = None,
) -> None:
    """Write down what somebody did. The revision is held: nobody else counts its events meanwhile."""
    event = PriceRevisionEventModel
    counted = sa.select(sa.func.count()).where(event.revision_id == revision_id)
    session.add(
        event(
            revision_id=revision_id,
            number=(await session.execute(counted)).scalar_one() + 1,
            act=str(act),
            user_id=actor.user_id,
            at_ms=actor.now_ms,
            note=normal_text(note),
            effective_at_ms=effective_at_ms,
            entries=entries,
        )
    )


async def events_of(session: ReadSession, revision_id: UUID) -> Sequence[tuple[PriceRevisionEventModel, str]]:
    """What was done with a revision, in order, each with the name of who did it."""
    query = (
        sa.select(PriceRevisionEventModel, UserModel.name)
        .outerjoin(UserModel, UserModel.id == PriceRevisionEventModel.user_id)
        .where(PriceRevisionEventModel.revision_id == revision_id)
        .order_by(PriceRevisionEventModel.number)
    )
    return [(event, name or _unnamed(event.user_id)) for event, name in (await session.execute(query)).all()]


async def name_of(session: ReadSession, user_id: UUID) -> str:
    user = await session.get(UserModel, user_id)
    return user.name if user is not None else _unnamed(user_id)


def _unnamed(user_id: UUID) -> str:
    return "whoever sits at the server" if user_id == OPERATOR_ID else f"user {user_id}"


async def list_revisions(
    session: ReadSession,
    *,
    price_list_id: UUID | None = None,
    state: RevisionState | None = None,
    before_id: UUID | None = None,
    limit: int = 200,
) -> list[FoundRevision]:
    """Revisions, the latest first."""
    wanted: list[Any] = []
    if price_list_id is not None:
        wanted.append(PriceRevisionModel.price_list_id == price_list_id)
    if state is not None:
        wanted.append(PriceRevisionModel.state == state)
    if before_id is not None:
        wanted.append(PriceRevisionModel.id < before_id)
    query = _found().where(*wanted).order_by(PriceRevisionModel.id.desc()).limit(limit)
    return [_as_found(row) for row in await session.execute(query)]


async def open_revision(session: ReadSession, revision_id: UUID) -> FoundRevision:
    """Raises RevisionNotFoundError."""
    row = (await session.execute(_found().where(PriceRevisionModel.id == revision_id))).one_or_none()
    if row is None:
        raise RevisionNotFoundError(revision_id)
    return _as_found(row)


def _found() -> sa.Select[Any]:
    entry = PriceRevisionEntryModel
    counted = sa.select(sa.func.count()).where(entry.revision_id == PriceRevisionModel.id)
    return sa.select(
        PriceRevisionModel,
        PriceListModel.code,
        counted.where(entry.unit_price.is_not(None)).scalar_subquery().label("sets"),
        counted.where(entry.unit_price.is_(None)).scalar_subquery().label("ends"),
    ).join(PriceListModel, PriceListModel.id == PriceRevisionModel.price_list_id)


def _as_found(row: sa.Row[Any]) -> FoundRevision:
    return FoundRevision(revision=row[0], list_code=row.code, sets=row.sets, ends=row.ends)

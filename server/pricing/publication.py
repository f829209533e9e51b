"""A revision is published: its prices are rows from an instant on, and what they follow ends just before it.

All of it is a handful of statements over all its prices and one commit, whose rows travel ahead of that instant: a device
changes over at it without a network. Until then it can be taken back, the latest publication of a price first.
"""

from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from server.pricing.computed_lists import hold_list, refuse_computed
from server.pricing.errors import (
    RevisionBuiltUponError,
    RevisionNotRecallableError,
    UnfitRevisionError,
)
from server.pricing.revision_models import PriceRevisionModel
from server.pricing.revisions import Actor, RevisionAct, RevisionState, events_of, hold_revision, record, require_draft
from server.pricing.standings import (
    CLOSED,
    ENTRY,
    REVISED,
    WRITTEN,
    Outcome,
    in_force,
    same_break,
    same_revised,
    standings,
)
from server.runtime.database import ReadSession, WriteSession
from server.runtime.instants import iso

DAYS_AHEAD_MAX: Final = 1_830
_DAY_MS: Final = 86_400_000
_NOTED: Final = ("outcome", "former_id", "former_unit_price", "former_until_ms", "until_ms")


def check_instant(effective_at_ms: int | None, now_ms: int) -> None:
    """Refuse an instant that was, or that nobody plans for. Raises UnfitRevisionError."""
    if effective_at_ms is not None and effective_at_ms < now_ms:
        raise UnfitRevisionError({"effective_at_ms": "is in the past; give an instant to come, or leave it out for now"})
    if effective_at_ms is not None and effective_at_ms > now_ms + DAYS_AHEAD_MAX * _DAY_MS:
        raise UnfitRevisionError({"effective_at_ms": f"is more than {DAYS_AHEAD_MAX} days ahead; publish it later"})


async def publish(session: WriteSession, revision_id: UUID, *, effective_at_ms: int | None, note: str, actor: Actor) -> None:
    """Write the prices of a draft, to be in force from an instant on, or from now on.

    The same again by the same person for the same instant changes nothing. Raises RevisionNotFoundError, RevisionNotDraftError,
    ListIsComputedError, UnfitRevisionError.
    """
    revision = await hold_revision(session, revision_id)
    if await _is_repeated(session, revision, effective_at_ms, actor):
        return
    await require_draft(session, revision)
    check_instant(effective_at_ms, actor.now_ms)
    await hold_list(session, revision.price_list_id)
    await refuse_computed(session, revision.price_list_id)
    latest_ms = await _latest_publication(session, revision.price_list_id)
    at_ms = max(actor.now_ms, latest_ms + 1) if effective_at_ms is None else effective_at_ms
    written = await _write(session, revision, at_ms)
    revision.state, revision.effective_at_ms = str(RevisionState.PUBLISHED), at_ms
    revision.published_at_ms = max(actor.now_ms, latest_ms + 1)
    await record(session, revision_id, RevisionAct.PUBLISHED, actor, note=note, effective_at_ms=at_ms, entries=written)


async def _is_repeated(session: ReadSession, revision: PriceRevisionModel, effective_at_ms: int | None, actor: Actor) -> bool:
    """Whether its answer was lost on the way, and it is asked again."""
    if revision.state != RevisionState.PUBLISHED or effective_at_ms is None or revision.effective_at_ms != effective_at_ms:
        return False
    acts = [event.user_id for event, _ in await events_of(session, revision.id) if event.act == RevisionAct.PUBLISHED]
    return acts[-1] == actor.user_id


async def _latest_publication(session: ReadSession, price_list_id: UUID) -> int:
    """When the list was published last. What waited for that comes after it, whatever the clock said when it was asked."""
    latest = sa.select(sa.func.max(PriceRevisionModel.published_at_ms)).where(PriceRevisionModel.price_list_id == price_list_id)
    return (await session.execute(latest)).scalar_one() or 0


async def _write(session: WriteSession, revision: PriceRevisionModel, at_ms: int) -> int:
    """Note what is there, end it, and write what follows; how many prices are others from then on."""
    await session.flush()
    for statement in _statements(revision.id, revision.price_list_id, at_ms):
        await session.execute(statement)
    counted = (
        sa.select(REVISED.c.outcome, sa.func.count().label("entries"))
        .where(REVISED.c.revision_id == revision.id)
        .group_by(REVISED.c.outcome)
    )
    counts = {row.outcome: row.entries for row in await session.execute(counted)}
    if not counts:
        raise UnfitRevisionError({"entries": "are none; enter what it sets or ends first"})
    return sum(count for outcome, count in counts.items() if outcome != Outcome.UNCHANGED)


def _statements(revision_id: UUID, price_list_id: UUID, at_ms: int) -> list[Any]:
    found = standings(revision_id, price_list_id, at_ms)
    note = sa.update(REVISED).where(REVISED.c.revision_id == revision_id, same_revised(found.c))
    held = ENTRY.alias("held")
    theirs = sa.select(held.c.id).join(REVISED, same_break(held.c, price_list_id)).where(REVISED.c.revision_id == revision_id)
    changed = theirs.where(REVISED.c.outcome != Outcome.UNCHANGED)
    before = changed.where(held.c.valid_from_ms < at_ms, in_force(held.c, at_ms))
    never = changed.where(held.c.valid_from_ms == at_ms, held.c.valid_until_ms <= at_ms)
    removed = _those(revision_id, Outcome.REMOVED).with_only_columns(REVISED.c.former_id)
    return [
        note.values({name: found.c[name] for name in _NOTED}),
        sa.update(ENTRY).where(ENTRY.c.id.in_(before)).values(valid_until_ms=at_ms),
        sa.delete(ENTRY).where(ENTRY.c.id.in_(never)),
        sa.delete(ENTRY).where(ENTRY.c.id.in_(removed)),
        _repriced(revision_id, Outcome.REPLACED, REVISED.c.unit_price),
        _begun(
            revision_id,
            price_list_id,
            at_ms,
            WRITTEN,
            entry_id=REVISED.c.entry_id,
            price=REVISED.c.unit_price,
            until=REVISED.c.until_ms,
        ),
    ]


def _those(revision_id: UUID, *outcomes: Outcome) -> sa.Select[Any]:
    return sa.select(REVISED).where(REVISED.c.revision_id == revision_id, REVISED.c.outcome.in_(outcomes))


def _repriced(revision_id: UUID, outcome: Outcome, unit_price: Any) -> sa.Update:
    """The row in force has another price."""
    theirs = (ENTRY.c.id == REVISED.c.former_id, REVISED.c.revision_id == revision_id, REVISED.c.outcome == outcome)
    return sa.update(ENTRY).where(*theirs).values(unit_price=unit_price)


def _begun(
    revision_id: UUID, price_list_id: UUID, at_ms: int, outcomes: tuple[Outcome, ...], *, entry_id: Any, price: Any, until: Any
) -> sa.Insert:
    """Rows that begin at an instant."""
    values = {
        "id": entry_id,
        "price_list_id": sa.literal(price_list_id, ENTRY.c.price_list_id.type),
        "product_id": REVISED.c.product_id,
        "min_quantity": REVISED.c.min_quantity,
        "unit_price": price,
        "per_quantity": REVISED.c.per_quantity,
        "valid_from_ms": sa.literal(at_ms, ENTRY.c.valid_from_ms.type),
        "valid_until_ms": until,
    }
    chosen = _those(revision_id, *outcomes).with_only_columns(*values.values())
    return sa.insert(ENTRY).from_select(list(values), chosen)


async def recall(session: WriteSession, revision_id: UUID, *, reason: str, actor: Actor) -> None:
    """Take back what is published and not in force yet: it is a draft again.

    Raises RevisionNotFoundError, RevisionNotRecallableError, ListIsComputedError, RevisionBuiltUponError.
    """
    revision = await hold_revision(session, revision_id)
    if revision.state != RevisionState.PUBLISHED or revision.effective_at_ms is None or revision.published_at_ms is None:
        raise RevisionNotRecallableError(revision_id, f"is not published but {revision.state}; there is nothing to recall")
    await hold_list(session, revision.price_list_id)
    await refuse_computed(session, revision.price_list_id)
    at_ms = revision.effective_at_ms
    if at_ms <= actor.now_ms:
        raise RevisionNotRecallableError(
            revision_id, f"is in force since {iso(at_ms)}, and orders may have been taken by it; publish another change instead"
        )
    await _refuse_built_upon(session, revision)
    for statement in _reversal(revision_id, revision.price_list_id, at_ms):
        await session.execute(statement)
    revision.state, revision.effective_at_ms, revision.published_at_ms = str(RevisionState.DRAFT), None, None
    await record(session, revision_id, RevisionAct.RECALLED, actor, note=reason, effective_at_ms=at_ms)


async def _refuse_built_upon(session: ReadSession, revision: PriceRevisionModel) -> None:
    """What was published later was published on top of it. Raises RevisionBuiltUponError."""
    later, theirs = PriceRevisionModel, REVISED.alias("theirs")
    changed = (REVISED.c.outcome != Outcome.UNCHANGED, theirs.c.outcome != Outcome.UNCHANGED)
    query = (
        sa.select(later.id)
        .join(theirs, theirs.c.revision_id == later.id)
        .join(REVISED, sa.and_(REVISED.c.revision_id == revision.id, same_revised(theirs.c)))
        .where(later.price_list_id == revision.price_list_id, later.id != revision.id, later.state == RevisionState.PUBLISHED)
        .where(later.published_at_ms >= revision.published_at_ms, *changed)
        .order_by(later.published_at_ms.desc())
        .limit(1)
    )
    other_id = (await session.execute(query)).scalar_one_or_none()
    if other_id is not None:
        raise RevisionBuiltUponError(revision.id, other_id)


def _reversal(revision_id: UUID, price_list_id: UUID, at_ms: int) -> list[Any]:
    """What publication did, the other way round. A row that another program changed since stays as it is."""
    written = _those(revision_id, *WRITTEN).with_only_columns(REVISED.c.entry_id)
    closed = (REVISED.c.revision_id == revision_id, REVISED.c.outcome.in_(CLOSED), ENTRY.c.id == REVISED.c.former_id)
    former = {"entry_id": REVISED.c.former_id, "price": REVISED.c.former_unit_price, "until": REVISED.c.former_until_ms}
    return [
        sa.delete(ENTRY).where(ENTRY.c.id.in_(written)),
        sa.update(ENTRY).where(*closed, ENTRY.c.valid_until_ms == at_ms).values(valid_until_ms=REVISED.c.former_until_ms),
        _repriced(revision_id, Outcome.REPLACED, REVISED.c.former_unit_price),
        _begun(revision_id, price_list_id, at_ms, (Outcome.REMOVED,), **former),
        sa.update(REVISED).where(REVISED.c.revision_id == revision_id).values(dict.fromkeys(_NOTED)),
    ]

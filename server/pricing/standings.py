"""What a revision would do at an instant to each price that it names, as SQL: the preview counts it, publication does it.

An entry is held against the row that is in force then for the same list, product and break. Where another program left several
that overlap, the latest of them is in force, as by P-22, and all of them end. The new price holds until the next one that is
planned, or until the end that was planned for the former.
"""

from enum import StrEnum
from typing import Any, Final, cast
from uuid import UUID

import sqlalchemy as sa

from server.pricing.models import PriceEntryModel
from server.pricing.revision_models import PriceRevisionEntryModel
from sync_protocol.values import INT64_MAX

ENTRY: Final = cast("sa.Table", PriceEntryModel.__table__)
REVISED: Final = cast("sa.Table", PriceRevisionEntryModel.__table__)
_BREAK: Final = ("product_id", "min_quantity", "per_quantity")


class Outcome(StrEnum):
    """What a revision does to a price: there was none, it is another, it begins anew at that very instant, it ends, or nothing."""

    ADDED = "added"
    CHANGED = "changed"
    REPLACED = "replaced"
    ENDED = "ended"
    REMOVED = "removed"
    UNCHANGED = "unchanged"


WRITTEN: Final = (Outcome.ADDED, Outcome.CHANGED)
"""A row begins."""
CLOSED: Final = (Outcome.CHANGED, Outcome.ENDED)
"""The former row ends."""
TAKEN_AWAY: Final = (Outcome.ENDED, Outcome.REMOVED)
"""There is no price from then on."""


def same_break(entry: Any, price_list_id: UUID) -> sa.ColumnElement[bool]:
    """Whether a row of the list is of the product and the break of a revised one."""
    return sa.and_(entry.price_list_id == price_list_id, *(entry[name] == REVISED.c[name] for name in _BREAK))


def same_revised(other: Any) -> sa.ColumnElement[bool]:
    """Whether a revised price is of the same product and break as another."""
    return sa.and_(*(REVISED.c[name] == other[name] for name in _BREAK))


def in_force(entry: Any, at_ms: int) -> sa.ColumnElement[bool]:
    """Whether a row is valid at an instant (P-5)."""
    return sa.and_(entry.valid_from_ms <= at_ms, sa.or_(entry.valid_until_ms.is_(None), entry.valid_until_ms > at_ms))


def standings(revision_id: UUID, price_list_id: UUID, at_ms: int) -> sa.Subquery:
    """Each price that the revision names: the row in force, what becomes of it (`outcome`), and until when the new one holds."""
    entry = ENTRY.alias("held")
    rows = sa.select(entry.c.id).where(same_break(entry.c, price_list_id), in_force(entry.c, at_ms))
    former = rows.order_by(entry.c.valid_from_ms.desc()).limit(1)
    horizon = rows.with_only_columns(sa.func.max(sa.func.coalesce(entry.c.valid_until_ms, INT64_MAX)))
    following = sa.select(sa.func.min(entry.c.valid_from_ms)).where(
        same_break(entry.c, price_list_id), entry.c.valid_from_ms > at_ms
    )
    found = (
        sa.select(
            *(REVISED.c[name] for name in (*_BREAK, "unit_price")),
            former.correlate(REVISED).scalar_subquery().label("former_id"),
            sa.func.coalesce(horizon.correlate(REVISED).scalar_subquery(), INT64_MAX).label("horizon_ms"),
            sa.func.coalesce(following.correlate(REVISED).scalar_subquery(), INT64_MAX).label("following_ms"),
        )
        .where(REVISED.c.revision_id == revision_id)
        .subquery("found")
    )
    held = ENTRY.alias("former")
    end = sa.case((found.c.following_ms < found.c.horizon_ms, found.c.following_ms), else_=found.c.horizon_ms)
    return (
        sa.select(
            *(found.c[name] for name in (*_BREAK, "unit_price", "former_id")),
            held.c.unit_price.label("former_unit_price"),
            held.c.valid_until_ms.label("former_until_ms"),
            sa.func.nullif(end, INT64_MAX).label("until_ms"),
            _outcome(found.c, held.c, at_ms).label("outcome"),
        )
        .select_from(found.outerjoin(held, held.c.id == found.c.former_id))
        .subquery("standing")
    )


def _outcome(found: Any, held: Any, at_ms: int) -> sa.Case[str]:
    begins_now = held.valid_from_ms == at_ms
    return sa.case(
        (sa.and_(held.id.is_(None), found.unit_price.is_(None)), sa.literal(str(Outcome.UNCHANGED))),
        (held.id.is_(None), sa.literal(str(Outcome.ADDED))),
        (sa.and_(found.unit_price.is_(None), begins_now), sa.literal(str(Outcome.REMOVED))),
        (found.unit_price.is_(None), sa.literal(str(Outcome.ENDED))),
        (found.unit_price == held.unit_price, sa.literal(str(Outcome.UNCHANGED))),
        (begins_now, sa.literal(str(Outcome.REPLACED))),
        else_=sa.literal(str(Outcome.CHANGED)),
    )

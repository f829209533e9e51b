"""Revisions as the API and the command line show them."""

from collections.abc import Sequence
from typing import Self
from uuid import UUID

import msgspec
import sqlalchemy as sa

from server.pricing.revision_models import PriceRevisionEntryModel, PriceRevisionEventModel
from server.pricing.revisions import FoundRevision, RevisionAct, RevisionState
from server.pricing.sheets import Action
from server.pricing.standings import Outcome
from server.runtime.instants import iso, iso_or_none


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a list: how many prices it `sets` and `ends`, and while it is published from when on."""

    id: UUID
    price_list_id: UUID
    price_list_code: str
    state: RevisionState
    note: str
    sets: int
    ends: int
    created_by_id: UUID
    created_at: str
    published_at: str | None
    effective_at_ms: int | None
    effective_at: str | None

    @classmethod
    def of(cls, found: FoundRevision) -> Self:
        stored = found.revision
        return cls(
            id=stored.id,
            price_list_id=stored.price_list_id,
            price_list_code=found.list_code,
            state=RevisionState(stored.state),
            note=stored.note,
            sets=found.sets,
            ends=found.ends,
            created_by_id=stored.created_by_id,
            created_at=iso(stored.created_at_ms),
            published_at=iso_or_none(stored.published_at_ms),
            effective_at_ms=stored.effective_at_ms,
            effective_at=iso_or_none(stored.effective_at_ms),
        )


class Revisions(msgspec.Struct, frozen=True, kw_only=True):
    """A page of revisions, the latest first. Ask again with `before=<next>` until `next` is null."""

    items: list[Revision]
    next: UUID | None


class RevisionEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody did with it, and why. `entries` says how many prices were entered, or are others since publication."""

    act: RevisionAct
    by: str
    by_id: UUID
    at: str
    note: str
    effective_at: str | None
    entries: int | None

    @classmethod
    def of(cls, stored: PriceRevisionEventModel, by: str) -> Self:
        return cls(
            act=RevisionAct(stored.act),
            by=by,
            by_id=stored.user_id,
            at=iso(stored.at_ms),
            note=stored.note,
            effective_at=iso_or_none(stored.effective_at_ms),
            entries=stored.entries,
        )


class RevisionDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A revision and all that was done with it."""

    revision: Revision
    events: list[RevisionEvent]

    @classmethod
    def of(cls, found: FoundRevision, events: Sequence[tuple[PriceRevisionEventModel, str]]) -> Self:
        return cls(revision=Revision.of(found), events=[RevisionEvent.of(event, by) for event, by in events])


class RevisionEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A price that it sets or ends; of a published one, what that did and the price before."""

    id: UUID
    product_id: UUID
    sku: str
    name: str
    min_quantity: int
    per_quantity: int
    action: Action
    unit_price: int | None
    outcome: Outcome | None
    former_unit_price: int | None

    @classmethod
    def of(cls, row: sa.Row[PriceRevisionEntryModel, str, str]) -> Self:
        entry, sku, name = row
        return cls(
            id=entry.entry_id,
            product_id=entry.product_id,
            sku=sku,
            name=name,
            min_quantity=entry.min_quantity,
            per_quantity=entry.per_quantity,
            action=Action.END if entry.unit_price is None else Action.SET,
            unit_price=entry.unit_price,
            outcome=Outcome(entry.outcome) if entry.outcome is not None else None,
            former_unit_price=entry.former_unit_price,
        )


class RevisionEntries(msgspec.Struct, frozen=True, kw_only=True):
    """A page of entries. Ask again with `after=<next>` until `next` is null."""

    items: list[RevisionEntry]
    next: UUID | None

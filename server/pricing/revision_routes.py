"""Revisions of price lists over HTTP: draft, fill, look at what it would do, publish, recall, discard."""

from typing import Any, Final
from uuid import UUID

import msgspec
from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from server.identity.principals import OFFICE, Principal, allow_signed_in
from server.pricing.price_files import SheetFormat, as_sheet
from server.pricing.publication import check_instant, publish, recall
from server.pricing.revision_answers import Revision, RevisionDetail, RevisionEntries, RevisionEntry, Revisions
from server.pricing.revision_entries import Changes, Filling, OnRefusal, change_entries, fill_from_sheet, page_of_entries
from server.pricing.revision_preview import RevisionPreview, preview
from server.pricing.revisions import (
    Actor,
    RevisionState,
    create_revision,
    discard_revision,
    events_of,
    list_revisions,
    open_revision,
)
from server.runtime.clock import IdSource
from server.runtime.database import Database
from server.runtime.pages import PAGE_MAX, Limit
from server.runtime.slices import BODY_SECONDS_KEY
from sync_protocol.values import EnteredNote, Instant

FILE_BYTES_MAX: Final = 16 * 1024 * 1024
_OPT: Final = allow_signed_in(*OFFICE)
_TAGS: Final = ("price revisions",)
_PATH: Final = "/pricing/revisions"
_ONE: Final = f"{_PATH}/{{revision_id:uuid}}"


class NewRevision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which list is to change, and why."""

    price_list_id: UUID
    note: EnteredNote = ""


class Publication(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From when on; without `effective_at_ms` from now on. And why, for the record."""

    effective_at_ms: Instant | None = None
    note: EnteredNote = ""


class Withdrawal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why, for the record."""

    reason: EnteredNote = ""


@post(_PATH, opt=_OPT, summary="Draft a revision", tags=_TAGS)
async def draft_revision(
    data: JSONBody[NewRevision],
    principal: NamedDependency[Principal],
    database: NamedDependency[Database],
    now_ms: NamedDependency[int],
    ids: NamedDependency[IdSource],
) -> RevisionDetail:
    """Begin a change of a price list."""
    async with database.write() as session:
        made = await create_revision(session, data.price_list_id, data.note, _actor(principal, now_ms, ids))
    return await _opened(database, made.id)


@get(_PATH, opt=_OPT, summary="List revisions", tags=_TAGS)
async def get_revisions(
    database: NamedDependency[Database],
    price_list_id: FromQuery[UUID | None] = None,
    status: FromQuery[RevisionState | None] = None,
    before: FromQuery[UUID | None] = None,
    limit: Limit = PAGE_MAX,
) -> Revisions:
    """Revisions, the latest first."""
    async with database.read() as session:
        found = await list_revisions(session, price_list_id=price_list_id, state=status, before_id=before, limit=limit)
    return Revisions(items=[Revision.of(each) for each in found], next=found[-1].revision.id if len(found) == limit else None)


@get(_ONE, opt=_OPT, summary="Open a revision", tags=_TAGS)
async def get_revision(revision_id: FromPath[UUID], database: NamedDependency[Database]) -> RevisionDetail:
    """A revision with all that was done with it: who, when and why."""
    return await _opened(database, revision_id)


@get(f"{_ONE}/entries", opt=_OPT, summary="List a revision's prices", tags=_TAGS)
async def get_entries(
    revision_id: FromPath[UUID],
    database: NamedDependency[Database],
    after: FromQuery[UUID | None] = None,
    limit: Limit = PAGE_MAX,
) -> RevisionEntries:
    """What it sets and ends."""
    async with database.read() as session:
        await open_revision(session, revision_id)
        found = await page_of_entries(session, revision_id, after_id=after, limit=limit)
    items = [RevisionEntry.of(each) for each in found]
    return RevisionEntries(items=items, next=items[-1].id if len(items) == limit else None)


@post(f"{_ONE}/entries", opt=_OPT, status_code=200, summary="Enter prices into a draft", tags=_TAGS)
async def post_entries(
    *,
    revision_id: FromPath[UUID],
    data: JSONBody[Changes],
    principal: NamedDependency[Principal],
    database: NamedDependency[Database],
    now_ms: NamedDependency[int],
    ids: NamedDependency[IdSource],
) -> RevisionDetail:
    """Set or end prices, or leave alone again what was entered before; up to 5,000 each. All of it or nothing."""
    async with database.write() as session:
        await change_entries(session, revision_id, data, _actor(principal, now_ms, ids))
    return await _opened(database, revision_id)


@post(
    f"{_ONE}/file",
    opt={**_OPT, BODY_SECONDS_KEY: 600},
    status_code=200,
    request_max_body_size=FILE_BYTES_MAX,
    summary="Fill a draft from a file",
    tags=_TAGS,
)
async def post_file(
    *,
    request: Request[Any, Any, Any],
    revision_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    database: NamedDependency[Database],
    now_ms: NamedDependency[int],
    ids: NamedDependency[IdSource],
    file_format: FromQuery[SheetFormat] = SheetFormat.CSV,
    on_refusal: FromQuery[OnRefusal] = OnRefusal.TAKE_NOTHING,
) -> Filling:
    """Body: CSV or XLSX, up to 16 MiB, whose first line names its columns: sku, min_quantity, per_quantity, price, action.

    Each line that is refused is named with its field, its value and the remedy; then nothing is taken, or with
    `on_refusal=take_rest` all other lines.
    """
    actor = _actor(principal, now_ms, ids)
    sheet = await as_sheet(await request.body(), file_format)
    async with database.write() as session:
        return await fill_from_sheet(
            session, revision_id, sheet, on_refusal=on_refusal, note=f"a file of {file_format}", actor=actor
        )


@get(f"{_ONE}/preview", opt=_OPT, summary="Preview a revision", tags=_TAGS)
async def preview_revision(
    revision_id: FromPath[UUID],
    database: NamedDependency[Database],
    now_ms: NamedDependency[int],
    effective_at_ms: FromQuery[int | None] = None,
) -> RevisionPreview:
    """What publication would do at this instant, or now: customers, open orders, rises, falls, products without a price."""
    check_instant(effective_at_ms, now_ms)
    async with database.read() as session:
        found = await open_revision(session, revision_id)
        at_ms = now_ms if effective_at_ms is None else effective_at_ms
        return await preview(session, revision_id, found.revision.price_list_id, at_ms)


@post(f"{_ONE}/publish", opt=_OPT, status_code=200, summary="Publish a revision", tags=_TAGS)
async def publish_revision(
    *,
    revision_id: FromPath[UUID],
    data: JSONBody[Publication],
    principal: NamedDependency[Principal],
    database: NamedDependency[Database],
    now_ms: NamedDependency[int],
    ids: NamedDependency[IdSource],
) -> RevisionDetail:
    """Its prices hold from that instant on, on every device. Of two at once the second is told of the first (409)."""
    actor = _actor(principal, now_ms, ids)
    async with database.write() as session:
        await publish(session, revision_id, effective_at_ms=data.effective_at_ms, note=data.note, actor=actor)
    return await _opened(database, revision_id)


@post(f"{_ONE}/recall", opt=_OPT, status_code=200, summary="Recall a revision", tags=_TAGS)
async def recall_revision(
    *,
    revision_id: FromPath[UUID],
    data: JSONBody[Withdrawal],
    principal: NamedDependency[Principal],
    database: NamedDependency[Database],
    now_ms: NamedDependency[int],
    ids: NamedDependency[IdSource],
) -> RevisionDetail:
    """Take back what is published and not in force yet; it is a draft again."""
    async with database.write() as session:
        await recall(session, revision_id, reason=data.reason, actor=_actor(principal, now_ms, ids))
    return await _opened(database, revision_id)


@post(f"{_ONE}/discard", opt=_OPT, status_code=200, summary="Discard a revision", tags=_TAGS)
async def discard(
    *,
    revision_id: FromPath[UUID],
    data: JSONBody[Withdrawal],
    principal: NamedDependency[Principal],
    database: NamedDependency[Database],
    now_ms: NamedDependency[int],
    ids: NamedDependency[IdSource],
) -> RevisionDetail:
    """Give a draft up. It stays in the record."""
    async with database.write() as session:
        await discard_revision(session, revision_id, data.reason, _actor(principal, now_ms, ids))
    return await _opened(database, revision_id)


def _actor(principal: Principal, now_ms: int, ids: IdSource) -> Actor:
    return Actor(user_id=principal.user_id, now_ms=now_ms, ids=ids)


async def _opened(database: Database, revision_id: UUID) -> RevisionDetail:
    async with database.read() as session:
        return RevisionDetail.of(await open_revision(session, revision_id), await events_of(session, revision_id))


ROUTES: Final = (
    *(draft_revision, get_revisions, get_revision, get_entries, post_entries, post_file),
    *(preview_revision, publish_revision, recall_revision, discard),
)

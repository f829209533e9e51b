"""Prices as files over HTTP: a list as it is at an instant, and what a revision sets and ends."""

import re
from typing import Annotated, Final
from uuid import UUID

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from server.identity.principals import OFFICE, allow_signed_in
from server.pricing.price_files import Export, SheetFormat, as_file, export_list, export_revision
from server.runtime.database import Database

GivenInstant = Annotated[int | None, QueryParameter(ge=0, le=253_402_300_799_999, description="milliseconds since 1970-01-01 UTC")]

_OPT: Final = allow_signed_in(*OFFICE)
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")


@get("/pricing/price-lists/{price_list_id:uuid}/file", opt=_OPT, summary="Export a price list", tags=["price revisions"])
async def list_file(
    price_list_id: FromPath[UUID],
    database: NamedDependency[Database],
    now_ms: NamedDependency[int],
    file_format: FromQuery[SheetFormat] = SheetFormat.CSV,
    at_ms: GivenInstant = None,
) -> Response[bytes]:
    """The prices that are in force at an instant, or now, as CSV or XLSX: as a draft is filled."""
    async with database.read() as session:
        export = await export_list(session, price_list_id, now_ms if at_ms is None else at_ms)
    return await _file(export, file_format)


@get("/pricing/revisions/{revision_id:uuid}/file", opt=_OPT, summary="Export a revision", tags=["price revisions"])
async def revision_file(
    revision_id: FromPath[UUID], database: NamedDependency[Database], file_format: FromQuery[SheetFormat] = SheetFormat.CSV
) -> Response[bytes]:
    """What it sets and ends, as CSV or XLSX: as a draft is filled."""
    async with database.read() as session:
        export = await export_revision(session, revision_id)
    return await _file(export, file_format)


async def _file(export: Export, form: SheetFormat) -> Response[bytes]:
    name = f"{_NO_NAME.sub('_', export.name)}.{form}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(await as_file(export, form), media_type=form.media_type, headers=headers)


ROUTES: Final = (list_file, revision_file)

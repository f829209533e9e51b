"""Costs of products as files over HTTP."""

from typing import Annotated, Any, Final

from litestar import Request, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter

from server.identity.principals import OFFICE, allow_signed_in
from server.pricing.cost_files import CostFilling, fill_costs
from server.pricing.price_files import SheetFormat, as_sheet
from server.pricing.revision_routes import FILE_BYTES_MAX
from server.runtime.clock import IdSource
from server.runtime.database import Database
from server.runtime.slices import BODY_SECONDS_KEY

GivenCurrency = Annotated[str, QueryParameter(min_length=3, max_length=3, pattern="^[A-Z]{3}$", description="ISO 4217")]
GivenBegin = Annotated[int, QueryParameter(ge=0, le=253_402_300_799_999, description="milliseconds since 1970-01-01 UTC")]


@post(
    "/pricing/product-costs/file",
    opt={**allow_signed_in(*OFFICE), BODY_SECONDS_KEY: 600},
    status_code=200,
    request_max_body_size=FILE_BYTES_MAX,
    summary="Take costs from a file",
    tags=("computed price lists",),
)
async def post_costs(
    *,
    request: Request[Any, Any, Any],
    database: NamedDependency[Database],
    ids: NamedDependency[IdSource],
    currency: GivenCurrency,
    valid_from_ms: GivenBegin = 0,
    file_format: FromQuery[SheetFormat] = SheetFormat.CSV,
) -> CostFilling:
    """Body: CSV or XLSX, up to 16 MiB, whose first line names its columns: sku, price (the cost), per_quantity.

    All lines are taken, or none: then each that is refused is named with its field, its value and the remedy.
    """
    sheet = await as_sheet(await request.body(), file_format)
    async with database.write() as session:
        return await fill_costs(session, sheet, currency=currency, valid_from_ms=valid_from_ms, ids=ids)


ROUTES: Final = (post_costs,)

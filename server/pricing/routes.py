"""The office's side of prices over HTTP."""

from typing import Final
from uuid import UUID

import msgspec
from litestar import patch
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from server.identity.principals import OFFICE, allow_signed_in
from server.pricing.computed_routes import ROUTES as COMPUTED_ROUTES
from server.pricing.cost_routes import ROUTES as COST_ROUTES
from server.pricing.file_routes import ROUTES as FILE_ROUTES
from server.pricing.honour_routes import ROUTES as HONOUR_ROUTES
from server.pricing.quote_routes import ROUTES as QUOTE_ROUTES
from server.pricing.revision_routes import ROUTES as REVISION_ROUTES
from server.pricing.row_routes import ROUTES as ROW_ROUTES
from server.pricing.service import set_tax_code
from server.runtime.database import Database
from sync_protocol.entities.catalog import Product
from sync_protocol.entities.customers import Customer
from sync_protocol.values import EnteredCode


class TaxCode(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What kind of customer or product it is to the taxes; `tax_rate` rows name it."""

    tax_code: EnteredCode


@patch("/customers/{customer_id:uuid}", opt=allow_signed_in(*OFFICE), summary="Set a customer's tax code", tags=["prices"])
async def patch_customer(customer_id: FromPath[UUID], data: JSONBody[TaxCode], database: NamedDependency[Database]) -> Customer:
    """What kind of customer it is to the taxes."""
    async with database.write() as session:
        return await set_tax_code(session, Customer, customer_id, data.tax_code)


@patch("/products/{product_id:uuid}", opt=allow_signed_in(*OFFICE), summary="Set a product's tax code", tags=["prices"])
async def patch_product(product_id: FromPath[UUID], data: JSONBody[TaxCode], database: NamedDependency[Database]) -> Product:
    """What kind of product it is to the taxes."""
    async with database.write() as session:
        return await set_tax_code(session, Product, product_id, data.tax_code)


ROUTES: Final = (
    *ROW_ROUTES,
    patch_customer,
    patch_product,
    *QUOTE_ROUTES,
    *HONOUR_ROUTES,
    *REVISION_ROUTES,
    *FILE_ROUTES,
    *COMPUTED_ROUTES,
    *COST_ROUTES,
)

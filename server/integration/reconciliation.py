"""What the database says of itself after an import. Whole numbers only; the source's own sums are in the steps."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, aliased

from server.catalog.models import CategoryModel, ProductModel
from server.customers.models import CustomerModel
from server.integration.report import Check, Report
from server.orders.models import OrderLineModel, OrderModel
from server.runtime.database import ReadSession


async def database_checks(session: ReadSession, report: Report) -> list[Check]:
    """Orders against their lines, and references that point at nothing, over the whole database."""
    checks = []
    if "sales_order_line" in report.accepted:
        checks += await _order_checks(session)
    for name, missing in _references().items():
        found = await session.scalar(missing)
        checks.append(Check(name, str(found), found == 0))
    return checks


async def _order_checks(session: ReadSession) -> list[Check]:
    lines = (
        sa.select(OrderLineModel.order_id, sa.func.sum(OrderLineModel.amount_minor).label("amount"))
        .group_by(OrderLineModel.order_id)
        .subquery()
    )
    difference = sa.func.abs(OrderModel.subtotal_minor - lines.c.amount)
    compared = sa.select(
        sa.func.count(lines.c.order_id),
        sa.func.count() - sa.func.count(lines.c.order_id),
        sa.func.coalesce(sa.func.max(difference), 0),
        sa.func.coalesce(sa.func.sum(difference), 0),
    ).select_from(sa.outerjoin(OrderModel, lines, lines.c.order_id == OrderModel.id))
    orders, without, largest, total = (await session.execute(compared)).one()
    amount = OrderModel.subtotal_minor + OrderModel.tax_minor + OrderModel.freight_minor
    parts = sa.select(sa.func.count()).select_from(OrderModel).where(OrderModel.total_minor != amount)
    apart = (await session.execute(parts)).scalar_one()
    return [
        Check("orders with lines", str(orders), holds=True),
        Check("orders without lines", str(without), holds=without == 0),
        Check("largest difference of an order's lines from its subtotal, minor units", str(largest), holds=largest == 0),
        Check("sum of all such differences, minor units", str(total), holds=total == 0),
        Check("orders whose total is not subtotal + tax + freight", str(apart), holds=apart == 0),
    ]


def _references() -> dict[str, sa.Select[int]]:
    lead, parent = aliased(ProductModel), aliased(CategoryModel)
    return {
        "lines without their order": _orphans(OrderLineModel.order_id, OrderModel.id),
        "lines without their product": _orphans(OrderLineModel.product_id, ProductModel.id),
        "orders without their customer": _orphans(OrderModel.customer_id, CustomerModel.id),
        "variants without their product": _orphans(ProductModel.variant_of_id, lead.id),
        "categories without their parent": _orphans(CategoryModel.parent_id, parent.id),
    }


def _orphans(reference: InstrumentedAttribute[Any], target: Any) -> sa.Select[int]:
    known = sa.exists().where(target == reference)
    return sa.select(sa.func.count()).select_from(reference.class_).where(reference.is_not(None), ~known)

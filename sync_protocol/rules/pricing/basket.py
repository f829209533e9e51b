"""What is asked: a basket of one customer at one instant."""

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from sync_protocol.entities.orders import Channel
from sync_protocol.intents import ManualPrice
from sync_protocol.values import Currency, Instant, MinorAmount, Quantity

BASKET_LINES_MAX = 2_000


class BasketLine(msgspec.Struct, frozen=True, kw_only=True):
    """So many base units of a product, handled in packs of `pack_quantity`; 1 is the base unit itself."""

    line_id: UUID
    product_id: UUID
    quantity: Quantity
    pack_quantity: Quantity = 1
    manual: ManualPrice | None = None


class Basket(msgspec.Struct, frozen=True, kw_only=True):
    """What a customer would buy. No currency asks for that of its nearest list; `role` and `rep_id` are whose limits hold."""

    customer_id: UUID
    channel: Channel
    instant_ms: Instant
    lines: Annotated[tuple[BasketLine, ...], Meta(max_length=BASKET_LINES_MAX)]
    address_id: UUID | None = None
    currency: Currency | None = None
    freight_minor: MinorAmount = 0
    role: str = "rep"
    rep_id: UUID | None = None

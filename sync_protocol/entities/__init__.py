"""What there is. `SYNCED` is the registry: a synced entity is one row class and one line here.

From a line come the device's table and indexes, the wire conversion, the capture triggers, pull, the round-trip
tests and the simulated workload. The server's table is hand-written and checked against the row.
"""

from types import MappingProxyType
from typing import Final
from uuid import UUID

import msgspec

from sync_protocol.entities.catalog import Category, Pack, Product, Unit
from sync_protocol.entities.customers import Address, Contact, Customer, Rep, Segment, SegmentMember, Territory
from sync_protocol.entities.inventory import StockLevel, StockLocation
from sync_protocol.entities.orders import NumberSeries, Order, OrderLine, OrderPromotion
from sync_protocol.entities.pricing import (
    AgreedPrice,
    CustomerPriceList,
    DiscountLimit,
    ListQuantityRule,
    PriceEntry,
    PriceFloor,
    PriceList,
    PriceListAssignment,
    ProductQuantityRule,
)
from sync_protocol.entities.promotions import (
    Promotion,
    PromotionAudience,
    PromotionCustomer,
    PromotionExclusion,
    PromotionTarget,
    PromotionTier,
    PromotionUse,
)
from sync_protocol.entities.quotes import NegotiatedQuote, NegotiatedQuoteLine, NegotiatedQuoteRound
from sync_protocol.entities.taxes import TaxExemption, TaxRate
from sync_protocol.values import Row, plain_type


class Bucket(msgspec.Struct, frozen=True):
    """Which bucket a row is in, as a function of its own columns: the kind alone, or `kind:hex of the key column`.

    A shared bucket is on many devices: it comes in images, and is compared in ranges.
    """

    kind: str
    key: str | None = None
    is_shared: bool = True

    def range_of(self, row_id: UUID) -> int:
        """Which range of the bucket a row is in: the last byte of its id; a bucket that is not shared is one range, 0."""
        return row_id.bytes[15] if self.is_shared else 0


class Synced(msgspec.Struct, frozen=True):
    """One synced entity.

    `number` stands for it in the log and never changes. `indexes` are the device's. An order of `numbers` is an order
    in which referenced rows come before the rows that refer to them.
    """

    number: int
    name: str
    row: type[Row]
    bucket: Bucket
    indexes: tuple[tuple[str, ...], ...] = ()
    since_protocol: int = 1

    def is_id(self, column: str) -> bool:
        """Whether a column of the row holds an id, which PostgreSQL keeps otherwise than it is sent."""
        return plain_type(self.row.__annotations__.get(column, UUID)) is UUID


CATALOG: Final = Bucket("catalog")
ACCOUNT: Final = Bucket("account", "customer_id", is_shared=False)
LIMITS: Final = Bucket("limits")
"""What reps may do with a price, which no buyer is to know."""

SYNCED: Final = (
    Synced(1, "unit", Unit, CATALOG),
    Synced(2, "category", Category, CATALOG),
    Synced(3, "product", Product, CATALOG, (("sku",), ("category_id",), ("variant_of_id",), ("barcode",))),
    Synced(4, "pack", Pack, CATALOG, (("product_id",),)),
    Synced(5, "stock_location", StockLocation, CATALOG),
    Synced(6, "price_list", PriceList, Bucket("pricelist", "id")),
    Synced(7, "price_entry", PriceEntry, Bucket("pricelist", "price_list_id"), (("product_id", "price_list_id", "min_quantity"),)),
    Synced(8, "territory", Territory, CATALOG),
    Synced(9, "rep", Rep, CATALOG),
    Synced(10, "customer", Customer, Bucket("account", "id", is_shared=False), (("name",), ("code",))),
    Synced(11, "address", Address, ACCOUNT, (("customer_id",),)),
    Synced(12, "contact", Contact, ACCOUNT, (("customer_id",),)),
    Synced(13, "stock_level", StockLevel, Bucket("stock", "stock_location_id"), (("product_id", "stock_location_id"),)),
    Synced(14, "sales_order", Order, ACCOUNT, (("customer_id", "captured_at_ms"), ("number",))),
    Synced(15, "sales_order_line", OrderLine, ACCOUNT, (("order_id",), ("customer_id",))),
    Synced(16, "number_series", NumberSeries, Bucket("rep", "holder_id", is_shared=False)),
    Synced(17, "segment", Segment, CATALOG, since_protocol=3),
    Synced(18, "segment_member", SegmentMember, ACCOUNT, (("customer_id",),), since_protocol=3),
    Synced(19, "price_list_assignment", PriceListAssignment, CATALOG, since_protocol=3),
    Synced(20, "customer_price_list", CustomerPriceList, ACCOUNT, (("customer_id",),), since_protocol=3),
    Synced(21, "agreed_price", AgreedPrice, ACCOUNT, (("customer_id", "product_id"),), since_protocol=3),
    Synced(22, "product_quantity_rule", ProductQuantityRule, CATALOG, (("product_id",),), since_protocol=3),
    Synced(
        23,
        "list_quantity_rule",
        ListQuantityRule,
        Bucket("pricelist", "price_list_id"),
        (("product_id", "price_list_id"),),
        since_protocol=3,
    ),
    Synced(24, "discount_limit", DiscountLimit, LIMITS, since_protocol=3),
    Synced(25, "price_floor", PriceFloor, LIMITS, (("product_id",),), since_protocol=3),
    Synced(26, "promotion", Promotion, CATALOG, since_protocol=3),
    Synced(27, "promotion_audience", PromotionAudience, CATALOG, (("promotion_id",),), since_protocol=3),
    Synced(
        28,
        "promotion_target",
        PromotionTarget,
        CATALOG,
        (("product_id",), ("category_id",), ("promotion_id", "role")),
        since_protocol=3,
    ),
    Synced(29, "promotion_tier", PromotionTier, CATALOG, (("promotion_id",),), since_protocol=3),
    Synced(30, "promotion_exclusion", PromotionExclusion, CATALOG, since_protocol=3),
    Synced(31, "promotion_customer", PromotionCustomer, ACCOUNT, (("customer_id",),), since_protocol=3),
    Synced(32, "promotion_use", PromotionUse, ACCOUNT, (("customer_id",),), since_protocol=3),
    Synced(33, "tax_rate", TaxRate, CATALOG, (("jurisdiction",),), since_protocol=3),
    Synced(34, "tax_exemption", TaxExemption, ACCOUNT, (("customer_id",),), since_protocol=3),
    Synced(35, "sales_order_promotion", OrderPromotion, ACCOUNT, (("order_id",),), since_protocol=3),
    Synced(36, "negotiated_quote", NegotiatedQuote, ACCOUNT, (("customer_id", "requested_at_ms"), ("number",)), since_protocol=3),
    Synced(37, "negotiated_quote_line", NegotiatedQuoteLine, ACCOUNT, (("quote_id",),), since_protocol=3),
    Synced(38, "negotiated_quote_round", NegotiatedQuoteRound, ACCOUNT, (("quote_id",),), since_protocol=3),
)

BY_NAME: Final = MappingProxyType({synced.name: synced for synced in SYNCED})
BY_ROW: Final = MappingProxyType({synced.row: synced for synced in SYNCED})

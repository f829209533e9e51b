"""The words in which a vector of prices is declared: a few rows that matter, and what a person says must come out.

An id is made of a name of up to seven letters, and names sort as their ids do. What is not declared is as plain as can be: the
customer `buyer` buys from the list `main` in EUR, and what has a price is a product. `ghost` is never there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from sync_protocol.entities import BY_NAME, BY_ROW
from sync_protocol.entities.catalog import Product, ProductStatus
from sync_protocol.entities.customers import Address, Customer, CustomerStatus, SegmentMember, Territory
from sync_protocol.entities.orders import Channel
from sync_protocol.entities.pricing import (
    AgreedPrice,
    AgreementSource,
    CustomerPriceList,
    Exclusivity,
    PriceEntry,
    PriceList,
    PriceListAssignment,
)
from sync_protocol.entities.promotions import (
    Audience,
    Promotion,
    PromotionKind,
    PromotionPhase,
    PromotionStatus,
    PromotionTarget,
    PromotionTier,
    Reach,
    Stacking,
    TargetRole,
)
from sync_protocol.entities.taxes import TaxRate
from sync_protocol.rules.pricing.basket import Basket, BasketLine
from sync_protocol.values import Row, uuid7
from tests.support.price_lookups import Book

NOW_MS = 1_795_000_000_000
GHOST = "ghost"
UNNAMED = UUID(int=0)


@dataclass(frozen=True, kw_only=True)
class Vector:
    """A question, the rules that it is about, and what a person says of the answer, by path."""

    name: str
    rules: tuple[str, ...]
    book: Book
    basket: Basket
    so: Mapping[str, Any]


def key(entity: str, name: str) -> UUID:
    """The id of a row of an entity by its name."""
    number = BY_NAME[entity].number if entity in BY_NAME else 0
    return uuid7(NOW_MS, (number << 62) | int.from_bytes(name.encode().ljust(7, b"\0"), "big"))


def named(kind: type[Row], row_name: str, /, **fields: Any) -> Any:
    """A row; one without a name is numbered where it stands."""
    return kind(id=key(BY_ROW[kind].name, row_name) if row_name else UNNAMED, **fields)


def product(name: str, **fields: Any) -> Product:
    plain = {"sku": name, "name": name, "description": "", "unit_id": key("unit", "piece"), "status": ProductStatus.ACTIVE}
    if "category" in fields:
        fields["category_id"] = key("category", fields.pop("category"))
    return named(Product, name, **(plain | fields))


def customer(**fields: Any) -> Customer:
    plain = {"code": "buyer", "name": "buyer", "status": CustomerStatus.ACTIVE}
    return named(Customer, "buyer", **(plain | fields))


def territory(name: str, on: str | None = None) -> Territory:
    list_id = key("price_list", on) if on else None
    return named(Territory, name, code=name, name=name, time_zone="Europe/Amsterdam", price_list_id=list_id)


def address(name: str, country: str = "DE", region: str = "", of: str = "buyer") -> Address:
    place = {"label": name, "street": "", "postal_code": "", "city": "", "country": country, "region": region}
    return named(Address, name, customer_id=key("customer", of), **place)


def member(segment: str, **fields: Any) -> SegmentMember:
    return named(SegmentMember, "", customer_id=key("customer", "buyer"), segment_id=key("segment", segment), **fields)


def price_list(name: str, currency: str = "EUR", **fields: Any) -> PriceList:
    return named(PriceList, name, code=name, name=name, currency=currency, **fields)


def price(product_name: str, unit_price: int, on: str = "main", row: str = "", **fields: Any) -> PriceEntry:
    ids = {"price_list_id": key("price_list", on), "product_id": key("product", product_name)}
    return named(PriceEntry, row, **(ids | {"min_quantity": 1, "unit_price": unit_price} | fields))


def own(on: str, row: str = "", at: str | None = None, **fields: Any) -> CustomerPriceList:
    """A list of the customer, or of its address."""
    plain = {"customer_id": key("customer", "buyer"), "price_list_id": key("price_list", on)}
    plain |= {"priority": 0, "exclusivity": Exclusivity.SHARED, "address_id": key("address", at) if at else None}
    return named(CustomerPriceList, row, **(plain | fields))


def assigned(on: str, row: str = "", *, segment: str = "", within: str = "", **fields: Any) -> PriceListAssignment:
    """A list of a segment, of a channel or of all, perhaps within a territory."""
    plain = {"price_list_id": key("price_list", on), "priority": 0, "exclusivity": Exclusivity.SHARED}
    plain |= {
        "segment_id": key("segment", segment) if segment else None,
        "territory_id": key("territory", within) if within else None,
    }
    return named(PriceListAssignment, row, **(plain | fields))


def agreed(product_name: str, unit_price: int, source: str = "quote", row: str = "", **fields: Any) -> AgreedPrice:
    at = fields.pop("at", None)
    plain = {"customer_id": key("customer", "buyer"), "product_id": key("product", product_name), "reference": "R-1"}
    plain |= {"source": AgreementSource(source), "currency": "EUR", "min_quantity": 1, "unit_price": unit_price}
    return named(AgreedPrice, row, **(plain | {"address_id": key("address", at) if at else None} | fields))


def offer(kind: str, name: str = "offer", phase: str = "line", **fields: Any) -> Promotion:
    """An offer for everyone, on everything."""
    plain = {"code": name.upper(), "name": name, "phase": PromotionPhase(phase), "kind": PromotionKind(kind), "priority": 0}
    plain |= {"status": PromotionStatus.ACTIVE, "stacking": Stacking.STACKABLE}
    plain |= {"audience": Audience.EVERYONE, "reach": Reach.ALL}
    return named(Promotion, name, **(plain | fields))


def targeted(kind: str, name: str = "offer", phase: str = "line", **fields: Any) -> Promotion:
    """An offer for everyone, on what its targets say."""
    return offer(kind, name, phase, reach=Reach.TARGETS, **fields)


def target(product_name: str | None, role: str = "buy", of: str = "offer", **fields: Any) -> PromotionTarget:
    if "category" in fields:
        fields["category_id"] = key("category", fields.pop("category"))
    product_id = key("product", product_name) if product_name else None
    return named(PromotionTarget, "", promotion_id=key("promotion", of), role=TargetRole(role), product_id=product_id, **fields)


def tier(basis_points: int, row: str = "", of: str = "offer", **fields: Any) -> PromotionTier:
    return named(PromotionTier, row, promotion_id=key("promotion", of), value_basis_points=basis_points, **fields)


def rate(ppm: int, jurisdiction: str = "DE", name: str = "VAT", row: str = "", **fields: Any) -> TaxRate:
    plain = {"jurisdiction": jurisdiction, "customer_tax_code": "standard", "product_tax_code": "standard", "name": name}
    return named(TaxRate, row, **(plain | {"rate_ppm": ppm} | fields))


def line(product_name: str, quantity: int = 1, name: str = "", **fields: Any) -> BasketLine:
    """A line; one without a name is numbered where it stands."""
    line_id = key("sales_order_line", name) if name else UNNAMED
    return BasketLine(line_id=line_id, product_id=key("product", product_name), quantity=quantity, **fields)


def vector(name: str, rules: str, *declared: Row | BasketLine, so: Mapping[str, Any], **asked: Any) -> Vector:
    """A question of what is declared, with what is plain added."""
    lines = [each for each in declared if isinstance(each, BasketLine)]
    rows = [each for each in declared if isinstance(each, Row)]
    if not any(isinstance(row, Customer) for row in rows):
        rows.append(customer(price_list_id=key("price_list", "main")))
    for list_id in sorted({row.price_list_id for row in rows if isinstance(row, PriceEntry)}):
        if list_id not in {row.id for row in rows} | {key("price_list", GHOST)}:
            rows.append(replace(price_list("main"), id=list_id))
    priced = {row.product_id for row in rows if isinstance(row, PriceEntry | AgreedPrice)} | {each.product_id for each in lines}
    unsaid = sorted(priced - {row.id for row in rows} - {key("product", GHOST)})
    rows.extend(replace(product("plain"), id=product_id) for product_id in unsaid)
    book: dict[type[Row], list[Row]] = {}
    for row in rows:
        of_kind = book.setdefault(type(row), [])
        number = key(BY_ROW[type(row)].name, f"{len(of_kind) + 1:02}")
        of_kind.append(replace(row, id=number) if row.id == UNNAMED else row)
    numbered = [
        replace(each, line_id=key("sales_order_line", f"{place:02}")) if each.line_id == UNNAMED else each
        for place, each in enumerate(lines, start=1)
    ]
    at = asked.pop("at", None)
    plain = {"channel": Channel.REP, "instant_ms": NOW_MS, "address_id": key("address", at) if at else None}
    basket = Basket(customer_id=key("customer", "buyer"), lines=tuple(numbered), **(plain | asked))
    return Vector(name=name, rules=tuple(rules.split()), book=book, basket=basket, so=so)

"""AdventureWorks as a price book: what its lines show of its rules, said in our rows.

- A reseller's unit price is a share of the list price of the day, 60 %, less the percentage of the offer: 60 % - 2 %, 60 % - 35 %,
  rounded to ten-thousandths. So an offer is a list, nearer than the plain one, and the nearer the larger its percentage.
- The percentage is taken off the line once more. So an offer is a promotion, too.
- Of several offers the one of the largest percentage holds: all are of one exclusive group, that one first.
- An offer of the category `Customer` is not for resellers, one of the category `Reseller` is for them alone.
- After the last list price of a product has ended it is sold at another share of that, one for each category.

AdventureWorks looks at the quantity of one line. Tiers add up what matches them (P-56), so that an offer of some quantities is a
promotion for each of its products, none of which is on two lines of one order. Neither a break nor a tier has an upper end: above
the last quantity of an offer begins one at the plain price, and one of 0 %. Such a break hides lists that are farther; no line
meets one. Every product is active: the data does not say at which time it was what.
"""

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Final, NamedTuple
from uuid import UUID
from zlib import crc32

import msgspec

from sync_protocol.entities.catalog import Category, Product, ProductStatus
from sync_protocol.entities.customers import Customer, CustomerStatus, Segment, SegmentMember
from sync_protocol.entities.orders import Channel
from sync_protocol.entities.pricing import Exclusivity, PriceEntry, PriceList, PriceListAssignment
from sync_protocol.entities.promotions import (
    Audience,
    Promotion,
    PromotionAudience,
    PromotionKind,
    PromotionPhase,
    PromotionStatus,
    PromotionTarget,
    PromotionTier,
    Reach,
    Stacking,
    TargetRole,
)
from sync_protocol.rules.pricing.amounts import gross_amount
from sync_protocol.rules.pricing.basket import Basket, BasketLine
from sync_protocol.rules.pricing.engine import price_basket
from sync_protocol.rules.pricing.explanation import BasketPrice, LinePrice
from sync_protocol.rules.pricing.facts import gather_facts
from sync_protocol.rules.pricing.terms import Terms, gather_terms, gathered
from sync_protocol.rules.rounding import round_half_up
from sync_protocol.values import BASIS_POINTS, Row
from tests.support.adventureworks import AdventureWorks, ListPrice, Period, SoldOrder, SoldProduct, SpecialOffer
from tests.support.price_lookups import indexed_look_up

RESELLER_SHARE: Final = 6_000
SHARES_AFTER_THE_LAST_LIST_PRICE: Final = {"Bikes": 7_200, "Components": 7_400, "Clothing": 6_500, "Accessories": 6_000}
"""What resellers pay of a list price, in basis points; read off the lines."""
NO_OFFER: Final = 1
"""The offer of the data that is none."""
_PLAIN_LIST: Final = 0
_RESELLERS, _OTHERS = 1, 2
_SEGMENT_OF: Final = {"Reseller": _RESELLERS, "Customer": _OTHERS}


def id_of(kind: type[msgspec.Struct], number: int) -> UUID:
    """The id of a row, or of a line, by its number."""
    return UUID(int=crc32(kind.__name__.encode()) << 64 | number)


class PricedLine(NamedTuple):
    """What the engine makes of a line: its price, the offer that it was given, and of what percentage that is."""

    price: LinePrice
    offer: int
    basis_points: int


class AdventureWorksBook:
    """What orders cost by the data, or by other offers than its own."""

    def __init__(self, data: AdventureWorks, offers: Sequence[SpecialOffer] | None = None) -> None:
        self._data = data
        self._offers = data.offers if offers is None else offers
        self._offer_of: dict[UUID, SpecialOffer] = {}
        self._terms: dict[int, Terms] = {}
        self._numbers = count(1)
        rows: dict[type[Row], list[Row]] = {}
        for row in self._rows():
            rows.setdefault(type(row), []).append(row)
        self._customers = {row.id: row for row in rows[Customer] if isinstance(row, Customer)}
        self._look_up = indexed_look_up(rows)

    def basket(self, order: SoldOrder) -> BasketPrice:
        """What an order costs: all of its lines, at the beginning of its day."""
        lines = [
            BasketLine(line_id=id_of(BasketLine, line.number), product_id=id_of(Product, line.product), quantity=line.quantity)
            for line in order.lines
        ]
        customer_id = id_of(Customer, order.customer)
        basket = Basket(customer_id=customer_id, channel=Channel.REP, instant_ms=order.instant_ms, lines=tuple(lines))
        if order.customer not in self._terms:
            self._terms[order.customer] = gathered(gather_terms(self._customers[customer_id]), self._look_up)
        return price_basket(basket, gathered(gather_facts(self._terms[order.customer], basket), self._look_up))

    def priced(self, order: SoldOrder) -> list[PricedLine]:
        """Its lines, each with the offer by which its explanation says that it has become cheaper."""
        return [self._with_offer(line) for line in self.basket(order).lines]

    def _with_offer(self, price: LinePrice) -> PricedLine:
        if not price.steps:
            return PricedLine(price, NO_OFFER, 0)
        (step,) = price.steps
        assert step.rule_id is not None
        offer = self._offer_of[step.rule_id]
        assert price.unit_price is not None
        assert step.after_minor == gross_amount(price.unit_price, price.per_quantity, price.quantity, 2, offer.basis_points)
        return PricedLine(price, offer.number, offer.basis_points)

    def _rows(self) -> Iterator[Row]:
        yield from self._catalogue()
        yield from self._buyers()
        yield from self._list("Reseller prices", Period(0, None), _PLAIN_LIST, 0)
        for product in self._data.products.values():
            for price, share in self._shares(product):
                yield self._entry(_PLAIN_LIST, product, 1, price, share)
        for offer in self._offers:
            yield from self._offer_list(offer)
            yield from self._promotions(offer)

    def _new_id(self) -> UUID:
        return UUID(int=next(self._numbers))

    def _catalogue(self) -> Iterator[Row]:
        for category in self._data.categories.values():
            parent_id = id_of(Category, category.parent) if category.parent is not None else None
            yield Category(id=id_of(Category, category.number), code=f"{category.number}", name=category.name, parent_id=parent_id)
        for product in self._data.products.values():
            yield Product(
                id=id_of(Product, product.number),
                sku=f"{product.number}",
                name=product.name,
                description="",
                unit_id=UUID(int=0),
                status=ProductStatus.ACTIVE,
                category_id=id_of(Category, product.category) if product.category is not None else None,
            )

    def _buyers(self) -> Iterator[Row]:
        for number in sorted({order.customer for order in self._data.orders}):
            key = id_of(Customer, number)
            yield Customer(id=key, code=f"{number}", name=f"{number}", status=CustomerStatus.ACTIVE)
            segment = _RESELLERS if number in self._data.resellers else _OTHERS
            yield SegmentMember(id=self._new_id(), customer_id=key, segment_id=id_of(Segment, segment))

    def _shares(self, product: SoldProduct) -> Iterator[tuple[ListPrice, int]]:
        """The list prices of a product, each with what resellers pay of it, also after the last has ended."""
        for price in product.list_prices:
            yield price, RESELLER_SHARE
        if product.list_prices and (last := product.list_prices[-1]).period.until_ms is not None:
            after = ListPrice(Period(last.period.until_ms, None), last.unit_price)
            yield after, SHARES_AFTER_THE_LAST_LIST_PRICE[self._data.topmost_category(product)]

    def _offer_list(self, offer: SpecialOffer) -> Iterator[Row]:
        """What an offer for resellers makes of their prices."""
        if offer.category != "Reseller":
            return
        yield from self._list(offer.description, offer.period, offer.number, offer.basis_points)
        for number in sorted(offer.products):
            product = self._data.products[number]
            for price, share in self._shares(product):
                if price.period.meets(offer.period):
                    yield self._entry(offer.number, product, max(1, offer.least), price, share - offer.basis_points)
                    if offer.most is not None:
                        yield self._entry(offer.number, product, offer.most + 1, price, share)

    def _list(self, name: str, period: Period, number: int, priority: int) -> Iterator[Row]:
        yield PriceList(
            id=id_of(PriceList, number),
            code=f"{number}",
            name=name,
            currency="USD",
            valid_from_ms=period.from_ms,
            valid_until_ms=period.until_ms,
        )
        yield PriceListAssignment(
            id=self._new_id(),
            price_list_id=id_of(PriceList, number),
            priority=priority,
            exclusivity=Exclusivity.SHARED,
            segment_id=id_of(Segment, _RESELLERS),
        )

    def _entry(self, price_list: int, product: SoldProduct, least: int, price: ListPrice, basis_points: int) -> PriceEntry:
        return PriceEntry(
            id=self._new_id(),
            price_list_id=id_of(PriceList, price_list),
            product_id=id_of(Product, product.number),
            min_quantity=least,
            unit_price=round_half_up(price.unit_price * basis_points, BASIS_POINTS),
            valid_from_ms=price.period.from_ms,
            valid_until_ms=price.period.until_ms,
        )

    def _promotions(self, offer: SpecialOffer) -> Iterator[Row]:
        """An offer of any quantity is one promotion; one of some quantities is one for each product, with tiers."""
        if offer.least <= 1 and offer.most is None:
            promotion = self._promotion(offer, PromotionKind.PERCENT)
            yield from (promotion, *self._audience(offer, promotion), *self._targets(offer, promotion))
            return
        for number in sorted(offer.products):
            promotion = self._promotion(offer, PromotionKind.VOLUME_TIERS)
            yield from (promotion, *self._audience(offer, promotion), self._target(promotion, number))
            yield self._tier(promotion, offer.least, offer.basis_points)
            if offer.most is not None:
                yield self._tier(promotion, offer.most + 1, 0)

    def _promotion(self, offer: SpecialOffer, kind: PromotionKind) -> Promotion:
        promotion = Promotion(
            id=self._new_id(),
            code=f"{offer.number}",
            name=offer.description,
            phase=PromotionPhase.LINE,
            kind=kind,
            status=PromotionStatus.ACTIVE,
            priority=offer.basis_points,
            stacking=Stacking.STACKABLE,
            audience=Audience.LISTED if offer.category in _SEGMENT_OF else Audience.EVERYONE,
            reach=Reach.TARGETS,
            exclusive_group="offer",
            valid_from_ms=offer.period.from_ms,
            valid_until_ms=offer.period.until_ms,
            value_basis_points=offer.basis_points if kind is PromotionKind.PERCENT else None,
        )
        self._offer_of[promotion.id] = offer
        return promotion

    def _audience(self, offer: SpecialOffer, promotion: Promotion) -> Iterator[Row]:
        if offer.category in _SEGMENT_OF:
            segment_id = id_of(Segment, _SEGMENT_OF[offer.category])
            yield PromotionAudience(id=self._new_id(), promotion_id=promotion.id, segment_id=segment_id)

    def _targets(self, offer: SpecialOffer, promotion: Promotion) -> Iterator[Row]:
        """Its products; or their category, where they are all that is in one."""
        (category, *others) = {self._data.products[number].category for number in offer.products} or {None}
        whole = {product.number for product in self._data.products.values() if product.category == category}
        if category is not None and not others and offer.products == whole:
            yield PromotionTarget(
                id=self._new_id(), promotion_id=promotion.id, role=TargetRole.BUY, category_id=id_of(Category, category)
            )
            return
        for number in sorted(offer.products):
            yield self._target(promotion, number)

    def _target(self, promotion: Promotion, product: int) -> PromotionTarget:
        return PromotionTarget(
            id=self._new_id(), promotion_id=promotion.id, role=TargetRole.BUY, product_id=id_of(Product, product)
        )

    def _tier(self, promotion: Promotion, least: int, basis_points: int) -> PromotionTier:
        return PromotionTier(id=self._new_id(), promotion_id=promotion.id, value_basis_points=basis_points, min_quantity=least)

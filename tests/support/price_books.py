"""Small, nasty companies and baskets for the rules of prices: a few rows of everything, near each other in time, price and id.

A company is made of a seed, in two milliseconds; Hypothesis takes thirty times as long to draw it. What fails is made smaller
row by row (`price_shrinking`), which is what a reader of the rules wants.
"""

import random
from typing import Any
from uuid import UUID

from sync_protocol.entities.catalog import Category, Product, ProductStatus
from sync_protocol.entities.customers import Address, Customer, CustomerStatus, Segment, SegmentMember, Territory
from sync_protocol.entities.orders import Channel
from sync_protocol.entities.pricing import (
    AgreedPrice,
    AgreementSource,
    CustomerPriceList,
    DiscountLimit,
    Exclusivity,
    ListQuantityRule,
    PriceEntry,
    PriceFloor,
    PriceList,
    PriceListAssignment,
    ProductQuantityRule,
    Strength,
    TaxTreatment,
)
from sync_protocol.entities.taxes import TaxExemption, TaxRate
from sync_protocol.intents import ManualPrice
from sync_protocol.rules.pricing.basket import Basket, BasketLine
from sync_protocol.values import uuid7
from tests.support.price_dice import (
    AMOUNTS,
    BASIS_POINTS,
    BREAKS,
    IDS_OF_A_TABLE,
    NOW_MS,
    QUANTITIES,
    UNIT_PRICES,
    Dice,
    Question,
    identifier,
)
from tests.support.price_offers import make_promotions


class Maker(Dice):
    """Makes all of a company, but for its offers."""

    def question(self) -> Question:
        self.make_catalog()
        self.make_lists()
        self.make_customer()
        self.make_claims()
        self.make_agreements()
        self.make_quantity_rules()
        make_promotions(self)
        self.make_taxes()
        return self.book, self.make_basket()

    def make_customer(self) -> None:
        for code in ("A", "B"):
            self.add(Segment, code=code, name=code)
            self.add(Territory, code=code, name=code, time_zone="UTC", price_list_id=self.perhaps(self.id_of(PriceList), 3))
        for code in ("mine", "other"):
            self.add(
                Customer,
                code=code,
                name=code,
                status=CustomerStatus.ACTIVE,
                territory_id=self.perhaps(self.id_of(Territory)),
                price_list_id=self.perhaps(self.id_of(PriceList), 3),
                tax_code=self.one("standard", "standard", "reseller"),
            )
        for _ in self.times(3):
            self.add(
                Address,
                customer_id=self.customer_id(),
                label="",
                street="",
                postal_code="",
                city="",
                country=self.one("US", "DE"),
                region=self.one("", "CA"),
            )
        for _ in self.times(2):
            self.add(SegmentMember, customer_id=self.customer_id(), segment_id=self.id_of(Segment), **self.validity())

    def make_catalog(self) -> None:
        for _ in self.times(3):
            parent = self.book[Category][-1].id if self.book.get(Category) else None
            self.add(Category, code="C", name="C", parent_id=parent)
        if self.is_rare(16) and self.book.get(Category):
            root = self.book[Category][0]
            assert isinstance(root, Category)
            self.book[Category][0] = Category(id=root.id, code="C", name="C", parent_id=self.id_of(Category))
        for _ in range(1 + self.roll(3)):
            self.add(
                Product,
                sku="P",
                name="P",
                description="",
                unit_id=UUID(int=1),
                status=ProductStatus.DISCONTINUED if self.is_rare(32) else ProductStatus.ACTIVE,
                category_id=self.perhaps(self.id_of(Category)),
                tax_code=self.one("standard", "reduced"),
            )

    def quantity_rule(self) -> dict[str, Any]:
        return {
            "strength": self.one(Strength.REQUIRED, Strength.RECOMMENDED),
            "minimum_quantity": self.perhaps(self.one(1, 2, 5, 10), 3),
            "multiple_quantity": self.perhaps(self.one(1, 2, 3, 5), 4),
            "pack_quantity": self.perhaps(self.one(1, 2, 6, 9_999_991), 4),
        }

    def make_lists(self) -> None:
        for _ in range(1 + self.roll(5)):
            rule = self.quantity_rule() if self.is_rare(4) else {}
            self.add(
                PriceList,
                code="L",
                name="L",
                currency=self.currency(),
                tax_treatment=self.one(TaxTreatment.EXCLUSIVE, TaxTreatment.INCLUSIVE),
                order_minimum_minor=self.perhaps(self.one(*AMOUNTS), 4),
                **(rule | self.validity(always_in=6)),
            )
        for price_list in self.book[PriceList]:
            for product in self.book[Product]:
                for _ in range(0 if self.is_rare(6) else 1 + self.roll(3)):
                    self.add_entry(price_list.id, product.id)

    def add_entry(self, list_id: UUID, product_id: UUID) -> None:
        """Entries have ids of their own run, as there are more of them."""
        entries = self.book.setdefault(PriceEntry, [])
        number = (self.roll(4) << 8) + len(entries)
        entries.append(
            PriceEntry(
                id=identifier(PriceEntry, number),
                price_list_id=list_id,
                product_id=product_id,
                min_quantity=self.one(*BREAKS),
                unit_price=self.one(*UNIT_PRICES),
                per_quantity=self.one(1, 1, 1, 1, 6),
                **self.validity(always_in=5),
            )
        )

    def make_claims(self) -> None:
        if not self.is_rare(4):
            self.add(PriceListAssignment, price_list_id=self.id_of(PriceList), **self.claim())
        for _ in self.times(4):
            self.add(
                PriceListAssignment,
                price_list_id=self.id_of(PriceList),
                segment_id=self.perhaps(self.id_of(Segment), 3),
                channel=self.perhaps(self.one(Channel.REP, Channel.BUYER), 3),
                territory_id=self.perhaps(self.id_of(Territory), 4),
                **self.claim(),
            )
        for _ in self.times(4):
            self.add(
                CustomerPriceList,
                customer_id=self.customer_id(),
                price_list_id=self.id_of(PriceList),
                address_id=self.perhaps(self.id_of(Address)),
                **self.claim(),
            )

    def claim(self) -> dict[str, Any]:
        exclusivity = Exclusivity.EXCLUSIVE if self.is_rare(6) else Exclusivity.SHARED
        return {"priority": self.roll(2), "exclusivity": exclusivity} | self.validity(always_in=5)

    def make_agreements(self) -> None:
        for _ in self.times(4):
            self.add(
                AgreedPrice,
                customer_id=self.customer_id(),
                product_id=self.id_of(Product),
                source=self.one(AgreementSource.QUOTE, *AgreementSource),
                reference=self.one("R1", "R1", "R2"),
                currency=self.currency(),
                min_quantity=self.one(1, 5, *BREAKS),
                unit_price=self.one(*UNIT_PRICES),
                per_quantity=self.one(1, 1, 1, 6),
                tax_treatment=self.one(*TaxTreatment),
                address_id=self.perhaps(self.id_of(Address), 3),
                remaining_quantity=self.perhaps(self.one(0, 5, 6, 10, 12, 13), 3),
                **self.validity(),
            )

    def make_quantity_rules(self) -> None:
        for _ in self.times(2):
            self.add(ProductQuantityRule, product_id=self.id_of(Product), **self.quantity_rule())
        for _ in self.times(3):
            self.add(ListQuantityRule, price_list_id=self.id_of(PriceList), product_id=self.id_of(Product), **self.quantity_rule())

    def make_taxes(self) -> None:
        for _ in self.times(6):
            self.add(
                TaxRate,
                jurisdiction=self.one("US", "DE", "US-CA", "DE-CA"),
                customer_tax_code=self.one("standard", "standard", "reseller"),
                product_tax_code=self.one("standard", "reduced"),
                name=self.one("VAT", "city", "Zoll"),
                rate_ppm=self.one(190_000, 0, 72_500, 333_333, 1_000_000),
                **self.validity(always_in=5),
            )
        for _ in self.times(2) if self.is_rare(6) else ():
            self.add(
                TaxExemption,
                customer_id=self.customer_id(),
                jurisdiction=self.one("US", "DE", "US-CA"),
                certificate="X",
                **self.validity(),
            )
        for _ in self.times(2):
            self.add(
                DiscountLimit,
                role=self.one("rep", "manager"),
                discount_basis_points=self.one(1_000, 0, 5_000),
                rep_id=self.perhaps(self.one(UUID(int=1), UUID(int=2)), 3),
            )
        for _ in self.times(3):
            self.add(
                PriceFloor,
                product_id=self.id_of(Product),
                currency=self.currency(),
                unit_price=self.one(*UNIT_PRICES),
            )

    def make_basket(self) -> Basket:
        lines: list[BasketLine] = []
        for _ in range(1 + self.roll(4)):
            number = self.roll(IDS_OF_A_TABLE)
            line_id = uuid7(NOW_MS - self.roll(2), number)
            if line_id in {line.line_id for line in lines}:
                continue
            lines.append(
                BasketLine(
                    line_id=line_id,
                    product_id=self.id_of(Product),
                    quantity=self.one(*QUANTITIES),
                    pack_quantity=self.one(1, 1, 1, 1, 6, 2),
                    manual=self.by_hand() if self.is_rare(8) else None,
                )
            )
        address_ids = [row.id for row in self.book.get(Address, [])]
        return Basket(
            customer_id=self.book[Customer][0].id,
            channel=self.one(Channel.REP, Channel.BUYER, Channel.ONLINE),
            instant_ms=NOW_MS + self.one(0, 0, 0, 1, -1),
            lines=tuple(lines),
            address_id=self.perhaps(self.one(*address_ids)) if address_ids else None,
            currency=self.perhaps(self.currency(), 3),
            freight_minor=self.one(0, 500, 999, 1_000, 12_345),
            role=self.one("rep", "manager"),
            rep_id=self.perhaps(UUID(int=1)),
        )

    def by_hand(self) -> ManualPrice:
        discount = self.one(*BASIS_POINTS)
        price = self.one(*UNIT_PRICES)
        match self.roll(16):
            case 15:
                return ManualPrice(reason="both «é»", discount_basis_points=discount, unit_price=price)
            case 14:
                return ManualPrice(reason='"neither"')
            case number if number % 2:
                return ManualPrice(reason="price\tby hand", unit_price=price)
        return ManualPrice(reason="discount", discount_basis_points=discount)


def question_of(generator: random.Random) -> Question:
    """A company and a basket of its customer."""
    return Maker(generator).question()

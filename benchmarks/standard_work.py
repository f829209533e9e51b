"""The standard work, seed 42, as rows of our entities: 100,000 products, 500,000 prices and 5,000 customers of one territory.

The words, sizes and random draws are those that the peers were measured with. Ids are random, as those of imported rows
are, which is the hard case for every index. Each product has its price on five of ten lists, so that a key of product,
list and quantity is taken once. Beside the 605,000 rows there are the addresses, which are a table of their own here, and
the stock of the products that are ordered.
"""

import random
from collections.abc import Iterator
from functools import cached_property
from typing import Final
from uuid import UUID

from sync_protocol.entities.catalog import Category, Product, ProductStatus, Unit
from sync_protocol.entities.customers import Address, Customer, CustomerStatus, Rep, Territory
from sync_protocol.entities.inventory import StockLevel, StockLocation
from sync_protocol.entities.pricing import PriceEntry, PriceList
from sync_protocol.values import Row

START_MS: Final = 1_790_000_000_000
PRICES_EACH: Final = 5
LISTS: Final = 10
STOCKED: Final = 2_000
MINOR_TO_UNIT_PRICE: Final = 100


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ADJECTIVES: Final = _words(
    "Heavy Light Galvanised Stainless Brass Nylon Compact Industrial Premium Standard Sealed Flexible Rigid Insulated Coated "
    "Threaded"
)
NOUNS: Final = _words(
    "Bolt Washer Valve Bearing Gasket Hose Clamp Bracket Coupling Filter Cable Switch Relay Sensor Motor Pump Flange Fitting "
    "Spring Rivet"
)
WORDS: Final = _words(
    "for use in assembly lines and workshop maintenance with high load resistance to corrosion suitable indoor outdoor "
    "temperature range pressure tested certified according to standard delivered per box replacement part original "
    "manufacturer quality long life surface treated zinc steel polymer seal kit mounting set"
)
UNITS: Final = _words("pc box m kg l set")
CITIES: Final = _words("Utrecht Rotterdam Gent Aachen Lille Leeds Bremen Porto Graz Turku")


def make_id(chance: random.Random) -> UUID:
    """An id as an import makes it: a UUIDv8 of which all else is chance."""
    bits = chance.getrandbits(128) & ~(0xF << 76) | (0x8 << 76)
    return UUID(int=bits & ~(0b11 << 62) | (0b10 << 62))


def _text(chance: random.Random, length: int) -> str:
    words: list[str] = []
    while sum(len(word) + 1 for word in words) < length:
        words.append(chance.choice(WORDS))
    return " ".join(words)[:length].strip()


class StandardWork:
    """The rows, at a scale: 1 is the whole. The same scale gives the same rows."""

    def __init__(self, scale: float = 1.0) -> None:
        self.products_count = max(200, int(100_000 * scale))
        self.customers_count = max(20, int(5_000 * scale))
        chance = random.Random("42/company")
        self.units = [Unit(id=make_id(chance), code=code, name=code) for code in UNITS]
        self.categories = [Category(id=make_id(chance), code=f"cat-{n:02d}", name=f"Category {n:02d}") for n in range(60)]
        self.lists = [PriceList(id=make_id(chance), code=f"PL{n:02d}", name=f"List {n}", currency="EUR") for n in range(LISTS)]
        self.location = StockLocation(id=make_id(chance), code="MAIN", name="Main warehouse")
        self.territory = Territory(
            id=make_id(chance),
            code="ALL",
            name="Everywhere",
            time_zone="Europe/Amsterdam",
            price_list_id=self.lists[0].id,
            stock_location_id=self.location.id,
        )
        self.rep = Rep(id=make_id(chance), code="REP", name="The rep")

    @cached_property
    def products(self) -> list[Product]:
        chance = random.Random("42/product")
        return [self._product(chance, number) for number in range(self.products_count)]

    def _product(self, chance: random.Random, number: int) -> Product:
        adjectives, nouns = chance.choices(ADJECTIVES, k=2), chance.choices(NOUNS, k=2)
        size = f"M{chance.randint(3, 48)}x{chance.randint(10, 400)} {chance.randint(1000, 9999)}"
        return Product(
            id=make_id(chance),
            sku=f"SKU-{number:06d}",
            name=" ".join([*adjectives, *nouns, size]),
            description=_text(chance, chance.randint(105, 135)),
            unit_id=chance.choice(self.units).id,
            status=ProductStatus.ACTIVE if chance.random() < 0.95 else ProductStatus.DISCONTINUED,
            category_id=chance.choice(self.categories).id,
        )

    def lists_of(self, number: int) -> list[PriceList]:
        """The lists that the product of this number has a price on."""
        return [self.lists[(number * PRICES_EACH + n) % LISTS] for n in range(PRICES_EACH)]

    def prices(self) -> Iterator[PriceEntry]:
        chance = random.Random("42/price")
        for number, product in enumerate(self.products):
            for price_list in self.lists_of(number):
                yield PriceEntry(
                    id=make_id(chance),
                    price_list_id=price_list.id,
                    product_id=product.id,
                    min_quantity=chance.choice((1, 10, 100)),
                    unit_price=chance.randint(40, 500_000) * MINOR_TO_UNIT_PRICE,
                )

    @cached_property
    def customers(self) -> list[Customer]:
        chance = random.Random("42/customer")
        return [
            Customer(
                id=make_id(chance),
                code=f"C{number:05d}",
                name=f"{chance.choice(NOUNS)} & {chance.choice(NOUNS)} Trading BV {number}",
                status=CustomerStatus.ACTIVE,
                territory_id=self.territory.id,
                price_list_id=self.lists[number % LISTS].id,
            )
            for number in range(self.customers_count)
        ]

    def addresses(self) -> Iterator[Address]:
        chance = random.Random("42/address")
        for customer in self.customers:
            yield Address(
                id=make_id(chance),
                customer_id=customer.id,
                label="Main",
                street=f"{chance.choice(WORDS).title()} street {chance.randint(1, 400)}",
                postal_code=str(chance.randint(1000, 9999)),
                city=chance.choice(CITIES),
                country="NL",
            )

    def stock(self) -> Iterator[StockLevel]:
        chance = random.Random("42/stock")
        for product in self.products[:STOCKED]:
            yield StockLevel(
                id=make_id(chance),
                product_id=product.id,
                stock_location_id=self.location.id,
                on_hand=1_000_000,
                allocated=0,
                as_of_ms=START_MS,
            )

    def tables(self) -> Iterator[Iterator[Row]]:
        """All rows, a table at a time, what is referred to first."""
        company: tuple[list[Row], ...] = (
            [*self.units],
            [*self.categories],
            [*self.lists],
            [self.location],
            [self.territory],
            [self.rep],
        )
        yield from map(iter, company)
        yield iter(self.products)
        yield iter(self.prices())
        yield iter(self.customers)
        yield iter(self.addresses())
        yield iter(self.stock())

    def orderable(self, customer: Customer) -> list[Product]:
        """Products in stock that this customer's own list has a price for, from 100 base units on at the latest."""
        return [
            product
            for number, product in enumerate(self.products[:STOCKED])
            if product.status is ProductStatus.ACTIVE and customer.price_list_id in {each.id for each in self.lists_of(number)}
        ]

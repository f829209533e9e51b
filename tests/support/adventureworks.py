"""What AdventureWorks sold to resellers, at which prices, and the offers that it had: its files as they are, read in place."""

import csv
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path

import msgspec

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "adventureworks"
ABSENT = "AdventureWorks is not at ../shared/data/adventureworks"

_DAY = timedelta(days=1)
_PARTS = 100


class Period(msgspec.Struct, frozen=True):
    """From an instant on, until just before another where there is one. The data names the last day."""

    from_ms: int
    until_ms: int | None

    def has(self, instant_ms: int) -> bool:
        return self.from_ms <= instant_ms and (self.until_ms is None or instant_ms < self.until_ms)

    def meets(self, other: "Period") -> bool:
        return (other.until_ms is None or self.from_ms < other.until_ms) and (
            self.until_ms is None or other.from_ms < self.until_ms
        )


class ListPrice(msgspec.Struct, frozen=True):
    """What a product costs anybody, in ten-thousandths, for a time."""

    period: Period
    unit_price: int


class ProductCategory(msgspec.Struct, frozen=True):
    """A category, or a part of one. The numbers of parts begin above those of all categories."""

    number: int
    name: str
    parent: int | None


class SoldProduct(msgspec.Struct, frozen=True):
    """A product with its history of list prices, oldest first."""

    number: int
    name: str
    category: int | None
    list_prices: tuple[ListPrice, ...]


class SpecialOffer(msgspec.Struct, frozen=True):
    """An offer on some products, for a time, for a quantity of one line from `least` to `most`."""

    number: int
    description: str
    category: str
    basis_points: int
    period: Period
    least: int
    most: int | None
    products: frozenset[int]

    def fits(self, line: "SoldLine") -> bool:
        """Whether a line is of its products, its time and its quantities."""
        is_enough = self.least <= line.quantity and (self.most is None or line.quantity <= self.most)
        return is_enough and line.product in self.products and self.period.has(line.instant_ms)


class SoldLine(msgspec.Struct, frozen=True):
    """A line of a reseller's order, priced by AdventureWorks."""

    number: int
    order: int
    instant_ms: int
    product: int
    quantity: int
    offer: int
    unit_price: int
    basis_points: int
    total: Decimal


class SoldOrder(msgspec.Struct, frozen=True):
    """An order of a reseller, with its lines."""

    number: int
    customer: int
    instant_ms: int
    lines: tuple[SoldLine, ...]


class AdventureWorks(msgspec.Struct, frozen=True):
    """All of it. `resellers` are the customers that are stores."""

    products: Mapping[int, SoldProduct]
    categories: Mapping[int, ProductCategory]
    offers: tuple[SpecialOffer, ...]
    resellers: frozenset[int]
    orders: tuple[SoldOrder, ...]

    @property
    def lines(self) -> list[SoldLine]:
        return [line for order in self.orders for line in order.lines]

    def offer(self, number: int) -> SpecialOffer:
        return next(each for each in self.offers if each.number == number)

    def topmost_category(self, product: SoldProduct) -> str:
        """The name of the category that a product is in, directly or by a part of it; empty for none."""
        category = self.categories[product.category] if product.category is not None else None
        while category is not None and category.parent is not None:
            category = self.categories[category.parent]
        return category.name if category is not None else ""


def read_adventureworks(folder: Path = FOLDER) -> AdventureWorks:
    """All of it, from its files."""
    return AdventureWorks(
        products=_products(folder),
        categories={each.number: each for each in _categories(folder)},
        offers=_offers(folder),
        resellers=frozenset(int(row["CustomerID"]) for row in _rows(folder, "Sales.Customer") if row["StoreID"]),
        orders=_orders(folder),
    )


def _rows(folder: Path, table: str) -> list[dict[str, str]]:
    with (folder / f"{table}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _ten_thousandths(text: str) -> int:
    scaled = Decimal(text).scaleb(4)
    assert scaled == int(scaled), text
    return int(scaled)


@cache
def instant_of(day: str, days_later: int = 0) -> int:
    """When a day begins, in milliseconds."""
    return int((datetime.fromisoformat(day).replace(tzinfo=UTC) + days_later * _DAY).timestamp()) * 1_000


def _period(row: Mapping[str, str]) -> Period:
    return Period(instant_of(row["StartDate"]), instant_of(row["EndDate"], 1) if row["EndDate"] else None)


def _categories(folder: Path) -> Iterator[ProductCategory]:
    for row in _rows(folder, "Production.ProductCategory"):
        yield ProductCategory(int(row["ProductCategoryID"]), row["Name"], None)
    for row in _rows(folder, "Production.ProductSubcategory"):
        yield ProductCategory(_PARTS + int(row["ProductSubcategoryID"]), row["Name"], int(row["ProductCategoryID"]))


def _products(folder: Path) -> dict[int, SoldProduct]:
    history: dict[str, list[ListPrice]] = {}
    for row in _rows(folder, "Production.ProductListPriceHistory"):
        history.setdefault(row["ProductID"], []).append(ListPrice(_period(row), _ten_thousandths(row["ListPrice"])))
    return {
        int(row["ProductID"]): SoldProduct(
            number=int(row["ProductID"]),
            name=row["Name"],
            category=_PARTS + int(row["ProductSubcategoryID"]) if row["ProductSubcategoryID"] else None,
            list_prices=tuple(sorted(history.get(row["ProductID"], ()), key=lambda each: each.period.from_ms)),
        )
        for row in _rows(folder, "Production.Product")
    }


def _offers(folder: Path) -> tuple[SpecialOffer, ...]:
    products: dict[str, set[int]] = {}
    for row in _rows(folder, "Sales.SpecialOfferProduct"):
        products.setdefault(row["SpecialOfferID"], set()).add(int(row["ProductID"]))
    return tuple(
        SpecialOffer(
            number=int(row["SpecialOfferID"]),
            description=row["Description"],
            category=row["Category"],
            basis_points=_ten_thousandths(row["DiscountPct"]),
            period=_period(row),
            least=int(row["MinQty"]),
            most=int(row["MaxQty"]) if row["MaxQty"] else None,
            products=frozenset(products.get(row["SpecialOfferID"], ())),
        )
        for row in _rows(folder, "Sales.SpecialOffer")
    )


def _orders(folder: Path) -> tuple[SoldOrder, ...]:
    heads = {row["SalesOrderID"]: row for row in _rows(folder, "Sales.SalesOrderHeader") if row["OnlineOrderFlag"] == "False"}
    lines: dict[str, list[SoldLine]] = {number: [] for number in heads}
    for row in _rows(folder, "Sales.SalesOrderDetail"):
        if row["SalesOrderID"] in heads:
            lines[row["SalesOrderID"]].append(_line(row, instant_of(heads[row["SalesOrderID"]]["OrderDate"])))
    return tuple(
        SoldOrder(int(number), int(head["CustomerID"]), instant_of(head["OrderDate"]), tuple(lines[number]))
        for number, head in heads.items()
    )


def _line(row: Mapping[str, str], instant_ms: int) -> SoldLine:
    return SoldLine(
        number=int(row["SalesOrderDetailID"]),
        order=int(row["SalesOrderID"]),
        instant_ms=instant_ms,
        product=int(row["ProductID"]),
        quantity=int(row["OrderQty"]),
        offer=int(row["SpecialOfferID"]),
        unit_price=_ten_thousandths(row["UnitPrice"]),
        basis_points=_ten_thousandths(row["UnitPriceDiscount"]),
        total=Decimal(row["LineTotal"]),
    )

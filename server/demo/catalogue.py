"""The demo company's catalogue: article families with their variants, packs, and prices on eight lists."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from server.demo.seeds import Dice
from server.demo.trade import CATEGORIES, UNITS, Range, ranges
from sync_protocol.entities.catalog import Category, Pack, Product, ProductStatus, Unit
from sync_protocol.entities.pricing import PriceEntry, PriceList
from sync_protocol.rules.rounding import round_half_up
from sync_protocol.values import BASIS_POINTS

_ARTICLES_PER_FAMILY: Final = 100
_DISCONTINUED_PERCENT: Final = 1
_GTIN_PREFIX: Final = "8719"


class ListTerms(NamedTuple):
    """How a price list follows from the catalogue's own prices, and which categories it has a price for.

    `rate_basis_points` turns a catalogue price into one of this list, its exchange rate included.
    """

    code: str
    name: str
    currency: str
    rate_basis_points: int
    categories: tuple[str, ...] = ()


PRICE_LISTS: Final = (
    ListTerms("NL-TRADE", "Netherlands trade", "EUR", 10_000),
    ListTerms("BE-TRADE", "Belgium trade", "EUR", 10_180),
    ListTerms("DE-TRADE", "Germany trade", "EUR", 9_950),
    ListTerms("UK-TRADE", "United Kingdom trade", "GBP", 8_950),
    ListTerms("SILVER", "Contractor silver", "EUR", 9_400),
    ListTerms("GOLD", "Contractor gold", "EUR", 8_850),
    ListTerms("KEY", "Key accounts", "EUR", 8_300, ("PIP", "DRN", "HEA", "VAL")),
    ListTerms("PROJECT", "Housing projects", "EUR", 7_900, ("HEA", "SAN", "VEN")),
)
"""The first four are complete and each is a market's default; the two of few categories fall back to that default."""

_BREAK_RATES: Final = (BASIS_POINTS, 9_500, 9_000)


class Article(NamedTuple):
    """A product that can be ordered, with what the generator knows of it: its catalogue price and its pack."""

    product: Product
    category: str
    unit_price: int
    pack: int


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """What the company sells. `articles` are the products that can be ordered; families are products without a price."""

    units: tuple[Unit, ...]
    categories: tuple[Category, ...]
    products: tuple[Product, ...]
    packs: tuple[Pack, ...]
    price_lists: tuple[PriceList, ...]
    price_entries: tuple[PriceEntry, ...]
    articles: tuple[Article, ...]


def make_catalogue(dice: Dice) -> Catalogue:
    """The whole catalogue, the same for the same dice."""
    units = tuple(Unit(id=dice.id(), code=code, name=name) for code, name in UNITS)
    categories = _categories(dice)
    price_lists = tuple(PriceList(id=dice.id(), code=terms.code, name=terms.name, currency=terms.currency) for terms in PRICE_LISTS)
    unit_ids = {unit.code: unit.id for unit in units}
    category_ids = {category.code: category.id for category in categories}
    families: list[Product] = []
    articles: list[Article] = []
    for number, (sold, brand) in enumerate(_families(), start=101):
        family = _family(
            sold,
            brand,
            id=dice.id(),
            sku=f"{sold.category[0]}{number}",
            unit_id=unit_ids[sold.unit],
            category_id=category_ids[sold.category],
        )
        families.append(family)
        articles += _variants(dice, sold, family)
    entries = tuple(
        entry
        for price_list, terms in zip(price_lists, PRICE_LISTS, strict=True)
        for entry in _entries(dice, price_list, terms, articles)
    )
    return Catalogue(
        units=units,
        categories=categories,
        products=(*families, *(article.product for article in articles)),
        packs=tuple(_packs(dice, articles, unit_ids)),
        price_lists=price_lists,
        price_entries=entries,
        articles=tuple(articles),
    )


def _families() -> Iterator[tuple[Range, str]]:
    return ((sold, brand) for sold in ranges() for brand in sold.brands)


def _categories(dice: Dice) -> tuple[Category, ...]:
    ids = {code: dice.id() for code, _, _ in CATEGORIES}
    return tuple(
        Category(id=ids[code], code=code, name=name, parent_id=ids[parent] if parent else None) for code, name, parent in CATEGORIES
    )


def _family(sold: Range, brand: str, **columns: Any) -> Product:
    labels = sold.axis.labels
    description = f"{sold.name} by {brand}, in {len(labels)} variants from {labels[0]} to {labels[-1]}."
    return Product(name=f"{brand} {sold.name}", description=description, status=ProductStatus.ACTIVE, **columns)


def _variants(dice: Dice, sold: Range, family: Product) -> Iterator[Article]:
    """The family's variants. The second brand of a range is a little dearer or cheaper, the same for all its variants."""
    unit_price = sold.first_cents * 100 * dice.between(94, 108) // 100
    for place, label in enumerate(sold.axis.labels, start=1):
        # Every third or so is a few percent off the curve, as real price lists are.
        shown = _tidy(unit_price * dice.between(97, 104) // 100)
        product = Product(
            id=dice.id(),
            sku=f"{family.sku}-{place:02}",
            name=f"{family.name}, {label}",
            description=f"{sold.name}, {label}.",
            unit_id=family.unit_id,
            status=ProductStatus.DISCONTINUED if dice.percent(_DISCONTINUED_PERCENT) else ProductStatus.ACTIVE,
            category_id=family.category_id,
            variant_of_id=family.id,
            variant_label=label,
            barcode=_gtin(int(family.sku[1:]) * _ARTICLES_PER_FAMILY + place),
        )
        yield Article(product, sold.category, shown, sold.pack)
        unit_price = unit_price * sold.axis.growth_basis_points // BASIS_POINTS


def _tidy(unit_price: int) -> int:
    """A price as people print it: to a tenth of a cent below a euro, to the cent below 100, to ten cents above."""
    step = 10 if unit_price < 10_000 else 100 if unit_price < 1_000_000 else 1_000
    return max(step, round_half_up(unit_price, step) * step)


def _gtin(number: int) -> str:
    digits = f"{_GTIN_PREFIX}{number:08}"
    weighted = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits))
    return f"{digits}{-weighted % 10}"


def _packs(dice: Dice, articles: list[Article], unit_ids: Mapping[str, UUID]) -> Iterator[Pack]:
    for article in articles:
        if article.pack > 1:
            yield Pack(id=dice.id(), product_id=article.product.id, unit_id=unit_ids["BOX"], quantity_in_base=article.pack)
        if article.pack >= 20:
            yield Pack(id=dice.id(), product_id=article.product.id, unit_id=unit_ids["PAL"], quantity_in_base=article.pack * 40)


def _entries(dice: Dice, price_list: PriceList, terms: ListTerms, articles: list[Article]) -> Iterator[PriceEntry]:
    for article in articles:
        if terms.categories and article.category.partition("-")[0] not in terms.categories:
            continue
        unit_price = article.unit_price * terms.rate_basis_points // BASIS_POINTS
        for minimum, rate in zip(_breaks(article), _BREAK_RATES, strict=False):
            yield PriceEntry(
                id=dice.id(),
                price_list_id=price_list.id,
                product_id=article.product.id,
                min_quantity=minimum,
                unit_price=_tidy(unit_price * rate // BASIS_POINTS),
            )


def _breaks(article: Article) -> tuple[int, ...]:
    """Where prices step down: by the pack and by ten packs for small things, by the half dozen for larger, never for machines."""
    if article.pack > 1:
        return (1, article.pack, article.pack * 10)
    return (1, 6) if article.unit_price < 2_000_000 else (1,)

"""Whom and what the demo's story is about, chosen from the company that was made."""

from collections.abc import Iterator
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from server.demo.accounts import Account
from server.demo.catalogue import Article
from server.demo.company import Company
from server.demo.past_prices import price_list_order
from sync_protocol.entities.catalog import ProductStatus
from sync_protocol.entities.customers import CustomerStatus, Rep

REP_LOGIN: Final = "femke"
_TERRITORY: Final = "RAN"
_COMFORTABLE: Final = 20


class Scene(NamedTuple):
    """One order of the story: who orders how many of what."""

    account: Account
    articles: tuple[tuple[Article, int], ...]

    @property
    def customer_code(self) -> str:
        return self.account.customer.code

    @property
    def lines(self) -> tuple[str, ...]:
        """As the command line takes them."""
        return tuple(f"{article.product.sku}:{quantity}" for article, quantity in self.articles)

    @property
    def changing(self) -> Article:
        """The article that something happens to: the first."""
        return self.articles[0][0]


class Cast(msgspec.Struct, frozen=True, kw_only=True):
    """The rep and the five orders, each by what will become of it."""

    rep: Rep
    stock_location_id: UUID
    plain: Scene
    repriced: Scene
    short: Scene
    held: Scene
    discontinued: Scene
    replacement: Article


def choose_cast(company: Company) -> Cast:
    """The story of this company: Femke's customers of the Randstad, and articles that are in stock there."""
    territory = next(each for each in company.accounts.territories if each.code == _TERRITORY)
    assert territory.stock_location_id is not None
    buyers = _buyers(company, CustomerStatus.ACTIVE)
    on_hold = next(_buyers(company, CustomerStatus.ON_HOLD))
    pipe, fitting, valve, boiler, pump, ceramic, radiator, towel = (
        _article(company, territory.stock_location_id, category, words)
        for category, words in (
            ("PIP-CU", "Copper pipe EN 1057 R250"),
            ("PIP-CU", "Elbow 90°, copper press"),
            ("VAL-SHU", "Ball valve, lever"),
            ("HEA-TNK", "Expansion vessel heating"),
            ("HEA-PMP", "Circulator 25-180"),
            ("SAN-CER", "Wall-hung WC"),
            ("HEA-RAD", "Panel radiator type 22, 500"),
            ("HEA-DES", "Towel radiator 1200"),
        )
    )
    return Cast(
        rep=company.accounts.reps[0],
        stock_location_id=territory.stock_location_id,
        plain=Scene(next(buyers), ((fitting, 10), (pipe, 10))),
        repriced=Scene(next(buyers), ((boiler, 2), (valve, 4))),
        short=Scene(next(buyers), ((pump, 6), (fitting, 4))),
        held=Scene(on_hold, ((ceramic, 2), (valve, 1))),
        discontinued=Scene(next(buyers), ((radiator, 3), (towel, 1))),
        replacement=_next_size(company, territory.stock_location_id, radiator),
    )


def _buyers(company: Company, status: CustomerStatus) -> Iterator[Account]:
    """Customers of the story's territory that buy from its own list without a limit, so that each order has one fate."""
    for account in company.accounts.accounts:
        customer = account.customer
        lists = price_list_order(customer, account.territory)
        plain = customer.review_above_minor is None and (len(lists) == 1 or status is CustomerStatus.ON_HOLD)
        if plain and account.territory.code == _TERRITORY and customer.status is status:
            yield account


def _article(company: Company, stock_location_id: UUID, category: str, words: str) -> Article:
    """A middling article of the first such family: one that is sold, and well in stock."""
    found = [
        article
        for article in _in_stock(company, stock_location_id)
        if article.category == category and words in article.product.name
    ]
    family = [article for article in found if article.product.variant_of_id == found[0].product.variant_of_id]
    return family[len(family) // 2]


def _next_size(company: Company, stock_location_id: UUID, than: Article) -> Article:
    """Another article of the same family, the next one up, or down where there is none."""
    family = [each for each in _in_stock(company, stock_location_id) if each.product.variant_of_id == than.product.variant_of_id]
    place = family.index(than)
    return family[place + 1] if place + 1 < len(family) else family[place - 1]


def _in_stock(company: Company, stock_location_id: UUID) -> Iterator[Article]:
    """What is sold and well in stock at the location."""
    free = {
        level.product_id: level.on_hand - level.allocated
        for level in company.history.levels
        if level.stock_location_id == stock_location_id
    }
    for article in company.catalogue.articles:
        if article.product.status is ProductStatus.ACTIVE and free[article.product.id] >= _COMFORTABLE:
            yield article

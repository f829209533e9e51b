"""The demo company, whole: a wholesaler of plumbing and heating in the Low Countries, made of a seed and an instant."""

from collections.abc import Sequence
from typing import Final

import msgspec

from server.demo.accounts import Accounts, make_accounts
from server.demo.catalogue import Catalogue, make_catalogue
from server.demo.history import HISTORY_DAYS, History, make_history
from server.demo.price_book import PriceBook, make_price_book
from server.demo.seeds import Dice
from sync_protocol.entities import BY_NAME, Synced
from sync_protocol.values import Row

COMPANY_NAME: Final = "Van Lier & Zonen, plumbing and heating wholesale"

_DAY_MS: Final = 86_400_000


class Company(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the demo company has and did up to the midnight `as_of_ms`."""

    as_of_ms: int
    catalogue: Catalogue
    accounts: Accounts
    history: History
    price_book: PriceBook

    def rows(self) -> tuple[tuple[Synced, Sequence[Row]], ...]:
        """All rows by entity, referenced rows before the rows that refer to them."""
        catalogue, accounts, history, book = self.catalogue, self.accounts, self.history, self.price_book
        by_name: dict[str, Sequence[Row]] = {
            "unit": catalogue.units,
            "category": catalogue.categories,
            "product": catalogue.products,
            "pack": catalogue.packs,
            "stock_location": accounts.stock_locations,
            "price_list": catalogue.price_lists,
            "price_entry": catalogue.price_entries,
            "territory": accounts.territories,
            "rep": accounts.reps,
            "customer": [account.customer for account in accounts.accounts],
            "address": [address for account in accounts.accounts for address in account.addresses],
            "contact": [contact for account in accounts.accounts for contact in account.contacts],
            "stock_level": history.levels,
            "sales_order": history.orders,
            "sales_order_line": history.lines,
            "agreed_price": book.agreed_prices,
            "product_quantity_rule": book.quantity_rules,
            "discount_limit": book.discount_limits,
            "promotion": book.promotions,
            "promotion_target": book.targets,
            "promotion_tier": book.tiers,
            "tax_rate": book.tax_rates,
        }
        return tuple((BY_NAME[name], rows) for name, rows in by_name.items())


def make_company(seed: int, now_ms: int) -> Company:
    """The company of a seed as it is on the day of `now_ms`: the same day and seed give the same company, ids included."""
    as_of_ms = now_ms // _DAY_MS * _DAY_MS
    dice = Dice(seed, as_of_ms - HISTORY_DAYS * _DAY_MS)
    catalogue = make_catalogue(dice)
    accounts = make_accounts(dice, catalogue.price_lists)
    history = make_history(dice, catalogue, accounts, as_of_ms=as_of_ms)
    price_book = make_price_book(dice, catalogue, accounts, as_of_ms=as_of_ms)
    return Company(as_of_ms=as_of_ms, catalogue=catalogue, accounts=accounts, history=history, price_book=price_book)

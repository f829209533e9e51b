"""What there is about the products of a basket, and which rows to look up for it."""

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from sync_protocol.entities.catalog import Category, Product
from sync_protocol.entities.pricing import (
    AgreedPrice,
    DiscountLimit,
    ListQuantityRule,
    PriceEntry,
    PriceFloor,
    ProductQuantityRule,
)
from sync_protocol.entities.promotions import PromotionKind, PromotionTarget, Reach, TargetRole
from sync_protocol.rules.pricing.basket import Basket
from sync_protocol.rules.pricing.chain import Chain, chain_of
from sync_protocol.rules.pricing.terms import Lookup, Terms, grouped, keys_of
from sync_protocol.rules.pricing.validity import is_live

_OF_MANY_ROLES: Final = frozenset({PromotionKind.BUY_X_GET_Y, PromotionKind.FREE_GOODS, PromotionKind.BUNDLE})
"""Kinds that must know of targets that nothing in the basket matches."""
_NOT_BOUGHT: Final = (TargetRole.GET, TargetRole.GIFT, TargetRole.PART)


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """The terms, the chain of lists at the basket's instant, and what there is about the products of the basket."""

    terms: Terms
    chain: Chain
    products: dict[UUID, Product]
    parents: dict[UUID, UUID | None]
    agreed: dict[UUID, list[AgreedPrice]]
    entries: dict[UUID, list[PriceEntry]]
    product_rules: dict[UUID, list[ProductQuantityRule]]
    list_rules: dict[UUID, list[ListQuantityRule]]
    targets: dict[UUID, list[PromotionTarget]]
    limits: tuple[DiscountLimit, ...] = ()
    floors: dict[UUID, list[PriceFloor]] = {}

    def categories_of(self, product: Product) -> tuple[UUID, ...]:
        """The category of a product and those above it."""
        return categories_above(product.category_id, self.parents)


def categories_above(category_id: UUID | None, parents: Mapping[UUID, UUID | None]) -> tuple[UUID, ...]:
    """A category and those above it, nearest first; a circle ends where it closes."""
    found: list[UUID] = []
    each = category_id
    while each is not None and each not in found:
        found.append(each)
        each = parents.get(each)
    return tuple(found)


FactsGathering = Generator[Lookup, Sequence[Any], Facts]


def gather_facts(terms: Terms, basket: Basket) -> FactsGathering:
    """What there is about the products of a basket, for the terms of its customer."""
    chain = chain_of(terms, basket)
    product_ids = tuple(dict.fromkeys(line.product_id for line in basket.lines))
    keys = keys_of(product_ids)
    products: dict[UUID, Product] = {each.id: each for each in (yield Lookup(Product, ("id",), keys))}
    parents = yield from _gather_parents(products.values())
    on_lists = tuple((used.price_list.id, product_id) for used in chain.used for product_id in product_ids)
    of_both = ("price_list_id", "product_id")
    entries = (yield Lookup(PriceEntry, of_both, on_lists)) if on_lists else ()
    list_rules = (yield Lookup(ListQuantityRule, of_both, on_lists)) if on_lists else ()
    product_rules = yield Lookup(ProductQuantityRule, ("product_id",), keys)
    of_customer = tuple((terms.customer.id, product_id) for product_id in product_ids)
    agreed = yield Lookup(AgreedPrice, ("customer_id", "product_id"), of_customer)
    targets = yield from _gather_targets(terms, basket, keys, parents)
    gifts = {each.product_id for each in targets if each.role is TargetRole.GIFT and each.product_id is not None} - products.keys()
    if gifts:
        products |= {each.id: each for each in (yield Lookup(Product, ("id",), keys_of(gifts)))}
    by_hand = any(line.manual is not None for line in basket.lines)
    limits = (yield Lookup(DiscountLimit, (), ((),))) if by_hand else ()
    floors = (yield Lookup(PriceFloor, ("product_id",), keys)) if by_hand else ()
    return Facts(
        terms=terms,
        chain=chain,
        products=products,
        parents=parents,
        agreed=grouped(agreed, "product_id"),
        entries=grouped(entries, "product_id"),
        product_rules=grouped(product_rules, "product_id"),
        list_rules=grouped(list_rules, "product_id"),
        targets=grouped(targets, "promotion_id"),
        limits=tuple(limits),
        floors=grouped(floors, "product_id"),
    )


def _gather_parents(products: Iterable[Product]) -> Generator[Lookup, Sequence[Any], dict[UUID, UUID | None]]:
    """The parent of each category that the products are in, up to the roots: one look-up a level."""
    parents: dict[UUID, UUID | None] = {}
    asked = {each.category_id for each in products if each.category_id is not None}
    while asked:
        found = yield Lookup(Category, ("id",), keys_of(asked))
        parents |= dict.fromkeys(asked)
        parents |= {each.id: each.parent_id for each in found}
        asked = {each.parent_id for each in found if each.parent_id is not None} - parents.keys()
    return parents


def _gather_targets(
    terms: Terms, basket: Basket, products: tuple[tuple[Any, ...], ...], parents: dict[UUID, UUID | None]
) -> Generator[Lookup, Sequence[Any], list[PromotionTarget]]:
    """The targets that the basket's products match, and all of promotions of several roles that are about the basket."""
    live = {each.id: each for each in terms.promotions if is_live(each, basket.instant_ms)}
    if not any(each.reach is Reach.TARGETS or each.kind in _OF_MANY_ROLES for each in live.values()):
        return []
    found: dict[UUID, PromotionTarget] = {each.id: each for each in (yield Lookup(PromotionTarget, ("product_id",), products))}
    if parents:
        found |= {each.id: each for each in (yield Lookup(PromotionTarget, ("category_id",), keys_of(parents)))}
    touched = {each.promotion_id for each in found.values()} | {each.id for each in live.values() if each.reach is Reach.ALL}
    several = sorted(each for each in touched if each in live and live[each].kind in _OF_MANY_ROLES)
    if several:
        keys = tuple((each, role) for each in several for role in _NOT_BOUGHT)
        found |= {each.id: each for each in (yield Lookup(PromotionTarget, ("promotion_id", "role"), keys))}
    return [each for each in found.values() if each.promotion_id in live]

"""What makes the demo company's prices besides its lists: value added tax, offers, contracts, packs and limits."""

from collections.abc import Iterator
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from server.demo.accounts import Accounts
from server.demo.catalogue import Article, Catalogue
from server.demo.past_prices import price_list_order
from server.demo.seeds import Dice
from sync_protocol.entities.customers import CustomerStatus
from sync_protocol.entities.pricing import AgreedPrice, AgreementSource, DiscountLimit, ProductQuantityRule, Strength
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
from sync_protocol.values import BASIS_POINTS, PARTS_PER_MILLION

VAT_PERCENT: Final = (("NL", 21), ("BE", 21), ("DE", 19), ("GB", 20))
REP_DISCOUNT_BASIS_POINTS: Final = 1_000
"""A tenth is what a rep may take off a line before a manager must agree."""
_CONTRACTS: Final = 12
_CONTRACT_LINES: Final = 5
_CONTRACT_RATE: Final = 7_500
_CONTRACT_QUANTITY: Final = 500
_OFFER_DAYS: Final = 60
_DAY_MS: Final = 86_400_000


class OfferTerms(NamedTuple):
    """An offer on a category: a percentage, one that grows with the quantity, or one more for so many."""

    code: str
    name: str
    category: str
    basis_points: int = 0
    tiers: tuple[tuple[int, int], ...] = ()
    buy_quantity: int | None = None


OFFERS: Final = (
    OfferTerms("SHOWERS", "Shower weeks: 12 % off", "SAN-SHW", 1_200),
    OfferTerms("DUCTS", "Ducts by the pallet", "VEN-DUC", tiers=((50, 300), (200, 600), (500, 1_000))),
    OfferTerms("TAPS-11", "Eleven taps for ten", "SAN-TAP", BASIS_POINTS, buy_quantity=10),
)


class PriceBook(msgspec.Struct, frozen=True, kw_only=True):
    """The rows by entity, each in the order in which they were made."""

    tax_rates: tuple[TaxRate, ...]
    promotions: tuple[Promotion, ...]
    targets: tuple[PromotionTarget, ...]
    tiers: tuple[PromotionTier, ...]
    agreed_prices: tuple[AgreedPrice, ...]
    quantity_rules: tuple[ProductQuantityRule, ...]
    discount_limits: tuple[DiscountLimit, ...]


def make_price_book(dice: Dice, catalogue: Catalogue, accounts: Accounts, *, as_of_ms: int) -> PriceBook:
    """The whole, the same for the same dice."""
    categories = {category.code: category.id for category in catalogue.categories}
    offers = [_offer(dice, terms, categories[terms.category], as_of_ms) for terms in OFFERS]
    return PriceBook(
        tax_rates=tuple(_tax_rate(dice, country, percent) for country, percent in VAT_PERCENT),
        promotions=tuple(promotion for promotion, _, _ in offers),
        targets=tuple(target for _, targets, _ in offers for target in targets),
        tiers=tuple(tier for _, _, tiers in offers for tier in tiers),
        agreed_prices=tuple(_contracts(dice, catalogue, accounts, as_of_ms)),
        quantity_rules=tuple(_packed(dice, article) for article in catalogue.articles if article.pack >= 20),
        discount_limits=(DiscountLimit(id=dice.id(), role="rep", discount_basis_points=REP_DISCOUNT_BASIS_POINTS),),
    )


def _tax_rate(dice: Dice, country: str, percent: int) -> TaxRate:
    return TaxRate(
        id=dice.id(),
        jurisdiction=country,
        customer_tax_code="standard",
        product_tax_code="standard",
        name="VAT",
        rate_ppm=percent * PARTS_PER_MILLION // 100,
    )


def _offer(
    dice: Dice, terms: OfferTerms, category_id: UUID, as_of_ms: int
) -> tuple[Promotion, list[PromotionTarget], list[PromotionTier]]:
    kind = PromotionKind.VOLUME_TIERS if terms.tiers else PromotionKind.PERCENT
    promotion = Promotion(
        id=dice.id(),
        code=terms.code,
        name=terms.name,
        phase=PromotionPhase.LINE,
        kind=PromotionKind.BUY_X_GET_Y if terms.buy_quantity else kind,
        status=PromotionStatus.ACTIVE,
        priority=10,
        stacking=Stacking.STACKABLE,
        audience=Audience.EVERYONE,
        reach=Reach.TARGETS,
        valid_from_ms=as_of_ms - _OFFER_DAYS * _DAY_MS,
        valid_until_ms=as_of_ms + _OFFER_DAYS * _DAY_MS,
        value_basis_points=terms.basis_points or None,
        buy_quantity=terms.buy_quantity,
        get_quantity=1 if terms.buy_quantity else None,
    )
    roles = (TargetRole.BUY, TargetRole.GET) if terms.buy_quantity else (TargetRole.BUY,)
    targets = [PromotionTarget(id=dice.id(), promotion_id=promotion.id, role=role, category_id=category_id) for role in roles]
    tiers = [
        PromotionTier(id=dice.id(), promotion_id=promotion.id, min_quantity=quantity, value_basis_points=basis_points)
        for quantity, basis_points in terms.tiers
    ]
    return promotion, targets, tiers


def _contracts(dice: Dice, catalogue: Catalogue, accounts: Accounts, as_of_ms: int) -> Iterator[AgreedPrice]:
    """Large customers of a list of their own have a contract on some articles, with so much left to buy."""
    currencies = {price_list.id: price_list.currency for price_list in catalogue.price_lists}
    large = [
        account
        for account in accounts.accounts
        if account.customer.status is CustomerStatus.ACTIVE and account.customer.price_list_id is not None
    ]
    sold = [article for article in catalogue.articles if article.pack > 1]
    for number, account in enumerate(sorted(large, key=lambda each: -each.size)[:_CONTRACTS], start=1):
        currency = currencies[price_list_order(account.customer, account.territory)[0]]
        for article in dice.sample(sold, _CONTRACT_LINES):
            yield AgreedPrice(
                id=dice.id(),
                customer_id=account.customer.id,
                product_id=article.product.id,
                source=AgreementSource.CONTRACT,
                reference=f"CT-{number:03}",
                currency=currency,
                min_quantity=1,
                unit_price=article.unit_price * _CONTRACT_RATE // BASIS_POINTS,
                remaining_quantity=_CONTRACT_QUANTITY * dice.between(1, 10),
                valid_from_ms=as_of_ms - 180 * _DAY_MS,
                valid_until_ms=as_of_ms + 180 * _DAY_MS,
            )


def _packed(dice: Dice, article: Article) -> ProductQuantityRule:
    """Small things are best taken by the box; nobody is made to."""
    return ProductQuantityRule(
        id=dice.id(), product_id=article.product.id, strength=Strength.RECOMMENDED, multiple_quantity=article.pack
    )

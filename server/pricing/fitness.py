"""What limits cannot say of a row: whether its parts make sense together and beside what is there already. Pure."""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from server.identity.principals import Role
from server.pricing.computed_prices import is_computed
from server.pricing.computed_rows import MarginRule
from server.pricing.promotion_fitness import (
    audience_faults,
    exclusion_faults,
    promotion_faults,
    target_faults,
    tier_faults,
)
from server.pricing.surroundings import Surroundings
from sync_protocol.entities.pricing import (
    AgreedPrice,
    CustomerPriceList,
    DiscountLimit,
    ListQuantityRule,
    PriceFloor,
    PriceList,
    ProductQuantityRule,
)
from sync_protocol.entities.promotions import (
    Promotion,
    PromotionAudience,
    PromotionExclusion,
    PromotionTarget,
    PromotionTier,
)
from sync_protocol.entities.taxes import TaxExemption, TaxRate
from sync_protocol.values import Row

Faults = Iterator[tuple[str, str]]

_JURISDICTION: Final = re.compile(r"[A-Z]{2}(-\S(.*\S)?)?")
_UUID_VERSION: Final = 7


def faults_of(row: Row, around: Surroundings) -> dict[str, str]:
    """Each field that makes no sense, with its remedy; the first fault of a field."""
    found: dict[str, str] = {}
    for field, remedy in (*_common_faults(row, around), *_own_faults(row, around)):
        found.setdefault(field, remedy)
    return found


def _common_faults(row: Row, around: Surroundings) -> Faults:
    if around.former is None and row.id.version != _UUID_VERSION:
        yield "id", "is no UUID of version 7; make one, or leave it out of a POST and take the server's"
    for name in row.__struct_fields__:
        if getattr(row, name) == "":
            yield name, "is blank; give a text"
    until_ms = getattr(row, "valid_until_ms", None)
    if until_ms is not None and until_ms <= getattr(row, "valid_from_ms", 0):
        yield "valid_until_ms", "is not after valid_from_ms, so it would never be valid; give a later instant, or none"


def _own_faults(row: Row, around: Surroundings) -> Faults:
    judge = _JUDGES.get(type(row))
    return judge(row, around) if judge is not None else iter(())


def _list_faults(price_list: PriceList, around: Surroundings) -> Faults:
    former = around.former
    if isinstance(former, PriceList) and former.currency != price_list.currency and around.has_entries:
        yield "currency", f"is {former.currency} and its prices would change with it; make another list"
    if price_list.order_minimum_minor is not None and price_list.order_minimum_minor < 0:
        yield "order_minimum_minor", "is below 0; give 0 or more, or none"


def _address_faults(row: CustomerPriceList | AgreedPrice, around: Surroundings) -> Faults:
    if around.address_owner_id is not None and around.address_owner_id != row.customer_id:
        yield "address_id", "is an address of another customer; name one of this customer's, or none"


def _agreed_faults(agreed: AgreedPrice, around: Surroundings) -> Faults:
    yield from _address_faults(agreed, around)
    former = around.former
    is_kept = isinstance(former, AgreedPrice) and former.remaining_quantity == agreed.remaining_quantity
    if agreed.remaining_quantity is not None and agreed.remaining_quantity < 0 and not is_kept:
        yield "remaining_quantity", "is below 0; give 0 or more, or none where there is no limit"


def _rule_faults(rule: ProductQuantityRule | ListQuantityRule, _around: Surroundings) -> Faults:
    if rule.minimum_quantity is None and rule.multiple_quantity is None and rule.pack_quantity is None:
        yield "minimum_quantity", "is missing, as are multiple_quantity and pack_quantity; a rule needs one of them"


def _limit_faults(limit: DiscountLimit, _around: Surroundings) -> Faults:
    if limit.role not in {str(role) for role in Role}:
        yield "role", f"is none of {', '.join(Role)}; give one of them"
    elif limit.rep_id is not None and limit.role != Role.REP:
        yield "rep_id", f"does not go with the role {limit.role}; leave it out, or give the role rep"


def _jurisdiction_faults(row: TaxRate | TaxExemption, _around: Surroundings) -> Faults:
    if not _JURISDICTION.fullmatch(row.jurisdiction):
        yield "jurisdiction", "is no country such as DE, and no region of one such as US-CA; write it like these"


def _margin_faults(rule: MarginRule, _around: Surroundings) -> Faults:
    if rule.product_id is not None and rule.category_id is not None:
        yield "category_id", "does not go with product_id; make two rules of it"


def _floor_faults(_floor: PriceFloor, around: Surroundings) -> Faults:
    if isinstance(around.former, PriceFloor) and is_computed(around.former):
        yield "id", "is that of a floor computed of cost and margin; make another for this product, which takes its place"


_JUDGES: Final[dict[type[Row], Callable[[Any, Surroundings], Faults]]] = {
    PriceList: _list_faults,
    CustomerPriceList: _address_faults,
    AgreedPrice: _agreed_faults,
    ProductQuantityRule: _rule_faults,
    ListQuantityRule: _rule_faults,
    DiscountLimit: _limit_faults,
    PriceFloor: _floor_faults,
    MarginRule: _margin_faults,
    TaxRate: _jurisdiction_faults,
    TaxExemption: _jurisdiction_faults,
    Promotion: promotion_faults,
    PromotionTarget: target_faults,
    PromotionTier: tier_faults,
    PromotionExclusion: exclusion_faults,
    PromotionAudience: audience_faults,
}

"""Which values each kind of promotion reads in each phase, after P-54 to P-63 of docs/PRICING.md."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from sync_protocol.entities.promotions import PromotionKind, PromotionPhase, TargetRole

VALUES: Final = (
    *("value_basis_points", "value_unit_price", "value_minor", "buy_quantity", "get_quantity", "repeats_max"),
    *("min_amount_minor", "cap_minor", "budget_minor"),
)
"""All fields of a promotion that some kinds read and others do not."""
MONEY: Final = ("value_unit_price", "value_minor", "min_amount_minor", "cap_minor", "budget_minor")
"""Those of them that mean nothing without a currency."""
_LIMITS: Final = ("cap_minor", "budget_minor")
_THRESHOLDS: Final = ("buy_quantity", "min_amount_minor")


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What a kind in a phase needs: all of `needs`, one of `one_of`; besides it takes `takes`.

    `tier_field` is by what its tiers are reached; `role` is that of targets without which it gives nothing.
    """

    needs: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    tier_field: str | None = None
    role: TargetRole | None = None

    @property
    def reads(self) -> frozenset[str]:
        return frozenset((*self.needs, *self.one_of, *self.takes))


_LINE: Final = {
    PromotionKind.PERCENT: Reading(needs=("value_basis_points",), takes=(*_THRESHOLDS, *_LIMITS)),
    PromotionKind.AMOUNT: Reading(needs=("value_unit_price",), takes=(*_THRESHOLDS, *_LIMITS)),
    PromotionKind.FIXED_PRICE: Reading(needs=("value_unit_price",), takes=(*_THRESHOLDS, *_LIMITS)),
    PromotionKind.VOLUME_TIERS: Reading(takes=_LIMITS, tier_field="min_quantity"),
    PromotionKind.BUY_X_GET_Y: Reading(
        needs=("buy_quantity", "get_quantity", "value_basis_points"), takes=("repeats_max", *_LIMITS)
    ),
    PromotionKind.FREE_GOODS: Reading(needs=("buy_quantity",), takes=("repeats_max", "budget_minor"), role=TargetRole.GIFT),
    PromotionKind.BUNDLE: Reading(
        one_of=("value_minor", "value_basis_points"), takes=("repeats_max", *_LIMITS), role=TargetRole.PART
    ),
}
_ORDER: Final = {
    PromotionKind.PERCENT: Reading(needs=("value_basis_points",), takes=(*_THRESHOLDS, *_LIMITS)),
    PromotionKind.AMOUNT: Reading(needs=("value_minor",), takes=(*_THRESHOLDS, *_LIMITS)),
    PromotionKind.VOLUME_TIERS: Reading(takes=_LIMITS, tier_field="min_amount_minor"),
}
_FREIGHT: Final = {
    PromotionKind.PERCENT: Reading(needs=("value_basis_points",), takes=("min_amount_minor", *_LIMITS)),
    PromotionKind.AMOUNT: Reading(needs=("value_minor",), takes=("min_amount_minor", *_LIMITS)),
    PromotionKind.FIXED_PRICE: Reading(needs=("value_minor",), takes=("min_amount_minor", *_LIMITS)),
}
READINGS: Final[Mapping[PromotionPhase, Mapping[PromotionKind, Reading]]] = MappingProxyType(
    {PromotionPhase.LINE: _LINE, PromotionPhase.ORDER: _ORDER, PromotionPhase.FREIGHT: _FREIGHT}
)
ROLES: Final = MappingProxyType(
    {
        TargetRole.GET: (PromotionKind.BUY_X_GET_Y,),
        TargetRole.GIFT: (PromotionKind.FREE_GOODS,),
        TargetRole.PART: (PromotionKind.BUNDLE,),
        TargetRole.BUY: tuple(kind for kind in PromotionKind if kind is not PromotionKind.BUNDLE),
    }
)
"""The kinds that read targets of a role."""

"""From when until when a row holds (P-5)."""

from typing import Protocol

from sync_protocol.entities.promotions import Promotion, PromotionStatus
from sync_protocol.rules.pricing.explanation import Fate
from sync_protocol.values import Instant


class Dated(Protocol):
    """A row with a validity: from an instant on, until just before another where there is one."""

    @property
    def valid_from_ms(self) -> Instant: ...

    @property
    def valid_until_ms(self) -> Instant | None: ...


def is_valid(row: Dated, instant_ms: int) -> bool:
    """Whether a row holds at an instant."""
    return row.valid_from_ms <= instant_ms and (row.valid_until_ms is None or instant_ms < row.valid_until_ms)


def is_live(promotion: Promotion, instant_ms: int) -> bool:
    """Whether a promotion is given at an instant, to whomever (P-50)."""
    return promotion.status is PromotionStatus.ACTIVE and is_valid(promotion, instant_ms)


def invalidity(row: Dated, instant_ms: int) -> Fate | None:
    """Why a row does not hold at an instant; None where it does."""
    if instant_ms < row.valid_from_ms:
        return Fate.NOT_YET_VALID
    return Fate.EXPIRED if row.valid_until_ms is not None and row.valid_until_ms <= instant_ms else None

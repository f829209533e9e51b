"""What orders take of prices that were agreed on for so many (P-21)."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final
from uuid import UUID

import msgspec

from sync_protocol.entities.orders import OrderLine, PriceSource
from sync_protocol.entities.pricing import AgreedPrice

AGREED: Final = frozenset({PriceSource.QUOTE, PriceSource.CONTRACT})


def used_by(lines: Iterable[OrderLine]) -> Counter[UUID]:
    """Base units that lines bought, by the agreed price that they bought them at."""
    used: Counter[UUID] = Counter()
    for line in lines:
        if line.price_source in AGREED and line.price_rule_id is not None:
            used[line.price_rule_id] += line.quantity
    return used


def with_given_back(agreed: Iterable[AgreedPrice], given_back: Mapping[UUID, int]) -> list[AgreedPrice]:
    """The agreed prices as they would be if so many base units had not been bought."""
    return [
        msgspec.structs.replace(each, remaining_quantity=each.remaining_quantity + given_back[each.id])
        if each.remaining_quantity is not None and given_back.get(each.id)
        else each
        for each in agreed
    ]

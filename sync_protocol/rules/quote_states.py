"""The life of a negotiated quote, as data. Both ends read the same table; nothing else may say where one can go."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from sync_protocol.entities.quotes import NegotiatedQuote, QuoteStatus


class Side(StrEnum):
    """Who takes a step: the customer, or its rep for it; the office; or the server's own rules."""

    CUSTOMER = "customer"
    OFFICE = "office"
    SERVER = "server"


_CUSTOMER: Final = frozenset({Side.CUSTOMER})
_OFFICE: Final = frozenset({Side.OFFICE})
_SERVER: Final = frozenset({Side.SERVER})

_OPEN_TO_THE_OFFICE: Final = {
    QuoteStatus.OFFERED: _OFFICE,
    QuoteStatus.ACCEPTED: _OFFICE,
    QuoteStatus.REFUSED: _OFFICE,
    QuoteStatus.COUNTERED: _CUSTOMER,
    QuoteStatus.WITHDRAWN: _CUSTOMER,
}

TRANSITIONS: Final[Mapping[QuoteStatus, Mapping[QuoteStatus, frozenset[Side]]]] = MappingProxyType(
    {
        QuoteStatus.REQUESTED: _OPEN_TO_THE_OFFICE,
        QuoteStatus.OFFERED: {
            QuoteStatus.OFFERED: _OFFICE,
            QuoteStatus.REFUSED: _OFFICE,
            QuoteStatus.COUNTERED: _CUSTOMER | _SERVER,
            QuoteStatus.ACCEPTED: _CUSTOMER,
            QuoteStatus.WITHDRAWN: _CUSTOMER,
            QuoteStatus.EXPIRED: _SERVER,
        },
        QuoteStatus.COUNTERED: _OPEN_TO_THE_OFFICE,
        QuoteStatus.ACCEPTED: {QuoteStatus.ORDERED: _SERVER},
        QuoteStatus.ORDERED: {QuoteStatus.ACCEPTED: _SERVER},
        QuoteStatus.EXPIRED: {
            QuoteStatus.OFFERED: _OFFICE,
            QuoteStatus.COUNTERED: _CUSTOMER | _SERVER,
            QuoteStatus.WITHDRAWN: _CUSTOMER,
        },
        QuoteStatus.REFUSED: {},
        QuoteStatus.WITHDRAWN: {},
    }
)


def may_step(side: Side, source: QuoteStatus, target: QuoteStatus) -> bool:
    """Whether the table lets `side` move a quote from `source` to `target`; nobody, from a state of a newer server."""
    return side in TRANSITIONS.get(source, {}).get(target, frozenset())


def has_run_out(quote: NegotiatedQuote, instant_ms: int) -> bool:
    """Whether what was offered does not hold any more at this instant of the server's clock."""
    return quote.valid_until_ms is not None and instant_ms >= quote.valid_until_ms


def standing_at(quote: NegotiatedQuote, instant_ms: int) -> QuoteStatus:
    """Where a quote stands at an instant, also before the server has written down that it ran out."""
    may_expire = may_step(Side.SERVER, quote.status, QuoteStatus.EXPIRED)
    return QuoteStatus.EXPIRED if may_expire and has_run_out(quote, instant_ms) else quote.status

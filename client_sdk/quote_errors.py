"""What cannot be asked about a quote. The tree of all errors is in `client_sdk/errors.py`."""

from datetime import UTC, datetime, timedelta
from typing import Final

from client_sdk.errors import InvalidEntryError, OrderingError
from sync_protocol.entities.quotes import QuoteStatus

_REMEDIES: Final = {
    QuoteStatus.REQUESTED: "wait for the office's answer, counter or withdraw it",
    QuoteStatus.OFFERED: "accept, counter or withdraw it",
    QuoteStatus.COUNTERED: "wait for the office's answer, counter again or withdraw it",
    QuoteStatus.ACCEPTED: "order it, or ask for a new quote",
    QuoteStatus.ORDERED: "look at its order, and ask for a new quote where more is wanted",
    QuoteStatus.REFUSED: "ask for a new quote",
    QuoteStatus.WITHDRAWN: "ask for a new quote",
    QuoteStatus.EXPIRED: "counter it, or ask for a new quote",
}


class QuoteStateError(OrderingError):
    """Where the quote stands does not allow this."""

    def __init__(self, number: str, standing: QuoteStatus, target: QuoteStatus) -> None:
        remedy = _REMEDIES.get(standing, "this app is too old to know that, update it or call the office")
        super().__init__(f"quote {number} is {standing} and cannot become {target}: {remedy}")
        self.number = number
        self.standing = standing
        self.target = target


class QuoteRanOutError(OrderingError):
    """What was offered or agreed in a quote does not hold any more; it did until just before `valid_until_ms`."""

    def __init__(self, number: str, valid_until_ms: int) -> None:
        until = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=valid_until_ms)
        super().__init__(
            f"the prices of quote {number} held until {until:%Y-%m-%d %H:%M} UTC: counter it where that is possible, or ask for a "
            "new quote"
        )
        self.number = number
        self.valid_until_ms = valid_until_ms


class QuoteUnpricedError(OrderingError):
    """A line of the quote has no offered price."""

    def __init__(self, number: str, skus: tuple[str, ...]) -> None:
        named = ", ".join(skus) or "its lines"
        super().__init__(f"quote {number} has no offered price for {named}: sync and look again, or counter it without them")
        self.number = number
        self.skus = skus


class QuoteUsedUpError(OrderingError):
    """What was agreed in a quote was ordered already."""

    def __init__(self, number: str) -> None:
        super().__init__(
            f"the quantities agreed in quote {number} are used up, or their prices not on this device: sync and look again, or ask "
            "for a new quote"
        )
        self.number = number


class QuoteEntryError(InvalidEntryError):
    """What is asked a quote for cannot be quoted."""

    def __init__(self, field: str, fault: str) -> None:
        super().__init__(f"{field}: {fault}")
        self.field = field

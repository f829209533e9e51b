"""The rows that a step of a negotiation makes: on the server for good, on the device as its overlay until they arrive."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from sync_protocol.entities.orders import Channel
from sync_protocol.entities.pricing import AgreedPrice, AgreementSource
from sync_protocol.entities.quotes import NegotiatedQuote, NegotiatedQuoteLine, QuoteStatus
from sync_protocol.intents import CounterQuote, RequestQuote, WantedQuoteLine, WithdrawQuote
from sync_protocol.rules.pricing.amounts import gross_amount
from sync_protocol.values import minor_digits


def requested_quote(
    intent: RequestQuote, *, number: str, channel: Channel, requested_at_ms: int, time_zone: str, rep_id: UUID | None
) -> NegotiatedQuote:
    """The header of a quote that was just asked for."""
    return NegotiatedQuote(
        id=intent.quote_id,
        number=number,
        customer_id=intent.customer_id,
        status=QuoteStatus.REQUESTED,
        channel=channel,
        currency=intent.currency,
        requested_at_ms=requested_at_ms,
        time_zone=time_zone,
        rep_id=rep_id,
        address_id=intent.address_id,
        note=intent.note,
    )


def wanted_rows(
    quote: NegotiatedQuote, lines: Sequence[WantedQuoteLine], list_prices: Mapping[UUID, tuple[int, int]]
) -> tuple[NegotiatedQuoteLine, ...]:
    """The lines of a quote as its customer wants them, numbered from 1.

    `list_prices` says of a line what it costs otherwise, and for how many base units: where the line does not say that itself, it
    is also for how many its price will be.
    """
    rows = []
    for place, line in enumerate(lines, start=1):
        listed, per_quantity = list_prices.get(line.line_id, (None, 1))
        if line.wanted_unit_price is not None or line.per_quantity > 1:
            listed, per_quantity = listed if per_quantity == line.per_quantity else None, line.per_quantity
        rows.append(
            NegotiatedQuoteLine(
                id=line.line_id,
                quote_id=quote.id,
                customer_id=quote.customer_id,
                line_number=place,
                product_id=line.product_id,
                quantity=line.quantity,
                per_quantity=per_quantity,
                list_unit_price=listed,
                wanted_unit_price=line.wanted_unit_price,
            )
        )
    return tuple(rows)


def stepped(quote: NegotiatedQuote, status: QuoteStatus, **changed: Any) -> NegotiatedQuote:
    """The header after one more round, with what else the step changes."""
    return msgspec.structs.replace(quote, status=status, revision=quote.revision + 1, **changed)


def is_in_whole(line: WantedQuoteLine) -> bool:
    """Whether the quantity is a multiple of the base units that the price is to be for: else it would never be paid (P-21)."""
    return line.quantity % line.per_quantity == 0


def is_promised(line: NegotiatedQuoteLine, agreed: AgreedPrice | None) -> bool:
    """Whether all of an accepted line can still be bought at its agreed price."""
    return agreed is not None and (agreed.remaining_quantity is None or agreed.remaining_quantity >= line.quantity)


def countered(quote: NegotiatedQuote, intent: CounterQuote) -> NegotiatedQuote:
    """The header after the customer's side asked for something else. What was offered before is off the table."""
    return stepped(quote, QuoteStatus.COUNTERED, note=intent.note, valid_until_ms=None)


def withdrawn(quote: NegotiatedQuote, intent: WithdrawQuote) -> NegotiatedQuote:
    """The header after the customer's side gave it up; without a reason what it said last stays."""
    return stepped(quote, QuoteStatus.WITHDRAWN, note=intent.reason or quote.note)


def accepted_late(
    quote: NegotiatedQuote, lines: Sequence[NegotiatedQuoteLine]
) -> tuple[NegotiatedQuote, tuple[NegotiatedQuoteLine, ...]]:
    """What becomes of an offer that was accepted after it ran out: the customer's word is kept as a wish at the offered prices."""
    header = stepped(quote, QuoteStatus.COUNTERED, valid_until_ms=None)
    wanted = tuple(
        msgspec.structs.replace(line, wanted_unit_price=line.offered_unit_price, offered_unit_price=None) for line in lines
    )
    return header, wanted


def agreed_prices(quote: NegotiatedQuote, lines: Sequence[NegotiatedQuoteLine]) -> tuple[AgreedPrice, ...]:
    """The prices that an accepted quote promises, each for the quantity it was made for and until the offer would have run out.

    They have the ids of their lines, so that a device that accepts without a network prices by the very rows that will come.
    """
    return tuple(
        AgreedPrice(
            id=line.id,
            customer_id=quote.customer_id,
            product_id=line.product_id,
            source=AgreementSource.QUOTE,
            reference=quote.number,
            currency=quote.currency,
            min_quantity=line.quantity,
            unit_price=line.offered_unit_price,
            per_quantity=line.per_quantity,
            address_id=quote.address_id,
            remaining_quantity=line.quantity,
            valid_until_ms=quote.valid_until_ms,
        )
        for line in lines
        if line.offered_unit_price is not None
    )


def named_amount(quote: NegotiatedQuote, lines: Sequence[NegotiatedQuoteLine]) -> int | None:
    """What the lines come to in minor units at the prices named last: those offered, or those wanted; None where one has none."""
    amounts = []
    for line in lines:
        price = line.offered_unit_price if line.offered_unit_price is not None else line.wanted_unit_price
        if price is None:
            return None
        amounts.append(gross_amount(price, line.per_quantity, line.quantity, minor_digits(quote.currency)))
    return sum(amounts)

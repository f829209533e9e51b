"""What a device says of the price of a line, so that the server can tell whether it was right."""

from collections.abc import Sequence
from uuid import UUID

from sync_protocol.intents import RULES_MAX, ManualPrice, QuotedGift, RequestedLine
from sync_protocol.rules.pricing.engine import line_digest
from sync_protocol.rules.pricing.explanation import BasketPrice, LinePrice


def rule_ids(line: LinePrice) -> tuple[UUID, ...]:
    """The rows that made a price: what won, then each step and each tax; the first `RULES_MAX` of them."""
    made = [line.rule_id, *(step.rule_id for step in line.steps), *(part.rule_id for part in line.taxes)]
    return tuple(dict.fromkeys(each for each in made if each is not None))[:RULES_MAX]


def quoted_line(line: LinePrice, manual: ManualPrice | None) -> RequestedLine:
    """A priced line as it is asked for, with its proof. A line without a price is quoted at nothing, for the server to refuse."""
    return RequestedLine(
        line_id=line.line_id,
        product_id=line.product_id,
        quantity=line.quantity,
        unit_price=line.unit_price or 0,
        per_quantity=line.per_quantity,
        pack_quantity=line.pack_quantity,
        manual=manual,
        amount_minor=line.amount_minor,
        tax_minor=line.tax_minor,
        rule_ids=rule_ids(line),
        digest=line_digest(line),
    )


def quoted_gifts(price: BasketPrice) -> tuple[QuotedGift, ...]:
    """What a basket is given for nothing, as it is asked for."""
    return tuple(
        QuotedGift(line_id=gift.line_id, product_id=gift.product_id, quantity=gift.quantity, promotion_id=gift.rule_id)
        for gift in price.gifts
        if gift.rule_id is not None
    )


def is_proved(asked: Sequence[RequestedLine], price: BasketPrice) -> bool:
    """Whether every line was quoted at just this price, for just these reasons."""
    return all(quoted.digest == line_digest(line) for quoted, line in zip(asked, price.lines, strict=True))

"""What the server decided of an intent, for ever.

`Code` is listed in order of precedence. Where several rejections apply only the first is given; holds and changes are
given all, in this order. docs/PROTOCOL.md has a section for each code; `REMEDIES` is what the user can do about it.

A code that came after protocol 1 stands in `SINCE`, with an older code in `FALLBACKS` that says nearly the same to a device
that does not know it. Verdicts are stored as they were decided and translated when they are sent.
"""

from enum import StrEnum
from types import MappingProxyType
from typing import Final
from uuid import UUID

import msgspec

from sync_protocol.values import Instant


class Outcome(StrEnum):
    """The four kinds of verdict."""

    ACCEPTED = "accepted"
    ACCEPTED_WITH_CHANGES = "accepted_with_changes"
    HELD = "held"
    REJECTED = "rejected"


class Code(StrEnum):
    """Why a verdict is not a plain «accepted», in order of precedence."""

    QUARANTINED = "quarantined"
    MALFORMED = "malformed"
    TOO_OLD = "too_old"
    HANDED_OVER = "handed_over"
    NOT_PERMITTED = "not_permitted"
    DEPENDENCY_REFUSED = "dependency_refused"
    UNKNOWN_TERRITORY = "unknown_territory"
    CUSTOMER_EXISTS = "customer_exists"
    UNKNOWN_CUSTOMER = "unknown_customer"
    CUSTOMER_CLOSED = "customer_closed"
    ORDER_EXISTS = "order_exists"
    UNKNOWN_ORDER = "unknown_order"
    ORDER_STATE_FORBIDS = "order_state_forbids"
    ORDER_CHANGED_MEANWHILE = "order_changed_meanwhile"
    QUOTE_EXISTS = "quote_exists"
    UNKNOWN_QUOTE = "unknown_quote"
    QUOTE_STATE_FORBIDS = "quote_state_forbids"
    QUOTE_CHANGED_MEANWHILE = "quote_changed_meanwhile"
    UNKNOWN_ADDRESS = "unknown_address"
    UNKNOWN_PRODUCT = "unknown_product"
    PRODUCT_DISCONTINUED = "product_discontinued"
    NO_PRICE = "no_price"
    QUANTITY_NOT_SOLD = "quantity_not_sold"
    ORDER_BELOW_MINIMUM = "order_below_minimum"
    CURRENCY_DIFFERS = "currency_differs"
    TOTAL_TOO_LARGE = "total_too_large"
    CUSTOMER_ON_HOLD = "customer_on_hold"
    CUSTOMER_IS_PROSPECT = "customer_is_prospect"
    ABOVE_REVIEW_LIMIT = "above_review_limit"
    MANUAL_PRICE_ABOVE_LIMIT = "manual_price_above_limit"
    BELOW_FLOOR = "below_floor"
    PRICE_TO_APPROVE = "price_to_approve"
    QUOTE_EXPIRED = "quote_expired"
    ROUTED = "routed"
    NUMBER_CHANGED = "number_changed"
    PRICE_CHANGED = "price_changed"
    AMOUNT_CHANGED = "amount_changed"
    TAX_CHANGED = "tax_changed"
    GIFTS_CHANGED = "gifts_changed"
    PRICE_HONOURED = "price_honoured"
    BACKORDERED = "backordered"


PRECEDENCE: Final = MappingProxyType({code: place for place, code in enumerate(Code)})

REMEDIES: Final = MappingProxyType(
    {
        Code.QUARANTINED: "The server failed on this five times and set it aside for support. Nothing to do; it is not lost.",
        Code.MALFORMED: "The request breaks the protocol. Update the app, then enter it again.",
        Code.TOO_OLD: "It waited so long that it may have been taken before. Look for the order; if it is not there, submit again.",
        Code.HANDED_OVER: "The customer was handed over to another rep before you took this. Pass it on to the new rep.",
        Code.NOT_PERMITTED: "It is outside your territory or role. Ask your manager to assign it to you.",
        Code.DEPENDENCY_REFUSED: "It needs something that was refused before. Mend that first, then submit this again.",
        Code.UNKNOWN_TERRITORY: "The territory is not one of yours any more. Sync, choose another and enter it again.",
        Code.CUSTOMER_EXISTS: "A customer with this id exists already. Sync and use that one.",
        Code.UNKNOWN_CUSTOMER: "The server has no such customer, or not yet. Sync, and submit again or choose another.",
        Code.CUSTOMER_CLOSED: "The account is closed. Ask your manager to reopen it, then submit again.",
        Code.ORDER_EXISTS: "An order with this id exists already. Amend that one.",
        Code.UNKNOWN_ORDER: "The order is not known to the server. Submit it again as a new order.",
        Code.ORDER_STATE_FORBIDS: "The order has moved on and cannot be changed. Call the office.",
        Code.ORDER_CHANGED_MEANWHILE: "The order was changed since you saw it. Sync, look at it and amend it again.",
        Code.QUOTE_EXISTS: "A quote with this id exists already. Go on with that one.",
        Code.UNKNOWN_QUOTE: "The quote is not known to the server. Ask for it again as a new one.",
        Code.QUOTE_STATE_FORBIDS: "The quote has moved on and does not allow this. Sync, look at it and decide anew.",
        Code.QUOTE_CHANGED_MEANWHILE: "The quote was changed since you saw it. Sync, look at it and answer again.",
        Code.UNKNOWN_ADDRESS: "The delivery address was removed. Choose another and submit again.",
        Code.UNKNOWN_PRODUCT: "A product was removed from the catalogue. Remove the line and submit again.",
        Code.PRODUCT_DISCONTINUED: "A product is no longer sold. Remove or replace the line and submit again.",
        Code.NO_PRICE: "A product has no price for this customer. Remove the line or ask for a price.",
        Code.QUANTITY_NOT_SOLD: "It is not sold in this quantity. Take the nearest one that is, and submit again.",
        Code.ORDER_BELOW_MINIMUM: "The order is below the minimum. Add to it and submit again.",
        Code.CURRENCY_DIFFERS: "The customer buys in another currency now. Sync and enter the order again.",
        Code.TOTAL_TOO_LARGE: "The order's total is beyond what one order may hold. Split it.",
        Code.CUSTOMER_ON_HOLD: "The account is on hold. A manager decides; you will see it after the next sync.",
        Code.CUSTOMER_IS_PROSPECT: "The customer is not approved yet. A manager decides; you will see it after the next sync.",
        Code.ABOVE_REVIEW_LIMIT: "The order is above the account's review limit. A manager decides.",
        Code.MANUAL_PRICE_ABOVE_LIMIT: "You took more off than your limit. A manager decides; you will see it after the next sync.",
        Code.BELOW_FLOOR: "Your price is below what this product may go for. A manager decides.",
        Code.PRICE_TO_APPROVE: "The price changed since you quoted it. A manager decides whether your quotation holds.",
        Code.QUOTE_EXPIRED: "The offer ran out before your acceptance came. The office decides whether it still holds.",
        Code.ROUTED: "The customer was handed over. It waits for the new rep or a manager, who decide; it is not yours any more.",
        Code.NUMBER_CHANGED: "The number could not be kept. Tell the customer the new one.",
        Code.PRICE_CHANGED: "The price changed since you quoted it. Tell the customer, or amend or cancel the order.",
        Code.AMOUNT_CHANGED: "What a line comes to changed since you quoted it. Tell the customer, or amend or cancel the order.",
        Code.TAX_CHANGED: "The tax on a line changed since you quoted it. Tell the customer the new total.",
        Code.GIFTS_CHANGED: "What the customer gets for nothing changed since you quoted it. Tell the customer.",
        Code.PRICE_HONOURED: "The price changed since you quoted it, and your quotation holds. Nothing to do.",
        Code.BACKORDERED: "Part of it is not in stock and follows later. Tell the customer, or amend the quantity.",
    }
)

DISCARDED_BY_MANAGER: Final = "a manager discarded it"
"""How the detail of a verdict begins that a manager gave to what waited in the quarantine; the reason follows."""
_DISCARDED_REMEDY: Final = "A manager looked at it and decided so. Ask them before you enter it again."

UNKNOWN_REMEDY: Final = "This app is too old to say more. Update it, or ask the office."

SINCE: Final = MappingProxyType(
    {
        **dict.fromkeys((Code.TOO_OLD, Code.HANDED_OVER, Code.ROUTED), 2),
        **dict.fromkeys((Code.QUANTITY_NOT_SOLD, Code.ORDER_BELOW_MINIMUM), 3),
        **dict.fromkeys((Code.MANUAL_PRICE_ABOVE_LIMIT, Code.BELOW_FLOOR, Code.PRICE_TO_APPROVE), 3),
        **dict.fromkeys((Code.AMOUNT_CHANGED, Code.TAX_CHANGED, Code.GIFTS_CHANGED, Code.PRICE_HONOURED), 3),
        **dict.fromkeys((Code.QUOTE_EXISTS, Code.UNKNOWN_QUOTE, Code.QUOTE_STATE_FORBIDS, Code.QUOTE_CHANGED_MEANWHILE), 3),
        Code.QUOTE_EXPIRED: 3,
    }
)
"""The protocol version that brought a code, where it is not the first."""

FALLBACKS: Final = MappingProxyType(
    {
        Code.TOO_OLD: Code.MALFORMED,
        Code.HANDED_OVER: Code.NOT_PERMITTED,
        Code.ROUTED: Code.CUSTOMER_ON_HOLD,
        **dict.fromkeys((Code.QUANTITY_NOT_SOLD, Code.ORDER_BELOW_MINIMUM), Code.NO_PRICE),
        **dict.fromkeys((Code.MANUAL_PRICE_ABOVE_LIMIT, Code.BELOW_FLOOR, Code.PRICE_TO_APPROVE), Code.ABOVE_REVIEW_LIMIT),
        **dict.fromkeys((Code.AMOUNT_CHANGED, Code.TAX_CHANGED, Code.GIFTS_CHANGED, Code.PRICE_HONOURED), Code.PRICE_CHANGED),
        Code.QUOTE_EXISTS: Code.ORDER_EXISTS,
        Code.UNKNOWN_QUOTE: Code.UNKNOWN_ORDER,
        Code.QUOTE_STATE_FORBIDS: Code.ORDER_STATE_FORBIDS,
        Code.QUOTE_CHANGED_MEANWHILE: Code.ORDER_CHANGED_MEANWHILE,
        Code.QUOTE_EXPIRED: Code.ABOVE_REVIEW_LIMIT,
    }
)
"""What an older device is told in place of a newer code. An older code of the same effect: hold for hold, no for no."""


def code_for(code: Code, protocol_version: int) -> Code:
    """The code as a device of this protocol version knows it."""
    known = code
    while SINCE.get(known, 1) > protocol_version:
        known = FALLBACKS[known]
    return known


def remedy(code: Code) -> str:
    """What the user can do about a code, also about one of a newer server."""
    return REMEDIES.get(code, UNKNOWN_REMEDY)


def codes_told(protocol_version: int) -> dict[str, str]:
    """What stands for each code that a device of this protocol version does not know; empty for the newest."""
    return {str(code): str(code_for(code, protocol_version)) for code in SINCE if SINCE[code] > protocol_version}


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that differs from what was asked, or stands in its way: of a line where `line_id` is given.

    `before` and `after` are unit prices for `price_changed`; minor units for `amount_changed`, `tax_changed`, `price_honoured`
    (what the line would come to now, and what was promised) and `order_below_minimum` (the goods, and the minimum); base units for
    `backordered` (asked, and backordered), `gifts_changed` and `quantity_not_sold` (asked, and the nearest that is sold); texts for
    `number_changed`; and for `no_price` `after` says which obstacle it is. They are None where the code says it all.
    """

    code: Code
    line_id: UUID | None = None
    before: int | str | None = None
    after: int | str | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The terminal answer to one intent. `detail` is for people; only the codes are for programs.

    `refused_intent_id` names, for `dependency_refused`, the intent that was refused before.
    """

    intent_id: UUID
    outcome: Outcome
    decided_at_ms: Instant
    codes: tuple[Code, ...] = ()
    changes: tuple[Change, ...] = ()
    detail: str = ""
    refused_intent_id: UUID | None = None

    def remedies(self) -> tuple[str, ...]:
        """What the user can do, one sentence for each code; one for what a manager discarded, whatever the code."""
        if self.detail.startswith(DISCARDED_BY_MANAGER):
            return (_DISCARDED_REMEDY,)
        return tuple(remedy(code) for code in self.codes)

    def for_protocol(self, protocol_version: int) -> "Verdict":
        """The same verdict in the codes of this protocol version; itself where it has no newer ones."""
        if all(SINCE.get(code, 1) <= protocol_version for code in (*self.codes, *(change.code for change in self.changes))):
            return self
        codes = {code_for(code, protocol_version) for code in self.codes}
        changes = tuple(msgspec.structs.replace(change, code=code_for(change.code, protocol_version)) for change in self.changes)
        return msgspec.structs.replace(self, codes=tuple(sorted(codes, key=PRECEDENCE.__getitem__)), changes=changes)

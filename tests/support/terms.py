"""Terms of the small company: a row of each entity that prices are made of."""

from typing import Any
from uuid import UUID

from sync_protocol.entities.customers import Customer, Segment, SegmentMember
from sync_protocol.entities.orders import Channel, Order, OrderPromotion
from sync_protocol.entities.pricing import (
    AgreedPrice,
    AgreementSource,
    CustomerPriceList,
    DiscountLimit,
    Exclusivity,
    ListQuantityRule,
    PriceFloor,
    PriceListAssignment,
    ProductQuantityRule,
    Strength,
)
from sync_protocol.entities.promotions import (
    Audience,
    Promotion,
    PromotionAudience,
    PromotionCustomer,
    PromotionExclusion,
    PromotionKind,
    PromotionPhase,
    PromotionStatus,
    PromotionTarget,
    PromotionTier,
    PromotionUse,
    Reach,
    Stacking,
    TargetRole,
)
from sync_protocol.entities.quotes import NegotiatedQuote, NegotiatedQuoteLine, NegotiatedQuoteRound, QuoteStatus
from sync_protocol.entities.taxes import TaxExemption, TaxRate
from sync_protocol.values import Row
from tests.support.world import World, make_id

GOLD, SILVER = make_id(901), make_id(902)
"""Two segments."""
ASKED_FIRST: dict[str, Any] = {"priority": 1, "exclusivity": Exclusivity.SHARED}


def shared_terms(world: World) -> list[Row]:
    """What everybody holds, and what reps alone do; one of each."""
    product, (_, other) = world.company.products[0], world.company.price_lists
    rule = {"product_id": product.id, "strength": Strength.RECOMMENDED, "minimum_quantity": 2}
    gift = {"phase": PromotionPhase.LINE, "kind": PromotionKind.PERCENT, "status": PromotionStatus.ACTIVE, "priority": 1}
    whom = {"stacking": Stacking.ALONE, "audience": Audience.LISTED, "reach": Reach.TARGETS}
    first, second = (Promotion(id=make_id(number), code=f"P{number}", name="An offer", **gift, **whom) for number in (920, 921))
    return [
        Segment(id=GOLD, code="GOLD", name="Gold"),
        PriceListAssignment(id=make_id(911), price_list_id=other.id, segment_id=GOLD, channel=Channel.REP, **ASKED_FIRST),
        ProductQuantityRule(id=make_id(912), **rule),
        ListQuantityRule(id=make_id(913), price_list_id=other.id, **rule),
        DiscountLimit(id=make_id(914), role="rep", discount_basis_points=500),
        PriceFloor(id=make_id(915), product_id=product.id, currency="EUR", unit_price=1),
        TaxRate(
            id=make_id(916), jurisdiction="DE", customer_tax_code="standard", product_tax_code="standard", name="VAT", rate_ppm=1
        ),
        *(first, second),
        PromotionAudience(id=make_id(922), promotion_id=first.id, segment_id=GOLD),
        PromotionTarget(id=make_id(923), promotion_id=first.id, role=TargetRole.BUY, product_id=product.id),
        PromotionTier(id=make_id(924), promotion_id=first.id, value_basis_points=1, min_quantity=1),
        PromotionExclusion(id=make_id(925), promotion_id=first.id, other_id=second.id),
    ]


def terms_of(world: World, customer: Customer, place: int) -> list[Row]:
    """What one customer was agreed or is listed for, one of each: from the list of that place."""
    first, of_customer = 930 + 10 * place, {"customer_id": customer.id}
    listed = {"price_list_id": world.company.price_lists[place].id, **ASKED_FIRST}
    price = {"source": AgreementSource.QUOTE, "reference": "Q1", "currency": "EUR", "min_quantity": 1, "unit_price": 1}
    return [
        SegmentMember(id=make_id(first), segment_id=GOLD, **of_customer),
        CustomerPriceList(id=make_id(first + 1), **listed, **of_customer),
        AgreedPrice(id=make_id(first + 2), product_id=world.company.products[0].id, **price, **of_customer),
        PromotionCustomer(id=make_id(first + 3), promotion_id=make_id(920), **of_customer),
        PromotionUse(id=make_id(first + 4), promotion_id=make_id(920), uses=1, **of_customer),
        TaxExemption(id=make_id(first + 5), jurisdiction="DE", certificate="X", **of_customer),
        *_negotiated(world, first + 6, of_customer),
    ]


def _negotiated(world: World, first: int, of_customer: dict[str, Any]) -> list[Row]:
    """A quote that the customer asked for."""
    of_quote = {"quote_id": make_id(first), **of_customer}
    asked = {"status": QuoteStatus.REQUESTED, "channel": Channel.REP, "currency": "EUR", "time_zone": "UTC"}
    return [
        NegotiatedQuote(id=make_id(first), number=f"R1-Q{first:06d}", requested_at_ms=1, **asked, **of_customer),
        NegotiatedQuoteLine(id=make_id(first + 1), line_number=1, product_id=world.company.products[0].id, quantity=1, **of_quote),
        NegotiatedQuoteRound(
            id=make_id(first + 2), revision=0, status=QuoteStatus.REQUESTED, taken_at_ms=1, taken_by="A rep", **of_quote
        ),
    ]


def given(promotion_id: UUID, order: Order) -> OrderPromotion:
    """An order was given a promotion."""
    row_id = make_id(970 + int(order.number[-6:]))
    return OrderPromotion(id=row_id, order_id=order.id, customer_id=order.customer_id, promotion_id=promotion_id, amount_minor=1)

"""What an order uses up of agreements and offers, and its return.

What is taken is what flows back. So a remaining quantity goes below zero where more was honoured than was left, and a budget or a
limit of uses that a promotion gets later counts also what was given before.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

import msgspec
import sqlalchemy as sa

from server.runtime.clock import IdSource
from server.runtime.database import WriteSession
from server.runtime.rows import insert_rows, table_of
from server.runtime.unit_of_work import UnitOfWork
from sync_protocol.entities.orders import Order, OrderLine, OrderPromotion
from sync_protocol.entities.pricing import AgreedPrice
from sync_protocol.entities.promotions import Promotion, PromotionUse
from sync_protocol.rules.pricing.agreements import AGREED, used_by
from sync_protocol.rules.pricing.explanation import BasketPrice, Fate


async def lock_agreed(work: UnitOfWork, sold: Iterable[tuple[UUID, UUID]]) -> None:
    """Lock all that was agreed on with a customer on a product, for each of these pairs of their ids.

    Whoever locks agreed prices does it so first, in one order for all, so that two never wait for each other in a ring.
    """
    await work.load_by(AgreedPrice, ("customer_id", "product_id"), sorted(set(sold)), lock=True)


async def use_up(work: UnitOfWork, price: BasketPrice, lines: Sequence[OrderLine], ids: IdSource) -> None:
    """Take what an order's lines bought from the agreements, and count what it was given against budgets and uses."""
    await _change_remaining(work, lines, -1)
    for offer in price.offers:
        if offer.fate is Fate.GIVEN and lines:
            given = OrderPromotion(
                id=ids.new(),
                order_id=lines[0].order_id,
                customer_id=price.customer_id,
                promotion_id=offer.promotion_id,
                amount_minor=offer.amount_minor,
            )
            work.insert(given)
            await _count(work, given, 1, ids)


class GivenBack(msgspec.Struct, frozen=True):
    """What was given back, as it was before: changed rows, and those that were removed."""

    changed: Sequence[AgreedPrice | Promotion | PromotionUse]
    removed: Sequence[OrderPromotion]

    def undo(self, work: UnitOfWork) -> None:
        """Take it back again."""
        for row in self.changed:
            work.replace(row)
        work.insert(*self.removed)


async def give_back(work: UnitOfWork, order_id: UUID, lines: Sequence[OrderLine]) -> GivenBack:
    """Give back what a locked order had used up."""
    changed: list[AgreedPrice | Promotion | PromotionUse] = [*await _change_remaining(work, lines, 1)]
    removed = await work.find(OrderPromotion, lock=True, order_id=order_id)
    for given in removed:
        changed += await _count(work, given, -1, None)
        work.remove(given)
    return GivenBack(changed, removed)


async def _change_remaining(work: UnitOfWork, lines: Sequence[OrderLine], sign: int) -> list[AgreedPrice]:
    """Take from agreements, or give back; says how the changed ones were before the first change."""
    before: dict[UUID, AgreedPrice] = {}
    await lock_agreed(work, ((line.customer_id, line.product_id) for line in lines if line.price_source in AGREED))
    for agreed_id, quantity in sorted(used_by(lines).items()):
        agreed = await work.get(AgreedPrice, agreed_id, lock=True)
        if agreed is not None and agreed.remaining_quantity is not None:
            before[agreed.id] = agreed
            work.replace(msgspec.structs.replace(agreed, remaining_quantity=agreed.remaining_quantity + sign * quantity))
    return list(before.values())


async def _count(work: UnitOfWork, given: OrderPromotion, sign: int, ids: IdSource | None) -> list[Promotion | PromotionUse]:
    """Count an order against a budget and uses, or take it off; says how the changed rows were before."""
    before: list[Promotion | PromotionUse] = []
    promotion = await work.get(Promotion, given.promotion_id)
    if promotion is None:
        return before
    if promotion.budget_minor is not None and given.amount_minor:
        locked = await work.get(Promotion, promotion.id, lock=True)
        assert locked is not None
        before.append(locked)
        work.replace(msgspec.structs.replace(locked, spent_minor=max(0, locked.spent_minor + sign * given.amount_minor)))
    if promotion.uses_per_customer is None:
        return before
    counted = await work.find(PromotionUse, lock=True, customer_id=given.customer_id)
    use = next((each for each in counted if each.promotion_id == promotion.id), None)
    if use is not None:
        before.append(use)
        work.replace(msgspec.structs.replace(use, uses=max(0, use.uses + sign)))
    elif ids is not None:
        work.insert(PromotionUse(id=ids.new(), customer_id=given.customer_id, promotion_id=promotion.id, uses=1))
    return before


async def counted_anew(session: WriteSession, promotion: Promotion, former: Promotion | None, ids: IdSource) -> Promotion:
    """A promotion as the office changes it: what orders were given while nothing was counted is counted where it is from now on.

    The caller holds the row of the promotion.
    """
    given, orders = table_of(OrderPromotion), table_of(Order)
    of_it = sa.select(given).where(given.c.promotion_id == promotion.id)
    if promotion.uses_per_customer is not None and (former is None or former.uses_per_customer is None):
        uses = table_of(PromotionUse)
        await session.execute(sa.delete(uses).where(uses.c.promotion_id == promotion.id))
        counted = of_it.with_only_columns(given.c.customer_id, sa.func.count()).group_by(given.c.customer_id)
        rows = [
            PromotionUse(id=ids.new(), customer_id=customer_id, promotion_id=promotion.id, uses=count)
            for customer_id, count in (await session.execute(counted)).all()
        ]
        await insert_rows(session, rows)
    if promotion.budget_minor is None:
        return promotion
    in_its_currency = of_it.join(orders, orders.c.id == given.c.order_id).where(orders.c.currency == promotion.currency)
    spent = in_its_currency.with_only_columns(sa.func.coalesce(sa.func.sum(given.c.amount_minor), 0))
    return msgspec.structs.replace(promotion, spent_minor=int((await session.execute(spent)).scalar_one()))

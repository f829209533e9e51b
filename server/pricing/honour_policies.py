"""The policies of a company on quotations that were overtaken by a change of prices, as they are stored."""

from collections.abc import Sequence
from uuid import UUID

import msgspec
import sqlalchemy as sa

from server.customers.models import SegmentModel
from server.pricing.honour import HonourPolicy, Promise
from server.pricing.models import HonourPolicyModel, PriceListModel
from server.pricing.quote_errors import HonourPolicyNotFoundError, UnfitHonourPolicyError
from server.runtime.database import ReadSession, WriteSession


async def honour_policies(session: ReadSession) -> Sequence[HonourPolicy]:
    """All policies there are, in the order of their ids."""
    found = (await session.execute(sa.select(HonourPolicyModel).order_by(HonourPolicyModel.id))).scalars().all()
    return [
        HonourPolicy(
            id=each.id,
            mode=Promise(each.mode),
            otherwise=Promise(each.otherwise),
            hours=each.hours,
            tolerance_basis_points=each.tolerance_basis_points,
            price_list_id=each.price_list_id,
            segment_id=each.segment_id,
        )
        for each in found
    ]


async def put_honour_policy(session: WriteSession, policy: HonourPolicy) -> None:
    """Make a policy, or replace the one with its id. Raises UnfitHonourPolicyError."""
    if policy.price_list_id is not None and policy.segment_id is not None:
        raise UnfitHonourPolicyError("segment_id", "a policy is for a list or for a segment; make two of it")
    if policy.otherwise is not Promise.RE_PRICE and policy.hours is None and policy.tolerance_basis_points is None:
        raise UnfitHonourPolicyError("otherwise", "nothing is otherwise without hours or a tolerance; leave it out")
    for field, model in (("price_list_id", PriceListModel), ("segment_id", SegmentModel)):
        named = getattr(policy, field)
        if named is not None and await session.get(model, named) is None:
            raise UnfitHonourPolicyError(field, f"there is no such row as {named}; check the id")
    await session.merge(HonourPolicyModel(**msgspec.structs.asdict(policy)))


async def delete_honour_policy(session: WriteSession, policy_id: UUID) -> None:
    """Take a policy back. Raises HonourPolicyNotFoundError."""
    stored = await session.get(HonourPolicyModel, policy_id)
    if stored is None:
        raise HonourPolicyNotFoundError(policy_id)
    await session.delete(stored)

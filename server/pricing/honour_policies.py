"""The policies of a company on quotations that were overtaken by a change of prices, as they are stored."""

from collections.abc import Sequence
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from server.customers.models import SegmentModel
from server.pricing.honour import HonourPolicy, Promise
from server.pricing.models import HonourPolicyModel, PriceListModel
from server.pricing.quote_errors import HonourPolicyNotFoundError, HonourPolicyTakenError, UnfitHonourPolicyError
from server.runtime.database import ReadSession, WriteSession
from server.runtime.outages import is_clash


async def honour_policies(session: ReadSession, *, after: UUID | None = None, limit: int | None = None) -> Sequence[HonourPolicy]:
    """The policies in the order of their ids: all, or those after an id."""
    query = sa.select(HonourPolicyModel).order_by(HonourPolicyModel.id).limit(limit)
    if after is not None:
        query = query.where(HonourPolicyModel.id > after)
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
        for each in (await session.execute(query)).scalars()
    ]


async def put_honour_policy(session: WriteSession, policy: HonourPolicy) -> None:
    """Make a policy, or replace the one with its id. Raises UnfitHonourPolicyError, HonourPolicyTakenError."""
    if policy.price_list_id is not None and policy.segment_id is not None:
        raise UnfitHonourPolicyError("segment_id", "a policy is for a list or for a segment; make two of it")
    if policy.otherwise is not Promise.RE_PRICE and policy.hours is None and policy.tolerance_basis_points is None:
        raise UnfitHonourPolicyError("otherwise", "nothing is otherwise without hours or a tolerance; leave it out")
    for field, model in (("price_list_id", PriceListModel), ("segment_id", SegmentModel)):
        named = getattr(policy, field)
        if named is not None and await session.get(model, named) is None:
            raise UnfitHonourPolicyError(field, f"there is no such row as {named}; check the id")
    await _refuse_taken(session, policy)
    try:
        await session.merge(HonourPolicyModel(**msgspec.structs.asdict(policy)))
        await session.flush()
    except IntegrityError as error:
        if not is_clash(error):
            raise
        raise HonourPolicyTakenError(_target_of(policy), None) from error


async def _refuse_taken(session: ReadSession, policy: HonourPolicy) -> None:
    model = HonourPolicyModel
    same = (
        model.price_list_id.is_not_distinct_from(policy.price_list_id),
        model.segment_id.is_not_distinct_from(policy.segment_id),
    )
    query = sa.select(model.id).where(*same, model.id != policy.id).limit(1)
    other_id = (await session.execute(query)).scalar_one_or_none()
    if other_id is not None:
        raise HonourPolicyTakenError(_target_of(policy), other_id)


def _target_of(policy: HonourPolicy) -> str:
    if policy.price_list_id is not None:
        return f"price list {policy.price_list_id}"
    return f"segment {policy.segment_id}" if policy.segment_id is not None else "everyone"


async def delete_honour_policy(session: WriteSession, policy_id: UUID) -> None:
    """Take a policy back. Raises HonourPolicyNotFoundError."""
    stored = await session.get(HonourPolicyModel, policy_id)
    if stored is None:
        raise HonourPolicyNotFoundError(policy_id)
    await session.delete(stored)

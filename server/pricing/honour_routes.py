"""Over HTTP: what becomes of quotations that were right when they were made and are overtaken by a change of prices."""

from collections.abc import Sequence
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import delete, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from server.identity.principals import OFFICE, allow_signed_in
from server.pricing.honour import HonourPolicy, Promise
from server.pricing.honour_policies import delete_honour_policy, honour_policies, put_honour_policy
from server.runtime.database import Database

HOURS_MAX: Final = 10 * 365 * 24


class GivenPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A policy as it is written; see `HonourPolicy`. Without a list or a segment it is the company's."""

    mode: Promise
    otherwise: Promise = Promise.RE_PRICE
    hours: Annotated[int, Meta(ge=1, le=HOURS_MAX)] | None = None
    tolerance_basis_points: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    price_list_id: UUID | None = None
    segment_id: UUID | None = None


@get("/honour-policies", opt=allow_signed_in(*OFFICE), summary="List the policies on overtaken quotations", tags=["prices"])
async def list_policies(database: NamedDependency[Database]) -> Sequence[HonourPolicy]:
    """All of them."""
    async with database.read() as session:
        return await honour_policies(session)


@put("/honour-policies/{policy_id:uuid}", opt=allow_signed_in(*OFFICE), summary="Write such a policy", tags=["prices"])
async def put_policy(policy_id: FromPath[UUID], data: JSONBody[GivenPolicy], database: NamedDependency[Database]) -> HonourPolicy:
    """Make or replace one. It counts for orders that arrive from now on. Of a list, a segment and everyone there is one each."""
    policy = HonourPolicy(id=policy_id, **msgspec.structs.asdict(data))
    async with database.write() as session:
        await put_honour_policy(session, policy)
    return policy


@delete("/honour-policies/{policy_id:uuid}", opt=allow_signed_in(*OFFICE), summary="Take such a policy back", tags=["prices"])
async def remove_policy(policy_id: FromPath[UUID], database: NamedDependency[Database]) -> None:
    """Take one back."""
    async with database.write() as session:
        await delete_honour_policy(session, policy_id)


ROUTES: Final = (list_policies, put_policy, remove_policy)

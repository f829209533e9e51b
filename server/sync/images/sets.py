"""Which sets of buckets are worth an image: those that the devices of the field hold, the most common first."""

from collections import Counter
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from server.identity.models import DeviceModel, EnrolmentCodeModel, UserModel
from server.runtime.database import ReadSession
from server.sync.scope import scope_of
from sync_protocol.entities import SYNCED

BucketSet = tuple[str, ...]
"""Names of shared buckets, sorted."""

SHARED_KINDS: Final = frozenset(synced.bucket.kind for synced in SYNCED if synced.bucket.is_shared)
CATALOG_ALONE: Final[BucketSet] = ("catalog",)


async def sets_in_use(session: ReadSession, *, sets_max: int, now_ms: int) -> list[BucketSet]:
    """The sets of the living devices, and of those that an open code will make, most of them first; at most `sets_max`.

    The catalogue alone is the last: it is the image of whoever has none that fits better.
    """
    counted: Counter[BucketSet] = Counter()
    for (rep_id, customer_id), devices in (await _holders(session, now_ms)).items():
        scope = await scope_of(session, rep_id=rep_id, customer_id=customer_id, holder_id=rep_id or _NOBODY)
        counted[shared_buckets(scope.buckets)] += devices
    ordered = sorted(counted, key=lambda buckets: (-counted[buckets], buckets))
    others = [buckets for buckets in ordered if buckets != CATALOG_ALONE]
    return [*others[: sets_max - 1], CATALOG_ALONE] if counted else []


def shared_buckets(buckets: tuple[str, ...]) -> BucketSet:
    """Those that can be in an image."""
    return tuple(sorted(bucket for bucket in buckets if bucket.partition(":")[0] in SHARED_KINDS))


_NOBODY: Final = UUID(int=0)


async def _holders(session: ReadSession, now_ms: int) -> Counter[tuple[UUID | None, UUID | None]]:
    """How many devices each rep and each company has, or is about to have."""
    holder = (UserModel.rep_id, UserModel.customer_id)
    lives = (UserModel.active, sa.or_(UserModel.rep_id.is_not(None), UserModel.customer_id.is_not(None)))
    devices = sa.select(*holder, sa.func.count()).join(DeviceModel, DeviceModel.user_id == UserModel.id)
    devices = devices.where(*lives, DeviceModel.revoked_at_ms.is_(None)).group_by(*holder)
    codes = sa.select(*holder, sa.func.count()).join(EnrolmentCodeModel, EnrolmentCodeModel.user_id == UserModel.id)
    is_open = (EnrolmentCodeModel.used_at_ms.is_(None), EnrolmentCodeModel.expires_at_ms > now_ms)
    found: Counter[tuple[UUID | None, UUID | None]] = Counter()
    for query in (devices, codes.where(*lives, *is_open).group_by(*holder)):
        for rep_id, customer_id, count in await session.execute(query):
            found[rep_id, customer_id] += count
    return found

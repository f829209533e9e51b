"""Keeping images fit to be offered: what must be built anew, what is kept for a while, what can go.

A device pays for an image that is behind with a longer tail, the server for a new one with a build: an image is built
anew where its tail has outgrown a part of it. Where nothing changed nothing is built.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec
import sqlalchemy as sa

from server.changelog.log import Head
from server.changelog.models import ChangeCommitModel
from server.runtime.database import Database, ReadSession, WriteSession
from server.sync.images.models import ImageModel
from server.sync.images.sets import BucketSet
from server.sync.images.storage import ImageStorage
from server.sync.reader import Reader

_DAY_MS: Final = 86_400_000


class ImagePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When an image is worth its build. An image that is superseded is kept for `kept_ms`, as a device may be reading it."""

    sets_max: int
    rows_min: int
    retention_days: int
    tail_percent: int = 5
    tail_rows_min: int = 5_000
    kept_ms: int = _DAY_MS


class BuildReason(StrEnum):
    """Why an image is built."""

    NEW = "new"
    EPOCH = "epoch"
    FORMAT = "format"
    TAIL = "tail"
    RETENTION = "retention"
    ASKED = "asked"


class Due(msgspec.Struct, frozen=True):
    """An image to build."""

    buckets: BucketSet
    reason: BuildReason


async def due_image(
    session: ReadSession, reader: Reader, buckets: BucketSet, *, policy: ImagePolicy, image_format: bytes, head: Head, now_ms: int
) -> Due | None:
    """Whether an image of this set must be built, and why."""
    of_set = sa.select(ImageModel).where(ImageModel.buckets == "\n".join(buckets), ImageModel.superseded_at_ms.is_(None))
    images = (await session.execute(of_set)).scalars().all()
    fitting = [image for image in images if image.epoch == head.epoch and image.image_format == image_format]
    if fitting:
        reason = await _wear(
            session, reader, max(fitting, key=lambda image: image.commit_seq), policy=policy, head=head, now_ms=now_ms
        )
        return Due(buckets, reason) if reason else None
    if not await _has_rows(reader, buckets, policy.rows_min):
        return None
    if not images:
        return Due(buckets, BuildReason.NEW)
    return Due(buckets, BuildReason.EPOCH if all(image.epoch != head.epoch for image in images) else BuildReason.FORMAT)


async def _wear(
    session: ReadSession, reader: Reader, image: ImageModel, *, policy: ImagePolicy, head: Head, now_ms: int
) -> BuildReason | None:
    """Why an image that fits is not good enough any more."""
    if image.commit_seq == head.head:
        return None
    tail_max = max(policy.tail_rows_min, image.rows * policy.tail_percent // 100)
    if await _tail(reader, image, tail_max + 1) > tail_max:
        return BuildReason.TAIL
    # By half of the retention it is built anew, so that it is always far above the floor when a device goes on from it.
    next_commit = sa.select(sa.func.min(ChangeCommitModel.committed_at_ms)).where(ChangeCommitModel.commit_seq > image.commit_seq)
    behind_since_ms = (await session.execute(next_commit)).scalar()
    if behind_since_ms is not None and behind_since_ms <= now_ms - policy.retention_days * _DAY_MS // 2:
        return BuildReason.RETENTION
    return None


async def _has_rows(reader: Reader, buckets: BucketSet, rows_min: int) -> bool:
    sql = f"""
        SELECT count(*) FROM (
            SELECT 1 FROM change_log l WHERE l.deleted = 0 AND {reader.among("l.bucket", "$1")} LIMIT $2
        ) AS counted
    """  # noqa: S608  # no input in it
    ((count,),) = await reader.all(sql, [list(buckets), rows_min])
    return int(count) >= rows_min


async def _tail(reader: Reader, image: ImageModel, rows_max: int) -> int:
    """How many rows of its buckets changed, went or left since an image was built, counted as far as `rows_max`."""
    sql = f"""
        SELECT count(*) FROM (
            SELECT 1 FROM change_commit c JOIN change_log l ON l.change = c.change
             WHERE c.commit_seq > $1 AND {reader.among("l.bucket", "$2")}
            UNION ALL
            SELECT 1 FROM change_commit c JOIN change_leave l ON l.change = c.change
             WHERE c.commit_seq > $1 AND {reader.among("l.bucket", "$2")}
            LIMIT $3
        ) AS counted
    """  # noqa: S608  # no input in it
    ((count,),) = await reader.all(sql, [image.commit_seq, list(image.bucket_names), rows_max])
    return int(count)


async def register(session: WriteSession, image: ImageModel) -> None:
    """Offer an image whose file is stored, in the place of those of the same set."""
    await session.execute(sa.delete(ImageModel).where(ImageModel.digest == image.digest))
    older = sa.update(ImageModel).where(ImageModel.buckets == image.buckets, ImageModel.superseded_at_ms.is_(None))
    await session.execute(older.values(superseded_at_ms=image.built_at_ms))
    session.add(image)


async def supersede_unused(session: WriteSession, sets: Sequence[BucketSet], now_ms: int) -> None:
    """Stop offering the images of sets that nobody holds any more."""
    used = ["\n".join(buckets) for buckets in sets]
    unused = sa.update(ImageModel).where(ImageModel.buckets.not_in(used), ImageModel.superseded_at_ms.is_(None))
    await session.execute(unused.values(superseded_at_ms=now_ms))


class Cleaned(msgspec.Struct, frozen=True, kw_only=True):
    """What a clean-up did: images that nobody reads any more, images whose file was missing, files of no image."""

    removed: int
    missing: int
    orphans: int


async def clean(database: Database, storage: ImageStorage, head: Head, *, kept_ms: int, now_ms: int) -> Cleaned:
    """Remove what is not needed: the row first, so that nothing without its file is ever offered, then the file.

    Only for the holder of the lock of images: a file whose row is about to be written looks like one that was left over.
    """
    stored = await storage.stored(head.epoch)
    async with database.write() as session:
        expired = sa.delete(ImageModel).where(ImageModel.superseded_at_ms <= now_ms - kept_ms)
        removed = (await session.execute(expired.returning(ImageModel.digest, ImageModel.epoch))).all()
        kept = sa.select(ImageModel.digest, ImageModel.size).where(ImageModel.epoch == head.epoch)
        known = {row.digest: row.size for row in await session.execute(kept)}
        # A power cut can leave less of a file than was written, and a restored database knows files that were removed since.
        missing = [digest for digest, size in known.items() if stored.get(digest) != size]
        await session.execute(sa.delete(ImageModel).where(ImageModel.digest.in_(missing)))
    unwanted = {(row.epoch, row.digest) for row in removed}
    orphans = {(head.epoch, digest) for digest in stored if digest not in known or digest in missing} - unwanted
    for epoch, digest in unwanted | orphans:
        await storage.delete(epoch, digest)
    return Cleaned(removed=len(removed), missing=len(missing), orphans=len(orphans))

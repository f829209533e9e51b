"""Which image a device gets: always one that lies wholly in its scope, as that is now."""

import sqlalchemy as sa

from server.changelog.log import Head, place_of
from server.runtime.database import ReadSession
from server.sync.images.errors import ImageNotFoundError
from server.sync.images.models import ImageModel
from server.sync.scope import Scope
from sync_protocol.wire.messages import ImageOffer, LogPlace


async def best_offer(session: ReadSession, scope: Scope, image_format: bytes, head: Head) -> ImageOffer | None:
    """The image with the most rows that a device of this scope can go on from, if there is one.

    One that lies below the floor could not be caught up with, and one of another log is another history.
    """
    current = sa.select(ImageModel).where(
        ImageModel.superseded_at_ms.is_(None),
        ImageModel.epoch == head.epoch,
        ImageModel.image_format == image_format,
        ImageModel.commit_seq >= head.floor,
        ImageModel.commit_seq <= head.head,
    )
    images = (await session.execute(current.order_by(ImageModel.rows.desc(), ImageModel.commit_seq.desc()))).scalars()
    image = next((image for image in images if _lies_in(image, scope)), None)
    return _offer(image, await place_of(session, image.epoch, image.commit_seq)) if image is not None else None


async def readable_image(session: ReadSession, digest: bytes, scope: Scope) -> ImageModel:
    """The image of this digest, superseded or not, for a device of this scope. Raises ImageNotFoundError."""
    image = await session.get(ImageModel, digest)
    if image is None or not _lies_in(image, scope):
        raise ImageNotFoundError(digest)
    return image


def _lies_in(image: ImageModel, scope: Scope) -> bool:
    return set(image.bucket_names) <= set(scope.buckets)


def _offer(image: ImageModel, place: LogPlace | None) -> ImageOffer:
    return ImageOffer(
        digest=image.digest,
        size=image.size,
        raw_size=image.raw_size,
        rows=image.rows,
        epoch=image.epoch,
        commit_seq=image.commit_seq,
        buckets=image.bucket_names,
        place=place,
    )

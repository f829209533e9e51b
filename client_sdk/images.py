"""Beginning with an image: the file of a whole replica of shared buckets, instead of its rows.

An optimisation, and never more than that: whatever is wrong with an image, the rows come as ever, and it is not tried
again. Only a link that is down is no reason: what came is kept, and the next sync goes on behind it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import apsw
import msgspec

from client_sdk.errors import (
    AppTooOldError,
    BadReplyError,
    DeviceForkedError,
    DeviceRevokedError,
    ServerError,
    ServerTooOldError,
    ServerUnreachableError,
    StoreError,
)
from client_sdk.flow import Flow
from client_sdk.image_file import BadImageError, Unpacking, settle_as_built, unlink_parts
from client_sdk.state import Identity, ImageDownload, Incarnation, forget_image, load, save
from client_sdk.store import Store
from sync_protocol.replica_schema import image_format
from sync_protocol.wire.endpoint import SyncEndpoint
from sync_protocol.wire.messages import ImageOffer, ImageRequest
from sync_protocol.wire.version import PROTOCOL_VERSION

BLOCK_BYTES_MIN: Final = 64 * 1024
BLOCK_BYTES_MAX: Final = 256 * 1024
"""A block that is not whole yet is lost where the app is killed: they grow with what is here, and are never a tenth of it."""
_AHEAD_BYTES: Final = 16 * 1024 * 1024
"""Where so little of a large image is still to come, what comes behind it is asked for."""
FRUITLESS_TRIES_MAX: Final = 3
_OFFERS_MAX: Final = 3
_REFUSED_MAX: Final = 8
_FOR_THE_SYNC: Final = (DeviceRevokedError, DeviceForkedError, AppTooOldError, ServerTooOldError)

Server = Callable[[], Awaitable[tuple[Identity, Incarnation, SyncEndpoint]]]
Tell = Callable[[int, int], None]
Foresee = Callable[[ImageOffer], None]


class ImageLane:
    """Begins the replicas of one store with images."""

    def __init__(self, store: Store, server: Server, flow: Flow) -> None:
        self._store = store
        self._server = server
        self._flow = flow

    async def begin(self, tell: Tell, foresee: Foresee) -> int:
        """Let the replica that is to be built begin with an image: its rows, or 0 where rows are to be pulled.

        `tell` is told how many bytes of how many are here, and `foresee` behind which image the pull will go on, as soon as
        that is nearly here. Raises ServerUnreachableError where the next sync is to go on, and what else is about the device
        and not about an image.
        """
        for _ in range(_OFFERS_MAX):
            offer = await self._choose()
            if offer is None:
                break
            if await self._take(offer, tell, foresee):
                return offer.rows
            await self.refuse()
        return 0

    async def refuse(self) -> None:
        """Do not take the image that was chosen, nor begin with it again: it was wrong, or could not be gone on from."""
        refused = await self._store.write(_refuse)
        if refused:
            unlink_parts(self._store.path)

    async def forget(self) -> None:
        """The replica is whole: nothing of images is of use any more."""
        if await self._store.read(_known) is not None:
            await self._store.write(forget_image)
            unlink_parts(self._store.path)

    async def _choose(self) -> ImageOffer | None:
        """The image to take: the one of which a part is here, where it is of the present log, else the one that is offered."""
        identity, incarnation, endpoint = await self._server()
        request = ImageRequest(
            protocol_version=PROTOCOL_VERSION,
            device_id=identity.device_id,
            incarnation=incarnation.present,
            image_format=image_format(),
        )
        self._flow.requests += 1
        try:
            reply = await endpoint.image(request)
        except _FOR_THE_SYNC:
            raise
        except (ServerError, BadReplyError):
            return None
        if reply.audience != identity.device_id:
            return None
        offered = reply.image if reply.image is not None and reply.image.epoch == reply.epoch else None
        return await self._store.write(_choose, offered, reply.epoch.bytes)

    async def _take(self, offer: ImageOffer, tell: Tell, foresee: Foresee) -> bool:
        """Download, check and adopt it; False where something is wrong with it."""
        for _ in range(2):
            unpacking = Unpacking(self._store.path, offer)
            before = 0
            try:
                await self._store.work(unpacking.resume)
                before = unpacking.size
                await self._download(unpacking, offer, tell, foresee)
                await self._store.work(unpacking.check)
                foresee(offer)
                await self._store.adopt(unpacking.raw, settle_as_built, offer)
            except (BadImageError, StoreError) as error:
                await self._store.work(unpacking.drop)
                if not (unpacking.resumed and isinstance(error, BadImageError)):
                    return False
                # A power cut may have taken some of what came before; all of it anew shows whether that was it.
            except (ServerUnreachableError, *_FOR_THE_SYNC):
                await self._note_try(unpacking.size > before)
                raise
            except (ServerError, BadReplyError):
                return False
            else:
                await self._store.work(unpacking.drop)
                self._flow.moved()
                return True
            finally:
                await self._store.work(unpacking.close)
        return False

    async def _download(self, unpacking: Unpacking, offer: ImageOffer, tell: Tell, foresee: Foresee) -> None:
        """Fetch what is not here, and unpack each block while the next one comes."""
        identity, incarnation, endpoint = await self._server()
        working: asyncio.Task[None] | None = None
        try:
            tell(unpacking.size, offer.size)
            if not unpacking.is_whole:
                self._flow.requests += 1
                pieces = endpoint.image_file(identity.device_id, incarnation.present, offer.digest, unpacking.size)
                came = unpacking.size
                async for block in _blocks(pieces, came):
                    came += len(block)
                    self._flow.came((offer.digest,), came)
                    tell(min(came, offer.size), offer.size)
                    if offer.size - came <= _AHEAD_BYTES < came:
                        foresee(offer)
                    unpacking.hear(block)
                    if working is not None:
                        await working
                    working = asyncio.create_task(self._store.work(unpacking.take, block))
        finally:
            if working is not None:
                await working
        if not unpacking.is_whole:
            raise BadReplyError("the image was cut off")

    async def _note_try(self, is_further: bool) -> None:
        """Where a link breaks again and again before anything came, it may be the image that it does not let through."""
        tries = await self._store.write(_note_try, is_further)
        if tries >= FRUITLESS_TRIES_MAX:
            await self.refuse()


async def _blocks(pieces: AsyncIterator[bytes], came: int) -> AsyncIterator[bytes]:
    """The pieces, gathered, behind what `came` before; what came before a break comes before its error."""
    gathered = bytearray()
    failure: Exception | None = None
    try:
        async for piece in pieces:
            gathered += piece
            if len(gathered) >= min(BLOCK_BYTES_MAX, max(BLOCK_BYTES_MIN, came // 16)):
                came += len(gathered)
                yield bytes(gathered)
                gathered.clear()
    except (ServerError, ServerUnreachableError, BadReplyError) as error:
        failure = error
    if gathered:
        yield bytes(gathered)
    if failure is not None:
        raise failure


def _known(connection: apsw.Connection) -> ImageDownload | None:
    return load(connection, ImageDownload)


def _choose(connection: apsw.Connection, offered: ImageOffer | None, epoch: bytes) -> ImageOffer | None:
    known = load(connection, ImageDownload) or ImageDownload()
    chosen = known.offer
    if chosen is None or chosen.epoch.bytes != epoch or known.image_format != image_format():
        chosen = offered
    if chosen is None or chosen.digest in known.refused:
        chosen = None
    if chosen != known.offer:
        save(connection, ImageDownload(offer=chosen, image_format=image_format(), refused=known.refused))
    return chosen


def _refuse(connection: apsw.Connection) -> bool:
    known = load(connection, ImageDownload)
    if known is None or known.offer is None:
        return False
    refused = (*known.refused, known.offer.digest)[-_REFUSED_MAX:]
    save(connection, ImageDownload(offer=None, image_format=image_format(), refused=refused))
    return True


def _note_try(connection: apsw.Connection, is_further: bool) -> int:
    known = load(connection, ImageDownload)
    if known is None:
        return 0
    tries = 0 if is_further else known.fruitless_tries + 1
    save(connection, msgspec.structs.replace(known, fruitless_tries=tries))
    return tries

"""A page of rows as it comes in: read to its end, checked as a whole, or refused as a whole (rule 6)."""

from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final
from uuid import UUID

import msgspec

from client_sdk.errors import BadReplyError
from sync_protocol.wire.codec import PageReader, WireError
from sync_protocol.wire.endpoint import SyncEndpoint
from sync_protocol.wire.messages import (
    GoneChunk,
    PageHeader,
    PageMessage,
    PageTrailer,
    PullRequest,
    RepairRequest,
    RowChunk,
    ScopeChunk,
)

PAGE_BYTES_MAX: Final = 64 * 1024 * 1024


class Page(msgspec.Struct, frozen=True):
    """A page that is whole: its digest fits and its trailer is there.

    `chunks` are taken out as an empty replica is filled; `size` is how many bytes it was before it was compressed,
    `came_at_ms` when it was here by the device's clock.
    """

    header: PageHeader
    trailer: PageTrailer
    scope: ScopeChunk | None
    chunks: deque[RowChunk | GoneChunk]
    size: int = 0
    came_at_ms: int = 0

    @property
    def clock_skew_ms(self) -> int:
        """How far ahead of the server's clock the device's was."""
        return self.came_at_ms - self.trailer.server_time_ms


async def read_page(endpoint: SyncEndpoint, request: PullRequest, hear: Callable[[int], None] = lambda _size: None) -> Page:
    """One page, whole; `hear` is told how many bytes of it have come.

    Raises BadReplyError where it is cut off, garbled, too large, or meant for somebody else (rule 6).
    """
    return await _read(endpoint.pull(request), request.device_id, hear)


async def read_repair(endpoint: SyncEndpoint, request: RepairRequest, hear: Callable[[int], None]) -> Page:
    """All rows of some ranges, as a whole page. Raises BadReplyError as `read_page`."""
    return await _read(endpoint.repair(request), request.device_id, hear)


async def _read(pieces: AsyncIterator[bytes], device_id: UUID, hear: Callable[[int], None]) -> Page:
    reader = PageReader()
    messages: list[PageMessage] = []
    try:
        size = 0
        async for piece in pieces:
            size += len(piece)
            hear(size)
            for message in reader.feed(piece):
                messages.append(message)
                if reader.size > PAGE_BYTES_MAX:
                    raise BadReplyError(f"a page of more than {PAGE_BYTES_MAX} bytes")
    except WireError as error:
        raise BadReplyError(str(error)) from error
    if not reader.ended:
        raise BadReplyError("it was cut off")
    return _whole(messages, reader, device_id)


def _whole(messages: list[PageMessage], reader: PageReader, device_id: UUID) -> Page:
    """The page that these messages are. Raises BadReplyError."""
    match messages:
        case [PageHeader() as header, *between, PageTrailer() as trailer]:
            pass
        case _:
            raise BadReplyError("it was cut off")
    digest = reader.digest
    if trailer.digest != digest:
        raise BadReplyError("its digest does not fit")
    if {header.audience, trailer.audience} != {device_id} or header.epoch != trailer.epoch:
        raise BadReplyError("it is meant for another device")
    scope = next((message for message in between if isinstance(message, ScopeChunk)), None)
    chunks = deque(message for message in between if isinstance(message, RowChunk | GoneChunk))
    return Page(header, trailer, scope, chunks, reader.size)

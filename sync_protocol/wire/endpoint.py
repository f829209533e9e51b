"""The protocol as one interface: the server implements it, the device calls it, tests break it."""

from collections.abc import AsyncIterator
from typing import Protocol
from uuid import UUID

from sync_protocol.wire.messages import (
    DeviceReport,
    Enrolment,
    EnrolRequest,
    ForkRequest,
    ImageReply,
    ImageRequest,
    PullRequest,
    PushReply,
    PushRequest,
    RangesReply,
    RangesRequest,
    RepairRequest,
    ReportReply,
)


class SyncEndpoint(Protocol):
    """The server as a device sees it. A caller is authenticated by its device token, given when the endpoint is made."""

    async def enrol(self, request: EnrolRequest) -> Enrolment:
        """Turn a single-use code into a device."""
        ...

    async def fork(self, request: ForkRequest) -> Enrolment:
        """Become a new device because another holds the same identity."""
        ...

    def pull(self, request: PullRequest) -> AsyncIterator[bytes]:
        """One page, as pieces of a zstd stream of frames; `wire.codec.PageReader` takes them apart."""
        ...

    async def ranges(self, request: RangesRequest) -> RangesReply:
        """What buckets hold, range by range."""
        ...

    def repair(self, request: RepairRequest) -> AsyncIterator[bytes]:
        """All rows of some ranges, as the pieces of a page."""
        ...

    async def image(self, request: ImageRequest) -> ImageReply:
        """Which prebuilt image to begin with, if there is one."""
        ...

    def image_file(self, device_id: UUID, incarnation: bytes, digest: bytes, offset: int) -> AsyncIterator[bytes]:
        """The compressed file of an image from a byte on."""
        ...

    async def push(self, request: PushRequest) -> PushReply:
        """Ask for verdicts."""
        ...

    async def report(self, report: DeviceReport) -> ReportReply:
        """Say how the device is, and hand in its receipts."""
        ...

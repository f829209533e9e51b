"""Faults for a device: a wire that loses, repeats, cuts and replays, and a process that dies between two statements."""

import random
from collections.abc import AsyncIterator, Callable
from enum import StrEnum
from uuid import UUID

import apsw

from client_sdk import OrderClient
from client_sdk.errors import ServerUnreachableError
from sync_protocol.wire.endpoint import SyncEndpoint
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


class Fault(StrEnum):
    """What a wire can do to a request."""

    NONE = "none"
    LOST_REQUEST = "lost request"
    LOST_REPLY = "lost reply"
    DUPLICATED = "duplicated"
    CUT_OFF = "cut off"
    GARBLED = "garbled"


class FaultyEndpoint:
    """An endpoint behind a wire whose next faults are handed in; when there are none left it is a good one."""

    def __init__(self, inner: SyncEndpoint, faults: list[Fault], chance: random.Random, sent: list[PushRequest]) -> None:
        self._inner = inner
        self._faults = faults
        self._chance = chance
        self._sent = sent

    def _next(self) -> Fault:
        return self._faults.pop(0) if self._faults else Fault.NONE

    async def enrol(self, request: EnrolRequest) -> Enrolment:
        return await self._inner.enrol(request)

    async def fork(self, request: ForkRequest) -> Enrolment:
        return await self._inner.fork(request)

    async def push(self, request: PushRequest) -> PushReply:
        fault = self._next()
        if fault is Fault.LOST_REQUEST:
            raise ServerUnreachableError("test", fault)
        self._sent.append(request)
        reply = await self._inner.push(request)
        if fault is Fault.DUPLICATED:
            again = await self._inner.push(request)
            assert [each.verdict for each in again.results] == [each.verdict for each in reply.results]
            return again
        if fault in {Fault.LOST_REPLY, Fault.CUT_OFF, Fault.GARBLED}:
            raise ServerUnreachableError("test", fault)
        return reply

    async def report(self, report: DeviceReport) -> ReportReply:
        fault = self._next()
        if fault is Fault.LOST_REQUEST:
            raise ServerUnreachableError("test", fault)
        reply = await self._inner.report(report)
        if fault is Fault.DUPLICATED:
            assert await self._inner.report(report) == reply
        if fault in {Fault.LOST_REPLY, Fault.CUT_OFF, Fault.GARBLED}:
            raise ServerUnreachableError("test", fault)
        return reply

    async def image(self, request: ImageRequest) -> ImageReply:
        fault = self._next()
        if fault is Fault.LOST_REQUEST:
            raise ServerUnreachableError("test", fault)
        reply = await self._inner.image(request)
        if fault in {Fault.LOST_REPLY, Fault.CUT_OFF, Fault.GARBLED}:
            raise ServerUnreachableError("test", fault)
        return reply

    async def image_file(self, device_id: UUID, incarnation: bytes, digest: bytes, offset: int) -> AsyncIterator[bytes]:
        fault = self._next()
        if fault is Fault.LOST_REQUEST:
            raise ServerUnreachableError("test", fault)
        body = b"".join([piece async for piece in self._inner.image_file(device_id, incarnation, digest, offset)])
        if fault is Fault.GARBLED:
            place = self._chance.randrange(len(body))
            body = body[:place] + bytes([body[place] ^ (1 + self._chance.randrange(255))]) + body[place + 1 :]
        if fault in {Fault.LOST_REPLY, Fault.CUT_OFF}:
            yield body[: self._chance.randrange(len(body))]
            raise ServerUnreachableError("test", fault)
        yield body

    async def ranges(self, request: RangesRequest) -> RangesReply:
        fault = self._next()
        if fault is Fault.LOST_REQUEST:
            raise ServerUnreachableError("test", fault)
        reply = await self._inner.ranges(request)
        if fault in {Fault.LOST_REPLY, Fault.CUT_OFF, Fault.GARBLED}:
            raise ServerUnreachableError("test", fault)
        return reply

    async def repair(self, request: RepairRequest) -> AsyncIterator[bytes]:
        async for piece in self._page(lambda: self._inner.repair(request)):
            yield piece

    async def pull(self, request: PullRequest) -> AsyncIterator[bytes]:
        async for piece in self._page(lambda: self._inner.pull(request)):
            yield piece

    async def _page(self, ask: Callable[[], AsyncIterator[bytes]]) -> AsyncIterator[bytes]:
        fault = self._next()
        if fault is Fault.LOST_REQUEST:
            raise ServerUnreachableError("test", fault)
        body = b"".join([piece async for piece in ask()])
        if fault is Fault.LOST_REPLY:
            raise ServerUnreachableError("test", fault)
        if fault is Fault.DUPLICATED:
            body = b"".join([piece async for piece in ask()])
        if fault is Fault.CUT_OFF:
            body = body[: self._chance.randrange(len(body))]
        if fault is Fault.GARBLED:
            place = self._chance.randrange(len(body))
            body = body[:place] + bytes([body[place] ^ (1 + self._chance.randrange(255))]) + body[place + 1 :]
        yield body


class UnreportedEndpoint(FaultyEndpoint):
    """A good wire over which no report comes through, so that what is to be reported stays on the device."""

    def __init__(self, inner: SyncEndpoint) -> None:
        super().__init__(inner, [], random.Random(1), [])

    async def report(self, report: DeviceReport) -> ReportReply:
        raise ServerUnreachableError("test", f"the report of {report.device_id} is lost")


class KilledError(BaseException):
    """The device's process is gone. It derives from BaseException so that nothing in the product can catch it and go on."""


def kill_before_statement(device: OrderClient, countdown: int) -> None:
    """Let the device die right before its `countdown`-th statement from now; every later one is refused as well."""
    left = countdown

    def trace(_cursor: apsw.Cursor, _sql: str, _bindings: object) -> bool:
        nonlocal left
        left -= 1
        if left <= 0:
            raise KilledError
        return True

    device._store.trace(trace)


def bury(device: OrderClient) -> None:
    """Let go of a dead device's file as its process would: nothing is rolled back by hand, nothing is saved."""
    device._store.trace(None)
    device._store.close()

"""What a device tells its server of itself after a sync: what waits on it, what it erased and proved, and what is in its way.

A report is sent where it says something that the last one did not. It changes nothing on the device but that receipts
which are stored need not be sent again, so one that fails is sent another time and fails no sync.
"""

from typing import Final

import apsw
import msgspec

from client_sdk import outbox, receipts, wipe
from client_sdk.errors import RoadbookError, StoreError, code_of
from client_sdk.state import Identity, Incarnation, checkpoint, load, require_identity
from client_sdk.store import Store
from sync_protocol.wire.endpoint import SyncEndpoint
from sync_protocol.wire.messages import RECEIPTS_MAX, DeviceReport, Proof, ReportReply, StallReport
from sync_protocol.wire.version import PROTOCOL_VERSION

DETAIL_CHARACTERS_MAX: Final = 1_000


def stall_report(error: RoadbookError, since_ms: int, detail: str | None = None) -> StallReport:
    """An error as the server is told of it."""
    printable = "".join(character if character.isprintable() else " " for character in detail or str(error))
    text = " ".join(printable.split())[:DETAIL_CHARACTERS_MAX]
    return StallReport(code=code_of(error)[:64], detail=text, since_ms=max(0, since_ms))


class Reporter:
    """Of one engine. It knows what it said last, and says all of it once after a start."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._said: DeviceReport | None = None

    async def report(self, endpoint: SyncEndpoint, problem: StallReport | None, proof: Proof | None = None) -> bool:
        """Tell the server what it does not know; whether it knows now. Raises StoreError alone."""
        while True:
            message = await self._store.read(_gather, problem, proof)
            if self._said is not None and _same(message, self._said):
                return True
            try:
                reply = await endpoint.report(message)
            except StoreError:
                raise
            except RoadbookError:
                return False
            if reply.audience != message.device_id:
                return False
            self._said = message
            if reply.receipt_ids or reply.wipe_lock is not None:
                await self._store.write(_take_reply, reply)
            if len(message.receipts) < RECEIPTS_MAX or not reply.receipt_ids:
                return True


def _take_reply(connection: apsw.Connection, reply: ReportReply) -> None:
    receipts.accepted(connection, reply.receipt_ids)
    wipe.take_lock(connection, reply.wipe_lock)


def _same(message: DeviceReport, said: DeviceReport) -> bool:
    """Whether a report says nothing new. That the device has moved on since is no news: the server saw it pull."""
    moved_on = msgspec.structs.replace(
        said, cursor=message.cursor, epoch=message.epoch, incarnation=message.incarnation, receipts=(), proof=None
    )
    return message == moved_on


def _gather(connection: apsw.Connection, problem: StallReport | None, proof: Proof | None) -> DeviceReport:
    identity: Identity = require_identity(connection)
    incarnation = load(connection, Incarnation)
    assert incarnation is not None, "an identity always comes with an incarnation"
    at = checkpoint(connection)
    return DeviceReport(
        protocol_version=PROTOCOL_VERSION,
        device_id=identity.device_id,
        incarnation=incarnation.present,
        epoch=at.epoch,
        cursor=at.cursor,
        outbox_count=outbox.count(connection),
        oldest_unsent_ms=outbox.oldest_unsent_ms(connection),
        receipts=receipts.ready(connection),
        proof=proof,
        problem=problem,
    )

"""How a device is, for its user and for support."""

from uuid import UUID

import apsw
import msgspec

from client_sdk import health, outbox, receipts
from client_sdk.health import SyncHealth
from client_sdk.state import Identity, checkpoint, load
from sync_protocol.values import Instant


class DeviceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a device is. `oldest_unsent_ms` is when the oldest intent without a verdict was captured.

    `trouble` says why syncs fail and since when, None where the last one came through. `receipts_waiting` are for what was purged
    here, and not with the server yet.
    """

    identity: Identity | None
    epoch: UUID | None
    cursor: int
    as_of_ms: Instant
    clock_skew_ms: int | None
    outbox_count: int
    oldest_unsent_ms: int | None
    products: int
    customers: int
    trouble: SyncHealth | None = None
    receipts_waiting: int = 0


def device_status(connection: apsw.Connection) -> DeviceStatus:
    """How the device is now."""
    at = checkpoint(connection)
    waiting = outbox.entries(connection)
    return DeviceStatus(
        identity=load(connection, Identity),
        epoch=at.epoch,
        cursor=at.cursor,
        as_of_ms=at.as_of_ms,
        clock_skew_ms=at.clock_skew_ms,
        outbox_count=len(waiting),
        oldest_unsent_ms=min((entry.captured_at_ms for entry in waiting), default=None),
        products=connection.execute("SELECT count(*) FROM product").get,
        customers=connection.execute("SELECT count(*) FROM current_customer").get,
        trouble=health.current(connection),
        receipts_waiting=receipts.count(connection),
    )

"""Erasing a lost device, because its server said so with the key to this device's lock.

The order is written down beside the device's file first, and from then on the device is nobody's: whoever opens the file
again, after a kill too, first goes on erasing. Every file is overwritten before it is unlinked. What is left is the order
itself, with what it takes to confirm it, until the server has heard.
"""

import os
from collections.abc import Callable, Iterator
from glob import escape
from pathlib import Path
from typing import Final
from uuid import UUID

import apsw
import msgspec

from client_sdk.errors import RoadbookError
from client_sdk.replica_file import sync_folder
from client_sdk.state import Identity, Incarnation, load, save
from client_sdk.transport import HttpEndpoint
from sync_protocol.values import Instant
from sync_protocol.wire.codec import decode, digest, encode
from sync_protocol.wire.endpoint import SyncEndpoint
from sync_protocol.wire.messages import DeviceReport, StallReport
from sync_protocol.wire.version import PROTOCOL_VERSION

WIPED: Final = "wiped"
_ORDER: Final = "-wipe"
_PIECE: Final = bytes(1024 * 1024)


class WipeOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What the device was, as far as it takes to confirm that it is erased. `ordered_at_ms` is by its own clock."""

    server_url: str
    device_id: UUID
    token: str
    incarnation: bytes
    ordered_at_ms: Instant


def take_lock(connection: apsw.Connection, lock: bytes | None) -> None:
    """Keep the lock that a report was answered with, where the device was enrolled without one. It is never exchanged."""
    identity = load(connection, Identity)
    if identity is not None and identity.wipe_lock is None and lock is not None:
        save(connection, msgspec.structs.replace(identity, wipe_lock=lock))


def order_for(connection: apsw.Connection, wipe_key: bytes | None, now_ms: int) -> WipeOrder | None:
    """The order that this key gives, or None where it does not fit the lock that the device was given: nobody else can erase it."""
    identity, incarnation = load(connection, Identity), load(connection, Incarnation)
    if identity is None or incarnation is None or identity.wipe_lock is None or wipe_key is None:
        return None
    if digest(wipe_key) != identity.wipe_lock:
        return None
    return WipeOrder(
        server_url=identity.server_url,
        device_id=identity.device_id,
        token=identity.token,
        incarnation=incarnation.present,
        ordered_at_ms=max(0, now_ms),
    )


def begin(path: str, order: WipeOrder) -> None:
    """Write the order down, whole or not at all. There is no way back from here."""
    place, draft = Path(path + _ORDER), Path(path + _ORDER + "-draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, encode(order))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    draft.replace(place)
    sync_folder(place.parent)


def pending(path: str) -> WipeOrder | None:
    """The order under which this file was erased, or is being, and that the server has not heard to be done."""
    place = Path(path + _ORDER)
    return decode(place.read_bytes(), WipeOrder) if place.exists() else None


def resume(path: str) -> None:
    """Erase everything, where that was ordered: the device's own file first, then all that was made beside it."""
    if pending(path) is None:
        return
    for each in _files(path):
        _erase(each)
    sync_folder(Path(path).parent)


def _files(path: str) -> Iterator[Path]:
    """The device's files but for the order. What is in the first alone can act for the device: its token, and what it asks."""
    own = Path(path)
    if own.exists():
        yield own
    yield from sorted(each for each in own.parent.glob(f"{escape(own.name)}-*") if each.name != own.name + _ORDER)


def _erase(file: Path) -> None:
    with file.open("r+b") as opened:
        left = file.stat().st_size
        while left > 0:
            left -= opened.write(_PIECE[:left])
        opened.flush()
        os.fsync(opened.fileno())
    file.unlink()


async def confirm(path: str, endpoint_for: Callable[[str, str], SyncEndpoint]) -> bool:
    """Tell the server that this device is erased, and forget who it was; False where it cannot be told now."""
    order = pending(path)
    if order is None:
        return True
    report = DeviceReport(
        protocol_version=PROTOCOL_VERSION,
        device_id=order.device_id,
        incarnation=order.incarnation,
        epoch=None,
        cursor=0,
        problem=StallReport(code=WIPED, detail="the device has erased itself", since_ms=order.ordered_at_ms),
    )
    endpoint = endpoint_for(order.server_url, order.token)
    try:
        await endpoint.report(report)
    except RoadbookError:
        return False
    finally:
        if isinstance(endpoint, HttpEndpoint):
            await endpoint.close()
    _erase(Path(path + _ORDER))
    return True

"""What must hold beside the invariants once everything is at rest: of devices that were revoked, copied, or that purged.

A revoked device is asked to sync once more: it must be refused, what its leaver's outbox holds must be with a manager, and
of a lost one nothing may be left. Each purge that a device told of must have its receipt on the server.
"""

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final
from uuid import UUID

from client_sdk.errors import DeviceRevokedError
from sync_protocol.wire.codec import decode
from sync_protocol.wire.messages import IntentEnvelope, PushRequest
from tests.simulation.handset import Handset
from tests.simulation.trace import require

if TYPE_CHECKING:
    from tests.simulation.world import SimulatedWorld


class Pushers:
    """Who pushed last under which device's name: of two copies, one goes on, and the other becomes a device of its own.

    Copies that were made while a push had no answer both repeat that push; which of them goes on shows with the next one.
    """

    def __init__(self) -> None:
        self._last: dict[bytes, tuple[bytes, set[int]]] = {}
        self._former: set[tuple[bytes, int]] = set()

    def forget(self) -> None:
        """A restored server takes whoever comes first."""
        self._last.clear()
        self._former.clear()

    def note(self, place: int, body: bytes) -> None:
        """A push of this device was taken."""
        push = decode(body, PushRequest)
        device = push.device_id.bytes
        incarnation, places = self._last.get(device, (b"", set()))
        if push.next_incarnation == incarnation:
            places.add(place)
        else:
            self._former.update((device, other) for other in places - {place})
            self._last[device] = (push.next_incarnation, {place})
        require((device, place) not in self._former, "I-2", "of two copies of a device one goes on as it")


async def check_aftermath(world: "SimulatedWorld") -> None:
    """Raises ViolationError."""
    for handset in world.handsets:
        if handset.client is None:
            continue
        identity = handset.look(handset.client.status()).identity
        if identity is not None and identity.device_id.bytes in world.server.revoked_devices():
            await _check_revoked(world, handset)
        elif not handset.is_revoked and handset.protocol_version > 1:
            await _check_receipts(world, handset)


_OUTBOX: Final = "SELECT intent_id, envelope FROM outbox ORDER BY sequence"


async def _check_revoked(world: "SimulatedWorld", handset: Handset) -> None:
    handset.last_error = None
    await handset.attempt(lambda client: client.sync())
    if handset.is_wiped:
        left = [file.name for file in handset.folder.iterdir() if not file.name.endswith("-wipe")]
        require(not left, "I-5", f"of a lost device nothing is left, but {left}")
        return
    require(isinstance(handset.last_error, DeviceRevokedError), "I-5", "a revoked device is refused")
    if _is_left(world, handset):
        known = {row[0] for row in _ask(world, "SELECT id FROM quarantined_intent UNION SELECT id FROM intent_record")}
        waiting = [(row[0], decode(row[1], IntentEnvelope).lanes) for row in handset.query(_OUTBOX)]
        held: set[UUID] = set()
        for intent_id, lanes in waiting:
            # In pushes that had to be cut, what shares a lane with one that is with a manager waits on the device behind it.
            is_behind = world.plan.rates.get("too_large", 0) > 0 and not held.isdisjoint(lanes)
            require(intent_id in known or is_behind, "I-1", "what waits on the device of a user who left is with a manager")
            held.update(lanes)


def _is_left(world: "SimulatedWorld", handset: Handset) -> bool:
    assert handset.client is not None
    identity = handset.look(handset.client.status()).identity
    assert identity is not None
    sql = "SELECT 1 FROM device WHERE id = ? AND revoked_reason = 'left'"
    return bool(_ask(world, sql, identity.device_id.bytes))


async def _check_receipts(world: "SimulatedWorld", handset: Handset) -> None:
    """I-5: what a device gave back can be shown."""
    if handset.query("SELECT 1 FROM receipt"):
        await handset.sync()
    require(not handset.query("SELECT 1 FROM receipt"), "I-6", "with faults off every receipt is handed in")
    stored = set(_ask(world, "SELECT bucket, purged_at_cursor FROM purge_receipt"))
    require(handset.purged <= stored, "I-5", "what a device has purged has its receipt")


def _ask(world: "SimulatedWorld", sql: str, *bound: bytes) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(world.server.path)) as connection:
        return connection.execute(sql, bound).fetchall()

"""Who asks, and where the log stands: one look-up, on the snapshot that the answer is read from."""

from typing import Final
from uuid import UUID

import msgspec

from server.changelog.log import Head
from server.identity.credentials import DEVICE_PREFIX, same_digest, token_digest
from server.identity.errors import DeviceUnknownError
from server.identity.principals import Principal, Role
from server.identity.service import principal_of_token, revoked_for
from server.runtime.database import Database
from server.sync.devices import Asker, require_holder
from server.sync.errors import NotADeviceError
from server.sync.reader import Reader
from server.sync.scope import Holder


class Arrival(msgspec.Struct, frozen=True):
    """A device that asks, when it was noted as seen last, and where the log stands.

    `is_sealed` is false where a commit of another program has no place in the log yet.
    """

    asker: Asker
    last_seen_ms: int | None
    head: Head
    is_sealed: bool

    @property
    def holder(self) -> Holder:
        """Whose scope the device may hold."""
        return Holder(self.asker.principal.rep_id, self.asker.principal.customer_id, self.asker.holder_id)


_ARRIVAL_COLUMNS: Final = (
    "d.token_digest, d.revoked_at_ms, d.revoked_reason, d.wipe_key, d.number_prefix, d.incarnation, d.previous_incarnation, "
    "d.last_seen_ms, u.login, u.name, u.role, u.active, h.head, h.floor, c.change, c.committed_at_ms"
)
_ARRIVAL_IDS: Final = ("d.id", "u.id", "u.rep_id", "u.customer_id", "h.epoch", "d.proof_id")


async def arrival_of(database: Database, reader: Reader, token: str, device_id: UUID, now_ms: int) -> Arrival:
    """Who asks with this token and where the log stands, by one look-up on the reader's snapshot. Raises as `asker_of`."""
    if not token.startswith(DEVICE_PREFIX):
        async with database.read() as session:
            await principal_of_token(session, token, now_ms)
        raise NotADeviceError
    is_sealed = "NOT EXISTS (SELECT 1 FROM change_commit n WHERE n.change = h.head + 1)" if reader.is_sqlite else "true"
    columns = ", ".join((_ARRIVAL_COLUMNS, is_sealed, *map(reader.identifier, _ARRIVAL_IDS)))
    sql = f"""
        SELECT {columns} FROM change_head h LEFT JOIN change_commit c ON c.commit_seq = h.head
          LEFT JOIN device d ON d.token_digest = $1 LEFT JOIN user_account u ON u.id = d.user_id
    """  # noqa: S608  # no input in it
    digest = token_digest(token)
    (
        (stored, revoked_at_ms, reason, wipe_key, prefix, incarnation, previous, last_seen_ms, login, name, role, active, *rest),
    ) = await reader.all(sql, [digest])
    head, floor, change, committed_at_ms, sealed, *ids = rest
    found_id, user_id, rep_id, customer_id, epoch, proof_id = (UUID(bytes=each) if each is not None else None for each in ids)
    if stored is None or found_id is None or user_id is None or not same_digest(stored, digest):
        raise DeviceUnknownError
    if revoked_at_ms is not None:
        raise revoked_for(found_id, reason, wipe_key)
    if not active:
        raise DeviceUnknownError
    principal = Principal(
        user_id=user_id, login=login, name=name, role=Role(role), rep_id=rep_id, customer_id=customer_id, device_id=found_id
    )
    require_holder(principal, device_id)
    assert epoch is not None
    mark = (change, committed_at_ms) if change is not None else None
    asker = Asker(
        principal=principal,
        device_id=found_id,
        number_prefix=prefix,
        incarnation=incarnation,
        previous_incarnation=previous,
        proof_id=proof_id,
    )
    return Arrival(asker, last_seen_ms, Head(epoch, head, floor, mark), bool(sealed))

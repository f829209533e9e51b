"""What happens to a device, told to its application as it happens."""

from collections.abc import Callable

import msgspec

from client_sdk.journal import JournalEntry
from sync_protocol.wire.messages import ResyncReason


class VerdictArrived(msgspec.Struct, frozen=True):
    """The server decided an intent; it is in the journal."""

    entry: JournalEntry


class ScopeChanged(msgspec.Struct, frozen=True):
    """Buckets came into the scope, or went out of it and were purged."""

    gained: tuple[str, ...]
    lost: tuple[str, ...]


class CheckpointReached(msgspec.Struct, frozen=True):
    """The replica moved to a new checkpoint."""

    cursor: int
    as_of_ms: int


class ReplicaRebuilt(msgspec.Struct, frozen=True):
    """The replica had to be pulled anew; the outbox was kept, and `offered_again` acknowledged intents with it."""

    reason: ResyncReason
    offered_again: int


class DeviceRenewed(msgspec.Struct, frozen=True):
    """Another copy of this device had synced, so this one became a new device with a number prefix of its own."""

    number_prefix: str


Event = VerdictArrived | ScopeChanged | CheckpointReached | ReplicaRebuilt | DeviceRenewed
Listener = Callable[[Event], None]


class SyncProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a sync is: `phase` is `push` or `pull`; `expected` is 0 where it is not known."""

    phase: str
    done: int
    expected: int


class SyncReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one sync did. `deferred` intents wait because the server could not decide them yet; they are tried again."""

    rows: int
    verdicts: tuple[JournalEntry, ...]
    deferred: int
    cursor: int
    as_of_ms: int

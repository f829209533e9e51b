"""What happens to a device, told to its application as it happens."""

from collections.abc import Callable
from uuid import UUID

import msgspec

from client_sdk.errors import BeyondAppError, ReplicaDiffersError, RoadbookError, SyncStalledError
from client_sdk.journal import JournalEntry
from sync_protocol.wire.messages import BucketRange, ResyncReason


class VerdictArrived(msgspec.Struct, frozen=True):
    """The server decided an intent; it is in the journal."""

    entry: JournalEntry


class ScopeChanged(msgspec.Struct, frozen=True):
    """Buckets came into the scope, or went out of it and were purged.

    Where `is_restored`, a restore of the server from a backup was in between: it may not have what is lost, or not yet.
    """

    gained: tuple[str, ...]
    lost: tuple[str, ...]
    is_restored: bool = False


class CheckpointReached(msgspec.Struct, frozen=True):
    """The replica moved to a new checkpoint. `changed` counts the rows that came, changed or went, by the name of their entity.

    `ids` says which rows, for the entities of which at most a hundred changed; what is in `changed` alone is to be looked at
    as a whole. Rows of a bucket that came or went are among them.
    """

    cursor: int
    as_of_ms: int
    changed: dict[str, int]
    ids: dict[str, frozenset[UUID]]


class ReplicaRebuilt(msgspec.Struct, frozen=True):
    """The replica had to be pulled anew; the outbox was kept, and `offered_again` acknowledged intents with it."""

    reason: ResyncReason
    offered_again: int


class ReplicaRepaired(msgspec.Struct, frozen=True):
    """Rows that were not as the server has them were put right: these ranges came anew. `changed` is as in CheckpointReached.

    Where a range was too large to come alone, its bucket came, and all rows of that are counted.
    """

    ranges: tuple[BucketRange, ...]
    changed: dict[str, int]


class ReplicaDamaged(msgspec.Struct, frozen=True):
    """The file with what was synced is damaged, or was gone; a sync fetches all of it anew. Orders and drafts are kept."""

    cause: str


class ReplicaDiffers(msgspec.Struct, frozen=True):
    """What this device holds is not what the server has, or cannot be compared with it; every sync looks again."""

    error: ReplicaDiffersError | BeyondAppError


class DeviceRenewed(msgspec.Struct, frozen=True):
    """Another copy of this device had synced, or the server was restored to before its last push: it became a new device with a
    number prefix of its own.
    """

    number_prefix: str


class IntentTooLarge(msgspec.Struct, frozen=True):
    """The server does not take this intent, alone as it was sent. It is kept in the outbox, and tried again in a day."""

    intent_id: UUID
    detail: str


class SyncFailed(msgspec.Struct, frozen=True):
    """A try of a device that follows its server failed; the next one is in `next_try_seconds`. `since_ms`: the first of them."""

    error: RoadbookError
    next_try_seconds: float
    since_ms: int


class SyncStalled(msgspec.Struct, frozen=True):
    """There was no progress for three intervals. Told once, until there is progress again."""

    error: SyncStalledError


class SyncResumed(msgspec.Struct, frozen=True):
    """A sync came through after some that failed since `since_ms`."""

    since_ms: int


Event = (
    VerdictArrived
    | ScopeChanged
    | CheckpointReached
    | ReplicaRebuilt
    | ReplicaRepaired
    | ReplicaDamaged
    | ReplicaDiffers
    | DeviceRenewed
    | IntentTooLarge
    | SyncFailed
    | SyncStalled
    | SyncResumed
)
Listener = Callable[[Event], object]


class Listeners:
    """Who is told of events, as they come."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Tell this one, too; returns the way to stop it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def tell(self, event: Event) -> bool:
        """Tell all of them; False where there is none."""
        listeners = tuple(self._listeners)
        for listener in listeners:
            listener(event)
        return bool(listeners)


class SyncProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a sync is: `phase` is `push` (intents), `image` (bytes) or `pull` (rows); `expected` is 0 where it is not known."""

    phase: str
    done: int
    expected: int


class SyncReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one sync did. `deferred` intents wait because the server could not decide them yet; they are tried again.

    `image_rows` of the rows came in an image. `is_rebuilt` says that the replica was fetched anew, because the server said so or
    its file was damaged; `repaired_rows` are those that were found not to be as the server has them, and are now. `lost` are the
    buckets that went out of the scope and were purged. `is_restored` says that the server was found to be restored from a backup,
    and `offered_again` how many intents that it had decided were sent again, whose verdicts are in `verdicts` once more;
    `new_number_prefix` that this device became a new one, as in DeviceRenewed. These three may be of a sync before, which was
    killed or failed, and had no report.
    """

    rows: int
    verdicts: tuple[JournalEntry, ...]
    deferred: int
    cursor: int
    as_of_ms: int
    image_rows: int = 0
    is_rebuilt: bool = False
    repaired_rows: int = 0
    lost: tuple[str, ...] = ()
    is_restored: bool = False
    offered_again: int = 0
    new_number_prefix: str = ""


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What comparing everything with the server at `cursor` found. `is_equal` is as it was found; it is equal now.

    `rows` of `buckets` were computed anew; `differing` were not the server's and `repaired_ranges` of them are now.
    `changed` counts the rows that this changed here, by the name of their entity.
    """

    cursor: int
    as_of_ms: int
    is_equal: bool
    buckets: int
    rows: int
    differing: tuple[BucketRange, ...]
    repaired_ranges: int
    changed: dict[str, int]

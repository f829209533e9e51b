"""A device as its user knows it, and what the user was told: the ledger's pages of one device (I-1, I-2, I-4).

What was shown as saved, and each verdict that was shown, is written down here at that moment. The checks compare it
with the device's files by plain SQL, not with what the SDK says of itself.
"""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import apsw
import httpx2

from client_sdk import OrderClient
from client_sdk.clock import IdSource
from client_sdk.errors import DeviceRevokedError, DeviceWipedError, RoadbookError, StoreBusyError, UnknownRowError
from client_sdk.events import (
    CheckpointReached,
    DeviceRenewed,
    Event,
    ReplicaDiffers,
    ReplicaRebuilt,
    ReplicaRepaired,
    ScopeChanged,
    VerdictArrived,
)
from client_sdk.integrity import places_of
from client_sdk.replica_file import SCHEMA
from client_sdk.transport import HttpEndpoint
from sync_protocol.verdicts import Code, Verdict
from sync_protocol.wire.codec import decode
from sync_protocol.wire.messages import BucketRange, RangesRequest, ResyncReason
from tests.simulation.damage import Condition, note_violation
from tests.simulation.device import NEVER, DeviceKilledError, Fuse, begin_life, end_life
from tests.simulation.images import ImageWatch
from tests.simulation.network import Network, Wire
from tests.simulation.older import TODAY, OlderWire, in_first_words, is_same_verdict, knows_all, write_as_it_did
from tests.simulation.oracle import Snapshot, Tables
from tests.simulation.plan import DAY_MS
from tests.simulation.trace import ViolationError, require
from tests.support.world import SERVER_URL

if TYPE_CHECKING:
    from tests.simulation.world import SimulatedWorld

T = TypeVar("T")
_HELD_SUBMISSION = """
    SELECT 1 FROM journal amended JOIN journal made ON made.subject_id = amended.subject_id AND made.kind = 'SubmitOrder'
     WHERE amended.intent_id = ? AND made.intent_id <> amended.intent_id AND made.outcome <> 'rejected' AND made.received_at_ms > ?
"""


class DeviceClock:
    """The world's time, as wrong as this device's clock is."""

    def __init__(self, world_ms: Callable[[], int]) -> None:
        self._world_ms = world_ms
        self.ahead_ms = 0

    def now_ms(self) -> int:
        return max(0, self._world_ms() + self.ahead_ms)


def at_once(act: Coroutine[Any, Any, T]) -> T:
    """The result of an act of the SDK that waits for nothing, which all but `sync` and `enrol` are."""
    try:
        act.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # a coroutine's result is not typed here
    raise AssertionError("it waited")


class Told:
    """A verdict as its user saw it, and when."""

    def __init__(self, verdict: bytes, outcome: str, at_ms: int) -> None:
        self.verdict, self.outcome, self.at_ms = verdict, outcome, at_ms


class Handset:
    """One device. `holds` are the intents that it must not lose: by id, the order or customer that each is about."""

    def __init__(self, world: "SimulatedWorld", place: int, rep: int, folder: Path, protocol_version: int = TODAY) -> None:
        self.world, self.place, self.rep, self.folder = world, place, rep, folder
        self.clock = DeviceClock(world.clock.now_ms)
        self.ids = IdSource(self.clock, world.chance(f"ids/{place}"))
        self.network = Network(world.server, world.chance(f"network/{place}"), world.plan.rates, world.trace)
        self._client: OrderClient | None = None
        self.fuse: Fuse | None = None
        self.cut: Callable[[], dict[Path, bytes]] | None = None
        self.synchronous = ""
        self.holds: dict[bytes, bytes] = {}
        self.told: dict[bytes, Told] = {}
        self.epoch: UUID | None = None
        self.cursor = 0
        self.versions: dict[tuple[str, bytes], int] = {}
        self.is_doubtful = False
        self.has_caught_up = True
        self.is_revoked = False
        self.was_copied = False
        self.rebuilt_at_ms = 0
        self.original = -1
        self.purged: set[tuple[object, ...]] = set()
        self.network.pushed, self.network.asked = self._pushed, self._asked
        self.protocol_version, self.was_older = protocol_version, protocol_version < TODAY
        self.condition = Condition(is_older=self.was_older)
        self.images = ImageWatch(folder, world.trace.saw)
        self.is_wiped = False
        self.last_error: RoadbookError | None = None

    @property
    def rep_id(self) -> bytes:
        return self.world.company.reps[self.rep].id.bytes

    @property
    def client(self) -> OrderClient | None:
        """The SDK, while its process runs."""
        return None if self._client is None or self.life.dead else self._client

    @property
    def is_at_rest(self) -> bool:
        """Whether it lives, is its user's, and has been at a checkpoint: with faults off it must be as the server is."""
        return self.client is not None and not self.is_revoked and self.epoch is not None

    @property
    def compares_sums(self) -> bool:
        """Whether it compares its sums with the server's at each checkpoint."""
        return self.is_at_rest and self.protocol_version == TODAY

    def doubt(self) -> None:
        """Its server was restored by hand: an app of protocol 1 may not find out, and shows what it shows until it is told."""
        self.is_doubtful = self.was_older
        self.has_caught_up = False

    def lost_replica(self) -> None:
        """All that it held is gone; what waits is not."""
        self.epoch, self.cursor = None, 0
        self.versions.clear()
        self.condition.places.clear()

    # Its process

    async def switch_on(self) -> None:
        """Begin a process; one that dies or fails while it begins is begun again."""
        self._client = None
        for _ in range(20):
            self.life = begin_life(self.folder, self._died)
            self.life.fuse, self.life.cut = self.fuse, self.cut
            try:
                self._client = client = await self._open()
            except DeviceKilledError:
                end_life(self.life)
                continue
            except StoreBusyError:
                end_life(self.life)
                await asyncio.sleep(30)
                continue
            client.subscribe(self._hear)
            client._store.trace(self.life.trace)  # what it opens from now on dies at each statement too
            self.be_careless()
            self._read_journal()
            return
        raise AssertionError("a device that does not begin")

    async def _open(self) -> OrderClient:
        life, network = self.life, self.network
        wire = Wire(network, life) if self.protocol_version == TODAY else OlderWire(network, life)
        return await OrderClient.open(
            self.folder / "tablet.db",
            time_zone="Europe/Amsterdam",
            clock=self.clock,
            ids=self.ids,
            endpoint_for=lambda url, token: HttpEndpoint(url, token, transport=wire),
            page_rows=self.world.plan.page_rows,
            inline=True,
        )

    def _died(self, where: str) -> None:
        self.world.trace.note("device died", self.place, where)
        self.world.trace.saw("device: killed " + where.split(maxsplit=1)[0])

    def switch_off(self) -> None:
        """End the process at once, as a kill does."""
        self._client = None
        end_life(self.life)

    async def attempt(self, act: Callable[[OrderClient], Coroutine[Any, Any, T]]) -> T | None:
        """Do something with the device: its result, or None where it failed in a way that its user was told of."""
        self.world.trace.check()
        client, life = self.client, self.life
        if client is None:
            return None
        try:
            return await act(client)
        except (DeviceKilledError, apsw.ConnectionClosedError):
            assert life.dead, "nobody but a kill closes connections"
            if life is self.life:
                self.switch_off()
                await self.switch_on()
        except DeviceWipedError:
            self.world.trace.saw("device: wiped")
            self.switch_off()
            self.is_wiped, self.holds = True, {}
        except RoadbookError as error:
            self.last_error = error
            self.world.trace.note("error", self.place, type(error).__name__, aside=error)
            self.world.trace.saw(f"error: {type(error).__name__}")
        return None

    def be_careless(self) -> None:
        """Sync its files less than the product does, where a test wants to see what that costs."""
        if self.client is not None and self.synchronous:
            with self.life.looked_at():
                self.client._store.writer.execute(f"PRAGMA synchronous={self.synchronous}")

    def fold_logs(self) -> None:
        """Let SQLite fold its logs into its files, as it does by itself in time."""
        assert self.client is not None
        self.client._store.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def die_soon(self, statements: int, commits: int) -> None:
        self.life.dies_at = self.life.statements + statements if statements else NEVER
        self.life.dies_after_commits = commits or NEVER

    # What its user is told

    def query(self, sql: str, *bound: Any) -> list[tuple[Any, ...]]:
        """Plain SQL on the device's files, on one snapshot."""
        assert self.client is not None
        with self.life.looked_at():
            return self.client._store.read_now(lambda connection: list(connection.execute(sql, bound)))

    def look(self, act: Coroutine[Any, Any, T]) -> T:
        """The result of an act of the SDK that a check asks for, not the user."""
        with self.life.looked_at():
            return at_once(act)

    def saved(self) -> None:
        """An act returned: whatever is in the outbox is saved now, as its user was shown."""
        if self.protocol_version < TODAY:
            write_as_it_did(self)
        for intent_id, subject in self.query("SELECT intent_id, subject_id FROM outbox"):
            if intent_id not in self.told:
                self.holds.setdefault(intent_id, subject)
                self.world.ledger.saved.setdefault(intent_id, self.place)

    def _hear(self, event: Event) -> None:
        self.world.trace.note("event", self.place, type(event).__name__)
        match event:
            case VerdictArrived(entry):
                self._read_verdict(entry.intent_id.bytes)
                self._check_codes(entry.verdict)
                for code in entry.verdict.codes or (entry.verdict.outcome,):
                    self.world.trace.saw(f"verdict: {code.value}")
            case CheckpointReached():
                self.check_replica()
            case ReplicaRepaired(ranges, _):
                self._repaired(ranges)
            case ReplicaDiffers(error):
                self.world.trace.saw(f"error: {type(error).__name__}")
            case ReplicaRebuilt(reason, _):
                self.world.trace.saw(f"resync: {reason.value}")
                is_needed = reason is ResyncReason.BELOW_RETENTION or self.world.server.restores
                require(is_needed, "I-6", "no device starts anew for a restore where there was none")
                self.condition.excused |= self.is_doubtful
                self.rebuilt_at_ms, self.is_doubtful = self.world.clock.now_ms(), False
                if reason is not ResyncReason.BELOW_RETENTION:  # a backup that is put back has the epoch of its day
                    self.cursor = 0
                    self.versions.clear()
            case DeviceRenewed():
                self.world.trace.saw("device: renewed")
                require(self.was_copied or self.world.server.restores, "I-2", "a device that was not copied stays itself")
            case ScopeChanged(gained, lost):
                self.purged.update((bucket, self.cursor) for bucket in lost)
                self.world.trace.saw(f"scope: {'gained' if gained else ''}{'lost' if lost else ''}")

    def _read_verdict(self, intent_id: bytes) -> None:
        rows = self.query("SELECT verdict, outcome FROM journal WHERE intent_id = ?", intent_id)
        require(rows, "I-1", "a verdict that is told is in the journal")
        verdict, outcome = rows[0]
        self.world.trace.note("verdict", self.place, intent_id.hex(), outcome)
        decided = self.world.server.history.ever.get(intent_id, ())
        require(any(self.is_same(verdict, each) for each in decided), "I-2", "what is told is what the server decided")
        before = self.told.get(intent_id)
        changed = before is not None and not self.is_same(before.verdict, verdict)
        require(not changed or self.world.server.restores, "I-2", "a verdict that was told never changes")
        self.told[intent_id] = Told(verdict, outcome, self.world.clock.now_ms())

    def is_same(self, one: bytes, other: bytes) -> bool:
        """Whether two verdicts are the same to this device."""
        return one == other or (self.was_older and is_same_verdict(one, other))

    def _check_codes(self, verdict: Verdict) -> None:
        """I-2: a verdict is about what was asked, in the order in which it was asked."""
        is_older = self.protocol_version < TODAY
        is_too_old = is_older and bool(self.world.server.history.forgotten)  # for which such a device has no other word
        require(is_too_old or Code.MALFORMED not in verdict.codes, "I-2", "what the SDK asks is never malformed")
        require(not is_older or knows_all(code.value for code in verdict.codes), "I-2", "a device is told what it can know")
        for change in verdict.changes:
            is_twice = change.code is Code.NUMBER_CHANGED and str(change.after).startswith(str(change.before))
            may_be = any(each.was_copied for each in self.world.handsets) or self.world.server.was_restored_by_hand
            what = "no two devices number an order alike, unless one is a copy or the server forgot whose the prefix is"
            require(not is_twice or may_be, "I-2", what)
        overtook = {Code.UNKNOWN_ORDER, Code.UNKNOWN_CUSTOMER}.intersection(verdict.codes)
        if self.is_doubtful or not overtook:
            return
        since = self.world.clock.now_ms() - 13 * DAY_MS
        held = self.query(_HELD_SUBMISSION, verdict.intent_id.bytes, since)
        require(self.world.server.restores and not held, "I-2", "no intent overtakes the one that it builds on")

    def _pushed(self, body: bytes) -> None:
        """What it shows is kept aside: in the midst of a request the SDK could take it for a failure of the network."""
        try:
            if self.protocol_version < TODAY:
                self.world.trace.saw("device: pushed by protocol 1")
            if not self.is_revoked:
                self.world.pushers.note(self.place, body)
        except ViolationError as error:
            note_violation(self.world, error)

    def _asked(self, request: httpx2.Request, body: bytes) -> None:
        """As with what is pushed."""
        path = request.url.path
        if path == "/sync/ranges" and decode(body, RangesRequest).recount:
            self.world.trace.saw("device: asked for a recount")
        try:
            self.images.asked(request, body)
            if not self.is_doubtful:
                self.condition.asked(path)
        except ViolationError as error:
            note_violation(self.world, error)

    def _repaired(self, ranges: tuple[BucketRange, ...]) -> None:
        self.world.trace.saw("device: repaired")
        if not self.is_doubtful:
            self.condition.repaired(places_of(ranges), sums_are_spoiled=self.world.sums_are_spoiled)
            if not self.condition.places:
                self.check_replica()

    def _read_journal(self) -> None:
        """After a start: what the journal shows is told, even if the process died before it could say so."""
        for intent_id, verdict in self.query("SELECT intent_id, verdict FROM journal"):
            told = self.told.get(intent_id)
            if told is None or told.verdict != verdict:
                self._read_verdict(intent_id)

    # What must hold

    def check_held(self) -> None:
        """I-1: what was saved and has no verdict is in the outbox, whatever happened."""
        if self.client is None:
            return
        waiting = {row[0] for row in self.query("SELECT intent_id FROM outbox UNION SELECT intent_id FROM journal")}
        for intent_id in self.holds:
            require(intent_id in waiting or intent_id in self.told, "I-1", "what was shown as saved is in the outbox")

    def check_shown(self) -> None:
        """I-4: own saved orders are visible until the replica shows what became of them; no list is ever empty between."""
        if self.client is None:
            return
        if self.cursor:
            require(self.look(self.client.search("", limit=1)), "I-4", "a list is never transiently empty")
        pending = """
            SELECT subject_id FROM outbox WHERE kind = 'SubmitOrder'
            UNION SELECT subject_id FROM journal WHERE kind = 'SubmitOrder' AND outcome <> 'rejected' AND commit_seq > ?
        """
        shown_at = self.look(self.client.status()).cursor  # it may have died before it could say that it has come so far
        for (order_id,) in self.query(pending, shown_at):
            try:
                self.look(self.client.order(UUID(bytes=order_id)))
            except UnknownRowError:
                require(False, "I-4", "own saved writes are visible")

    def check_replica(self, *, is_latest: bool = False) -> None:
        """I-3, I-4, I-5: the replica is what the server had at the replica's cursor, no more, no less, and nothing went back.

        What came from a server before it was restored by hand is as of its past; `is_latest` asks for its present.
        """
        assert self.client is not None
        status = self.look(self.client.status())
        assert status.epoch is not None
        if status.epoch == self.epoch:
            require(status.cursor >= self.cursor or self.is_doubtful, "I-4", "the cursor never goes back")
        else:
            self.versions.clear()
        self.epoch, self.cursor = status.epoch, status.cursor
        self.world.trace.note("checkpoint", self.place, status.cursor)
        if self.is_doubtful or self._is_damaged():
            return
        history = self.world.server.history
        past = history.at(status.epoch.bytes, status.cursor)
        require(past, "I-3", "a checkpoint is a place where the server has been")
        rows = {
            table: self.query(f"SELECT commit_seq, {', '.join(names)} FROM {table} ORDER BY id")
            for table, names in history.columns.names.items()
        }
        shown = {table: [row[1:] for row in each] for table, each in rows.items()}
        views = [self._view(then) for then in (past[-1:] if is_latest else past)]
        expected = next((view for view in views if view == shown), views[-1])
        for table, each in rows.items():
            self._check_table(table, each, expected[table])

    def _view(self, then: Snapshot) -> Tables:
        """What it must show of a place of the log."""
        view = then.view(self.rep_id)
        if self.protocol_version == TODAY:
            return view
        place = self.world.server.history.columns.place
        return {table: in_first_words(table, place[table], rows) for table, rows in view.items()}

    def _is_damaged(self) -> bool:
        """Whether what is shown was damaged, or came in the words of another version, and is not repaired."""
        if self.condition.is_older and self.protocol_version == TODAY:
            return True
        if self.condition.places:
            ((file,),) = self.query("SELECT file FROM pragma_database_list WHERE name = ?", SCHEMA)
            if Path(file).name != self.condition.file:
                self.condition.places.clear()
        return bool(self.condition.places)

    def _check_table(self, table: str, rows: list[tuple[Any, ...]], expected: list[tuple[Any, ...]]) -> None:
        shown = [row[1:] for row in rows]
        if shown != expected:
            lacking = [row for row in expected if row not in shown]
            further = [row for row in shown if row not in expected]
            require(False, "I-5" if further and not lacking else "I-3", f"{table}: lacks {lacking[:2]}, has beyond {further[:2]}")
        for version, row_id, *_ in rows:
            require(version >= self.versions.get((table, row_id), 0), "I-4", "a row's version never goes back")
            self.versions[table, row_id] = version

    async def enrol(self, login: str) -> None:
        """With a code of its user's, where it is not enrolled yet."""
        code = await self.world.code_for(login)
        if code is not None:
            await self.attempt(lambda client: client.enrol(SERVER_URL, code, f"device {self.place}"))

    async def verify(self, *, is_equal: bool | None) -> None:
        """I-3: compare everything with the server; `is_equal` is how it must be found, None where either may be."""
        before, self.condition.excused = self.condition.excused, True
        found = await self.attempt(lambda client: client.verify())
        self.condition.excused = before
        require(found is not None, "I-6", "with faults off a replica can be verified")
        assert found is not None
        require(is_equal in {None, found.is_equal}, "I-3", f"a replica is verified to be equal, this has {found.differing}")

    async def sync(self) -> bool:
        """Whether it came through. One that is not enrolled is; one that a restored server has forgotten is enrolled anew."""
        client, login = self.client, f"rep{self.rep}"
        if client is not None and self.look(client.status()).identity is None:
            await self.enrol(login)
        self.last_error = None
        report = await self.attempt(lambda client: client.sync())
        if isinstance(self.last_error, DeviceRevokedError) and not self.is_revoked:
            require(self.world.server.restores, "I-6", "only a restored server forgets a device")
            await self.enrol(login)
        self.check_held()
        self.check_shown()
        self.has_caught_up |= report is not None
        return report is not None

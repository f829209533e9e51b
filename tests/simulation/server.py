"""The server: the real application and endpoint over a SQLite file, in a process that crashes, is restored and comes back."""

import asyncio
import random
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx2
import msgspec
from litestar import Litestar
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from server.app import create_app, intent_handlers
from server.changelog.log import read_head, rotate_epoch, seal_before_commit
from server.identity.authentication import Admissions
from server.identity.devices import forget_after_restore
from server.runtime.clock import Clock, IdSource
from server.runtime.database import Database, WriteSession, engine_url, sqlite_engine
from server.runtime.errors import ProblemError
from server.runtime.slices import IntentHandler
from server.settings import Settings
from server.sync.endpoint import ServerEndpoint
from sync_protocol.intents import Intent
from sync_protocol.wire.codec import (
    ANSWERS_HEADER,
    DIGEST_HEADER,
    MESSAGE_MEDIA_TYPE,
    PAGE_MEDIA_TYPE,
    WireError,
    decode,
    digest,
    encode,
)
from sync_protocol.wire.messages import DeviceReport, EnrolRequest, ForkRequest, ImageRequest, PullRequest, PushRequest
from tests.simulation.authority import InlineConnection, Process, ServerKilledError
from tests.simulation.images import StorageInThisThread
from tests.simulation.network import Answer
from tests.simulation.oracle import Columns, History
from tests.simulation.trace import Trace, ViolationError

T = TypeVar("T")
_MESSAGES: Final = {
    "/sync/enrol": EnrolRequest,
    "/sync/fork": ForkRequest,
    "/sync/push": PushRequest,
    "/sync/report": DeviceReport,
    "/sync/image": ImageRequest,
}
_PROBLEM: Final = "application/problem+json"


class _Slot:
    """Which process the engine's next connection belongs to. There is one engine: it remembers how statements compile."""

    process: Process | None = None


async def _connect(*_: object, **__: object) -> InlineConnection:
    assert _Slot.process is not None
    return await _Slot.process.connect()


@cache
def shared_engine() -> AsyncEngine:
    return sqlite_engine(engine_url("sqlite:///simulated"), 20, async_creator=_connect)


def open_in_this_thread(process: Process) -> Database:
    """The database of a process whose statements run in this thread; there is one such process at a time."""
    _Slot.process = process
    return Database(f"sqlite:///{process.path}", before_commit=seal_before_commit, engine=shared_engine())


async def bury(process: Process) -> None:
    """Let go of the process's connections, wherever they are."""
    process.bury()
    await shared_engine().dispose(close=False)


@cache
def shared_app() -> Litestar:
    return create_app(Settings(database_url="sqlite:///simulated"))


async def warm_up(path: Path, now_ms: Callable[[], int]) -> None:
    """Let the engine ask what it asks once in its life, so that the first run counts the statements that all others do."""
    _Slot.process = process = Process(str(path), now_ms)
    database = Database(f"sqlite:///{path}", engine=shared_engine())
    async with database.read() as session:
        await read_head(session)
    process.bury()
    await shared_engine().dispose(close=False)


class SimulatedServer:
    """A server that can be crashed before or after any statement, and restored from a backup."""

    def __init__(
        self, folder: Path, columns: Columns, clock: Clock, chance: random.Random, trace: Trace, *, through_app: bool
    ) -> None:
        self.path = folder / "server.db"
        self.clock, self.trace, self._chance = clock, trace, chance
        self.ids = IdSource(clock, random.Random(chance.getrandbits(64)))
        self.history = History(columns)
        self.poison_rate = 0.0
        self.pause: Callable[[], float] | None = None
        self.fuse: Callable[[], str] | None = None
        self._through_app = through_app
        self.images = StorageInThisThread(f"{self.path}-images")
        self._handlers = self._poisoned(intent_handlers())
        self._oracle: sqlite3.Connection | None = None
        self.restores = 0
        self.was_restored_by_hand = False
        self.others: list[sqlite3.Connection] = []
        self.is_up = False

    # One process after the other

    async def start(self) -> None:
        self.process = Process(str(self.path), self.clock.now_ms)
        self.process.pause, self.process.fuse = self.pause, self.fuse
        self.database = open_in_this_thread(self.process)
        if self._oracle is None:
            self._oracle = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        oracle = self._oracle
        self.process.committed = lambda: self._committed(oracle)
        if self.history.latest is None:
            self.history.restart_from(oracle)
        self.admissions = Admissions(asyncio.get_running_loop().time)
        self.is_up = True

    def _committed(self, oracle: sqlite3.Connection) -> None:
        """What the oracle finds is kept aside: the product could take it for a failure of its own and go on."""
        try:
            self.history.note_commit(oracle)
        except ViolationError as error:
            self.trace.violation = self.trace.violation or error

    async def stop(self) -> None:
        """The process ends, whatever it was doing; what it was doing finds out at its next statement."""
        self.is_up = False
        await bury(self.process)

    async def close(self) -> None:
        await self.stop()
        if self._oracle is not None:
            self._oracle.close()

    async def crashed(self) -> None:
        """After a statement killed it: it is started again within a minute."""
        if self.process.dead and self.is_up:
            self.trace.note("server crashed", self.process.statements)
            self.trace.saw("server: killed")
            await self.stop()
            await asyncio.sleep(self._chance.random() * 60)
            if not self.is_up:
                await self.start()

    def be_sound(self) -> None:
        """From here on nothing goes wrong with it, but for its own defects, which stay."""
        self.pause = None
        self.process.dies_before = self.process.dies_after = self.process.pause = None
        if not self.process.dead:
            self.process.limit_pages(None)

    def crash_soon(self, statements: int, *, after: bool) -> None:
        """Die before or after the n-th statement from now."""
        at = self.process.statements + 1 + statements
        if after:
            self.process.dies_after = at
        else:
            self.process.dies_before = at

    # What is asked of it

    async def answer(self, request: httpx2.Request, body: bytes) -> Answer:
        """Raises ConnectionError where the process is not there, or dies before it has answered."""
        if not self.is_up:
            raise ConnectionError("nobody listens")
        process = self.process
        try:
            if self._through_app or request.url.path not in {*_MESSAGES, "/sync/pull"}:
                answer = await self._ask_app(request, body)
            else:
                answer = await self._ask_endpoint(request, body)
        except ServerKilledError as error:
            await self.crashed()
            raise ConnectionError("the server died") from error
        if process.dead:
            raise ConnectionError("the server died")
        self.trace.note("answer", request.url.path, answer.status, len(answer.body))
        return answer

    async def _ask_endpoint(self, request: httpx2.Request, body: bytes) -> Answer:
        """What the routes do, without their framework: ten of eleven seeds ask so, for speed."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        endpoint = ServerEndpoint(self.database, self._handlers, self.clock, self.ids, token, images=self.images)
        path = request.url.path
        answers = (ANSWERS_HEADER.lower().encode(), digest(body).hex().encode())
        try:
            if path == "/sync/pull":
                page = await endpoint.page(decode(body, PullRequest))
                return Answer(200, [(b"content-type", PAGE_MEDIA_TYPE.encode()), answers], page)
            method = getattr(endpoint, path.removeprefix("/sync/"))
            reply = encode(await method(decode(body, _MESSAGES[path])))
            told = (DIGEST_HEADER.lower().encode(), digest(reply).hex().encode())
            return Answer(200, [(b"content-type", MESSAGE_MEDIA_TYPE.encode()), told, answers], reply)
        except ProblemError as error:
            return _problem(error.status, error.code, error.detail)
        except WireError as error:
            return _problem(400, "invalid_request", str(error))
        except DBAPIError as error:
            return _problem(503, "busy", type(error.orig).__name__)

    async def _ask_app(self, request: httpx2.Request, body: bytes) -> Answer:
        app = shared_app()
        app.state.database, app.state.clock, app.state.ids = self.database, self.clock, self.ids
        app.state.intent_handlers, app.state.images, app.state.admissions = self._handlers, self.images, self.admissions
        return await call(app, request, body)

    async def work(self, act: Callable[[WriteSession], Awaitable[T]]) -> T | None:
        """Something the office does, in a transaction; None where the server was not there or refused."""
        if not self.is_up:
            return None
        try:
            async with self.database.write() as session:
                return await act(session)
        except ServerKilledError:
            await self.crashed()
        except (ProblemError, DBAPIError) as error:
            self.trace.note("office refused", type(error).__name__)
        return None

    # Its backups

    def back_up(self, target: Path) -> None:
        """A consistent copy, made by SQLite."""
        assert self._oracle is not None
        copy = sqlite3.connect(target)
        self._oracle.backup(copy)
        copy.close()

    async def restore(self, backup: Path, *, by_the_book: bool) -> None:
        """Put a backup in its place; by the book, `roadbook restored` is run before it serves again."""
        await self.stop()
        assert self._oracle is not None
        for connection in (self._oracle, *self.others):
            connection.close()
        self.others.clear()
        self._oracle = None
        for end in ("-wal", "-shm"):
            self.path.with_name(self.path.name + end).unlink(missing_ok=True)
        shutil.copyfile(backup, self.path)
        self.history.latest = None
        self.restores += 1
        self.was_restored_by_hand |= not by_the_book
        await self.start()
        if by_the_book:
            await self.say_restored()

    async def say_restored(self) -> None:
        """What the command `roadbook restored` does; its operator says it again until it has worked."""

        async def act(session: WriteSession) -> bool:
            await rotate_epoch(session, self.ids.new())
            await forget_after_restore(session)
            return True

        while not await self.work(act):  # noqa: ASYNC110  # in virtual time, until a server that crashed is there again
            await asyncio.sleep(60)

    def has_foreign_writes(self) -> bool:
        """Whether another program wrote something that has no place in the log yet."""
        assert self._oracle is not None
        sql = "SELECT 1 FROM change_commit JOIN change_head ON change > head"
        return self._oracle.execute(sql).fetchone() is not None

    def revoked_devices(self) -> set[bytes]:
        assert self._oracle is not None
        return {row[0] for row in self._oracle.execute("SELECT id FROM device WHERE revoked_at_ms IS NOT NULL")}

    def _poisoned(self, handlers: Mapping[type[Intent], IntentHandler]) -> dict[type[Intent], IntentHandler]:
        """Handlers that fail on some intents, each time or the first times: defects of the server's own."""

        def wrap(handler: IntentHandler) -> IntentHandler:
            async def handle(session: WriteSession, intent: Any, context: Any) -> Any:
                drawn = random.Random(context.intent_id.int)
                if drawn.random() < self.poison_rate:
                    self._failures[context.intent_id] = count = self._failures.get(context.intent_id, 0) + 1
                    if count <= drawn.choice((1, 3, 1_000)):
                        self.trace.saw("server: poison")
                        raise RuntimeError("a defect")
                return await handler(session, intent, context)

            return handle

        self._failures: dict[Any, int] = {}
        return {kind: wrap(handler) for kind, handler in handlers.items()}


def _problem(status: int, code: str, detail: str) -> Answer:
    body = msgspec.json.encode({"code": code, "detail": detail})
    return Answer(status, [(b"content-type", _PROBLEM.encode())], body)


async def call(app: Litestar, request: httpx2.Request, body: bytes) -> Answer:
    """One request through the whole application."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "https",
        "path": request.url.path,
        "raw_path": request.url.raw_path.partition(b"?")[0],
        "query_string": request.url.query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "server": ("server.test", 443),
        "client": ("device.test", 1),
    }
    ended, given, begun, parts = asyncio.Event(), False, [], []

    async def receive() -> dict[str, Any]:
        nonlocal given
        if given:
            await ended.wait()
            return {"type": "http.disconnect"}
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            begun.append(message)
            return
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            ended.set()

    await app(scope, receive, send)  # type: ignore[arg-type]  # an ASGI scope is a plain dict
    return Answer(begun[0]["status"], list(begun[0]["headers"]), b"".join(parts))

"""Where benchmarks happen: a database of each engine with the standard work in it, a real server process, and devices."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import msgspec
import psutil

from benchmarks.standard_work import StandardWork
from server.changelog.log import seal_before_commit
from server.customers.models import RepTerritoryModel
from server.identity.principals import Role
from server.identity.service import create_enrolment_code, create_user, user_of_login
from server.integration.bulk import upsert_rows
from server.migrations import migrate
from server.runtime.clock import IdSource, SystemClock
from server.runtime.database import Database
from sync_protocol.entities import BY_ROW
from sync_protocol.values import Row
from tests.support import postgres as postgres_support
from tests.support.databases import postgres_database

LOGIN: Final = "rep"
COMMIT_ROWS: Final = 20_000
_START_SECONDS_MAX: Final = 60
# Tests run on a PostgreSQL that may lose everything; a benchmark's must be as durable as a company's.
_DURABLE: Final = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "autovacuum": "on",
    "wal_level": "replica",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
}


class Premises:
    """A server with its database, and a folder for devices. What is shared by benchmarks is made when it is first asked for."""

    def __init__(self, engine: str, folder: Path, database_url: str, work: StandardWork) -> None:
        self.engine = engine
        self.folder = folder
        self.database_url = database_url
        self.work = work
        self.images = folder / "images"
        self.server_url = f"http://127.0.0.1:{_free_port()}"
        self.others: tuple[psutil.Process, ...] = _children("postgres") if engine == "postgresql" else ()
        self.kept: dict[str, Any] = {}
        self._server: subprocess.Popen[bytes] | None = None

    def run(self, act: Callable[[Database], Any]) -> Any:
        """Run a coroutine function of a database, in a loop and on an engine of its own."""

        async def running() -> Any:
            async with opened(self.database_url) as database:
                return await act(database)

        return asyncio.run(running())

    def found(self) -> float:
        """Migrate, load the standard work and hire the rep; the seconds that the rows took."""
        self.run(migrate)
        began = time.perf_counter()
        self.run(self._load)
        seconds = time.perf_counter() - began
        self.run(self._hire)
        return seconds

    async def _load(self, database: Database) -> None:
        for rows in self.work.tables():
            for some in batches(rows, COMMIT_ROWS):
                async with database.write() as session:
                    await upsert_rows(session, BY_ROW[type(some[0])], some)

    async def _hire(self, database: Database) -> None:
        clock = SystemClock()
        async with database.write() as session:
            session.add(RepTerritoryModel(rep_id=self.work.rep.id, territory_id=self.work.territory.id))
            await session.flush()
            await create_user(
                session,
                ids=IdSource(clock),
                now_ms=clock.now_ms(),
                login=LOGIN,
                name="The rep",
                role=Role.REP,
                rep_id=self.work.rep.id,
            )

    def code(self) -> str:
        """A fresh enrolment code for the rep."""

        async def make(database: Database) -> str:
            async with database.write() as session:
                user = await user_of_login(session, LOGIN)
                issued = await create_enrolment_code(
                    session, user_id=user.id, created_by_id=user.id, now_ms=SystemClock().now_ms(), valid_minutes=60
                )
                return issued.code

        return str(self.run(make))

    @property
    def server(self) -> psutil.Process:
        """The server's process; started where it does not run."""
        if self._server is None:
            self.start_server()
        assert self._server is not None
        return psutil.Process(self._server.pid)

    def start_server(self) -> None:
        """Start `roadbook serve` anew and wait until it is well."""
        self.stop_server()
        environment = {
            **os.environ,
            "ROADBOOK_DATABASE_URL": self.database_url,
            "ROADBOOK_HOST": "127.0.0.1",
            "ROADBOOK_PORT": self.server_url.rpartition(":")[2],
            "ROADBOOK_IMAGES_URL": str(self.images),
            "ROADBOOK_IMAGES_MAX": "0",  # a build in the background would disturb what is measured; who wants images builds them
        }
        log = (self.folder / "server.log").open("ab")
        self._server = subprocess.Popen((sys.executable, "-m", "server", "serve"), env=environment, stdout=log, stderr=log)
        began = time.monotonic()
        while not self._is_well():
            if self._server.poll() is not None or time.monotonic() - began > _START_SECONDS_MAX:
                raise RuntimeError(f"the server did not start: {(self.folder / 'server.log').read_text()[-2000:]}")
            time.sleep(0.05)

    def _is_well(self) -> bool:
        try:
            return httpx2.get(f"{self.server_url}/healthz", timeout=5).status_code == httpx2.codes.OK
        except httpx2.TransportError:
            return False

    def stop_server(self) -> None:
        """Stop the server's process, where it runs."""
        process, self._server = self._server, None
        if process is not None:
            process.terminate()
            process.wait(30)

    def device(self, command: str, **arguments: object) -> Any:
        """Run a command of `benchmarks.device` in a process of its own, which is nothing but a device."""
        made = subprocess.run(
            (sys.executable, "-m", "benchmarks.device", command),
            input=msgspec.json.encode(arguments),
            capture_output=True,
            check=False,
        )
        if made.returncode != 0:
            raise RuntimeError(f"the device failed at {command}: {made.stderr.decode()[-2000:]}")
        return msgspec.json.decode(made.stdout)

    def synced_device(self) -> Path:
        """A device of the rep with everything on it; made by whoever asks first."""
        path = self.kept.get("device")
        if path is None:
            _ = self.server
            path = self.folder / "device.db"
            self.device("first_sync", path=str(path), server_url=self.server_url, code=self.code())
            self.kept["device"] = path
        return Path(path)


@asynccontextmanager
async def opened(database_url: str) -> AsyncIterator[Database]:
    """A database, closed where the block ends."""
    database = Database(database_url, before_commit=seal_before_commit, pool_size=4)
    try:
        yield database
    finally:
        await database.close()


def batches(rows: Iterator[Row], size: int) -> Iterator[list[Row]]:
    """Rows of one table, some at a time."""
    some: list[Row] = []
    for row in rows:
        some.append(row)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some


@contextmanager
def premises(engine: str, folder: Path, work: StandardWork) -> Iterator[Premises]:
    """Premises with the standard work loaded; everything ends and goes with the block."""
    with database_of(engine, folder) as url:
        place = Premises(engine, folder, url, work)
        try:
            place.kept["load_seconds"] = place.found()
            yield place
        finally:
            place.stop_server()


@contextmanager
def database_of(engine: str, folder: Path) -> Iterator[str]:
    """The URL of an empty, durable database of this engine."""
    if engine == "sqlite":
        yield f"sqlite:///{folder / 'server.db'}"
        return
    with _durable_postgres() as admin_url, postgres_database(admin_url) as url:
        yield url


@contextmanager
def _durable_postgres() -> Iterator[str]:
    settings: Mapping[str, str] = dict(postgres_support._SETTINGS)
    postgres_support._SETTINGS.update(_DURABLE)
    try:
        with postgres_support.postgres_server() as url:
            yield url
    finally:
        postgres_support._SETTINGS.update(settings)


def _children(name: str) -> tuple[psutil.Process, ...]:
    """The topmost of our child processes of this name."""
    found = [each for each in psutil.Process().children(recursive=True) if each.name() == name]
    return tuple(each for each in found if each.ppid() not in {other.pid for other in found})


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

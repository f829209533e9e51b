"""The device's files: its own, with what must never be lost, and the replica that is shown, each act on both at once.

Two connections, each in a thread of its own, so that reading never waits for a sync; a third one builds a new replica
beside the one that is shown. SQLite commits the two files of one act one after the other, the device's own first. What was
lost of the second by a kill in between is only the overlay, which `mend` lays anew before anything is read or written.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import apsw
import msgspec

from client_sdk import damage, replica_file
from client_sdk.connection import APPLICATION_ID, BUSY_MS, connect, snapshot, transaction, translated
from client_sdk.errors import (
    ReplicaDamagedError,
    RoadbookError,
    StoreBusyError,
    StoreDamagedError,
    StoreError,
    StoreFailedError,
    StoreFullError,
)
from client_sdk.state import ReplicaFiles, is_laid, last_change, load, lose_overlay, save

P = ParamSpec("P")
T = TypeVar("T")

Tracer = Callable[[apsw.Cursor, str, Any], bool]
_LOOKS_MAX: Final = 5


class _UnmendedError(Exception):
    """A reader found a replica file that only a writing act can mend."""


class Store:
    """A device's files and its connections. `inline` runs everything in the caller's thread, for tests that count statements.

    Before `prepare` there is the device's own file alone. `mend` lays the overlay anew; it is called inside the writing
    act that found it behind what waits. `on_damage` is told what is wrong with a replica, until it returns that it was heard.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        inline: bool = False,
        mend: Callable[[apsw.Connection], None] | None = None,
        on_damage: Callable[[str], bool] = lambda _cause: False,
    ) -> None:
        self.path = str(path)
        self._inline = inline
        self._mend = mend
        self._ended: RoadbookError | None = None
        self._tracer: Tracer | None = None
        self._attached: dict[apsw.Connection, int] = {}
        self._is_prepared, self._building = False, 0
        self._builder: apsw.Connection | None = None
        self.tell_damage = damage.Teller(on_damage).tell
        with translated(self.path):
            self.writer, self.reader = self._connect()
        self._threads = {name: ThreadPoolExecutor(1, f"roadbook-{name}") for name in ("write", "read", "build")}

    def _connect(self) -> tuple[apsw.Connection, apsw.Connection]:
        return connect(self.path, APPLICATION_ID), connect(self.path, APPLICATION_ID, read_only=True)

    async def prepare(self, migrate: Callable[[apsw.Connection, str], bool]) -> None:
        """Create or migrate the device's own tables, and see to it that there is a replica to show. Raises StoreError."""
        await self._run("write", self._prepare, migrate)
        try:
            await self.write(_nothing)
        except ReplicaDamagedError as error:
            await self._run("write", self._empty_shown, error.cause)
            await self.write(_nothing)

    def _prepare(self, migrate: Callable[[apsw.Connection, str], bool]) -> None:
        with translated(self.path):
            with transaction(self.writer):
                was_moved = migrate(self.writer, self.path)
            if was_moved:
                self.writer.execute("VACUUM")
            self._is_prepared = True
            with transaction(self.writer):
                replica_file.ensure_shown(self.writer, self.path)

    async def write(self, act: Callable[Concatenate[apsw.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `act` in one transaction: all of it is saved when this returns, or nothing is and it raises.

        Where the replica turns out to be too damaged for the overlay, what the user made is saved without being laid on it.
        """
        try:
            return await self._run("write", self.write_now, act, *args, **kwargs)
        except ReplicaDamagedError:
            return await self._run("write", self._write_again, act, *args, **kwargs)

    async def read(self, act: Callable[Concatenate[apsw.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `act` on one snapshot."""
        try:
            return await self._run("read", self._read_mended, act, *args, **kwargs)
        except _UnmendedError:
            cause: StoreError = StoreBusyError()
            try:
                await self.write(_nothing)
            except (StoreFullError, StoreFailedError) as error:
                cause = error  # what is here can be read all the same
            return await self._run("read", self._read_again, cause, act, *args, **kwargs)

    async def build(self, act: Callable[Concatenate[apsw.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `act` in one transaction on the replica that is being built; acts of the user go on meanwhile."""
        return await self._run("build", self._build_now, act, *args, **kwargs)

    async def _run(self, thread: str, run: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        try:
            return await self._run_in(thread, run, *args, **kwargs)
        except StoreDamagedError as error:
            if not self._is_prepared:
                raise
            found = await self._run_in("write", self._drop_building if thread == "build" else self._look_at_shown, error)
            if found is None:
                raise
            if thread != "build":
                self.tell_damage(found)
            raise ReplicaDamagedError(found.damage) from error

    async def _run_in(self, thread: str, run: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        if self._ended is not None:
            raise self._ended
        if self._inline:
            return run(*args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads[thread], lambda: run(*args, **kwargs))

    def _empty_shown(self, cause: str) -> None:
        with translated(self.path):
            self._let_go()
            with transaction(self.writer):
                replica_file.show_empty(self.writer, self.path, cause)

    def _look_at_shown(self, error: StoreDamagedError) -> ReplicaFiles | None:
        """The replica that is shown, where it is what is damaged, and that is noted now; None where it is the device's own file."""
        try:
            with translated(self.path):
                self._let_go()
                with transaction(self.writer):
                    return damage.found_in_replica(self.writer, self.path, error.__cause__)
        except StoreError:
            return None

    def _drop_building(self, error: StoreDamagedError) -> ReplicaFiles | None:
        """The next pull begins the replica that is built anew: whoever builds sees no other file that could be damaged."""
        with translated(self.path):
            self._let_go()
            with transaction(self.writer):
                return replica_file.drop_building(self.writer, str(error.__cause__))

    def _let_go(self) -> None:
        """Let the writer see the device's own file alone; its next act takes the replica again."""
        self._attached.pop(self.writer, None)
        replica_file.detach(self.writer)

    def write_now(self, act: Callable[Concatenate[apsw.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`write`, in this thread."""
        with translated(self.path), self._writing():
            return act(self.writer, *args, **kwargs)

    def _write_again(self, act: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Write on what is shown by now: a good one may have taken the place of the damaged one. Where none has, unlaid."""
        with suppress(StoreDamagedError):
            return self.write_now(act, *args, **kwargs)
        with translated(self.path), self._writing(lose_overlay):
            return act(self.writer, *args, **kwargs)

    @contextmanager
    def _writing(self, begin: Callable[[apsw.Connection], None] | None = None) -> Iterator[None]:
        """A writing transaction on the device's file and the replica that it names, whose overlay is what it should be."""
        for _ in range(_LOOKS_MAX):
            before = after = None
            try:
                with transaction(self.writer):
                    if self._sees_shown(self.writer):
                        if begin is not None:
                            begin(self.writer)
                        before = self._mended()
                        yield
                        after = self._last_change()
                        files = None
                    else:
                        files = replica_file.ensure_shown(self.writer, self.path)
            except (apsw.FullError, apsw.IOError):
                # Where the disk failed between the two files, what waits is saved: only the overlay is still to be laid.
                if after == before or self._last_change() != after:
                    raise
                return
            if files is None:
                return
            self._attach(self.writer, files.shown)
        raise StoreBusyError

    def _mended(self) -> bytes | None:
        """Lay the overlay anew where it is behind what waits; the last change of that."""
        if self._is_prepared and self._mend is not None and not is_laid(self.writer):
            self._mend(self.writer)
        return self._last_change()

    def _last_change(self) -> bytes | None:
        return last_change(self.writer) if self._is_prepared else None

    def read_now(self, act: Callable[Concatenate[apsw.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`read`, in this thread, where nothing is to be mended."""
        return self._read_mended(act, *args, **kwargs)

    def _read_again(self, cause: StoreError, act: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Read what could not be mended, for this cause, as it is. Raises the cause where there is no replica to read."""
        for read in (self._read_mended, self._read_shown):
            with suppress(_UnmendedError):
                result: T = read(act, *args, **kwargs)
                return result
        raise cause

    def _read_mended(self, act: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Read where the overlay shows what waits. The two files are read as of two moments: a writer may come between once."""
        for _ in range(_LOOKS_MAX):
            with suppress(_UnmendedError):
                result: T = self._read_shown(self._if_laid, act, *args, **kwargs)
                return result
        raise _UnmendedError

    def _if_laid(self, connection: apsw.Connection, act: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        if self._is_prepared and not is_laid(connection):
            raise _UnmendedError
        return act(connection, *args, **kwargs)

    def _read_shown(self, act: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Read the replica that the device's file names. Raises _UnmendedError where it is not there."""
        with translated(self.path):
            for _ in range(_LOOKS_MAX):
                with snapshot(self.reader):
                    if self._sees_shown(self.reader):
                        return act(self.reader, *args, **kwargs)
                    files = load(self.reader, ReplicaFiles)
                if files is None or not Path(replica_file.path_of(self.path, files.shown)).exists():
                    raise _UnmendedError
                self._attach(self.reader, files.shown)
        raise StoreBusyError

    def _sees_shown(self, connection: apsw.Connection) -> bool:
        """Whether a connection sees the replica that the device's file names; another program may have shown another one."""
        if not self._is_prepared:
            return True
        files = load(connection, ReplicaFiles)
        return files is not None and self._attached.get(connection) == files.shown

    def _attach(self, connection: apsw.Connection, number: int) -> None:
        self._attached.pop(connection, None)
        replica_file.attach(connection, replica_file.path_of(self.path, number))
        self._attached[connection] = number

    async def begin_building(self, *, anew: bool) -> Path:
        """Go on with the replica that is being built, or begin one; `anew` drops what was begun. Returns where it is built."""
        number = await self._run("write", self._number_building, anew=anew)
        await self._run("build", self._turn_builder, number)
        return Path(replica_file.path_of(self.path, number))

    def _number_building(self, *, anew: bool) -> int:
        def number_it(connection: apsw.Connection) -> int:
            files = load(connection, ReplicaFiles)
            assert files is not None
            if files.building is None or anew:
                # Whatever has the new number already was left by a device whose file has been restored since.
                replica_file.unlink_others(self.path, ReplicaFiles(shown=files.shown, last=files.last))
                files = msgspec.structs.replace(files, building=files.last + 1, last=files.last + 1)
                save(connection, files)
            assert files.building is not None
            return files.building

        return self.write_now(number_it)

    def _turn_builder(self, number: int) -> None:
        with translated(self.path):
            if number != self._building:
                self._close_builder()
            self._building = number

    def _build_now(self, act: Callable[Concatenate[apsw.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        with translated(self.path):
            if self._builder is None:
                self._builder = replica_file.open_builder(replica_file.path_of(self.path, self._building))
                self._builder.exec_trace = self._tracer
            with transaction(self._builder):
                return act(self._builder, *args, **kwargs)

    def _close_builder(self) -> None:
        builder, self._builder = self._builder, None
        if builder is not None:
            builder.close()

    async def work(self, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do something with files, in the thread of whoever builds."""
        return await self._run_in("build", self._work, act, *args, **kwargs)

    def _work(self, act: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        with translated(self.path):
            return act(*args, **kwargs)

    async def adopt(self, file: Path, act: Callable[Concatenate[apsw.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> None:
        """Let a file be the replica that is being built, with what `act` writes into it; whole and on the disk, or not at all."""
        await self._run_in("build", self._adopt, file, act, *args, **kwargs)

    def _adopt(self, file: Path, act: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        with translated(self.path):
            self._close_builder()
            connection = replica_file.open_unpacked(str(file))
            try:
                connection.exec_trace = self._tracer
                with transaction(connection):
                    act(connection, *args, **kwargs)
                replica_file.log_ahead(connection)
            finally:
                connection.close()
            replica_file.put_in_place(file, replica_file.path_of(self.path, self._building))

    async def show_built(self, act: Callable[Concatenate[apsw.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Let the replica that was built take the place of the one that is shown, with `act`, all in one transaction.

        Raises StoreBusyError where another program has shown it, or dropped it.
        """
        await self._run("build", self._settle_builder)
        result: T = await self._run("write", self._show, act, *args, **kwargs)
        await self.read(_nothing)  # the reader lets go of the old one
        return result

    def _settle_builder(self) -> None:
        with translated(self.path):
            if self._builder is not None:
                replica_file.settle(self._builder)
            self._close_builder()

    def _show(self, act: Callable[Concatenate[apsw.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        with translated(self.path):
            self._attach(self.writer, self._building)
            with transaction(self.writer):
                files = load(self.writer, ReplicaFiles)
                if files is None or files.building != self._building:
                    raise StoreBusyError
                save(self.writer, ReplicaFiles(shown=self._building, last=files.last))
                result = act(self.writer, *args, **kwargs)
            with transaction(self.writer):  # so that nobody begins a file meanwhile
                replica_file.unlink_others(self.path, load(self.writer, ReplicaFiles) or files)
            return result

    async def version(self) -> int:
        """A number that is another one after another program has written to the device's file; own acts leave it as it is."""
        return await self._run("write", self._version)

    def _version(self) -> int:
        with translated(self.path):
            return int(self.writer.execute("PRAGMA main.data_version").get)

    async def empty_log(self) -> bool:
        """Move the write-ahead logs into the files and truncate them; False where somebody is still reading from one."""
        return await self._run("write", self._empty_log)

    def _empty_log(self) -> bool:
        with translated(self.path):
            # Waiting for a reader would keep the next writing act waiting too; the next sync tries again.
            self.writer.set_busy_timeout(0)
            try:
                is_busy, _, _ = self.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0]
            finally:
                self.writer.set_busy_timeout(BUSY_MS)
            return not is_busy

    def trace(self, tracer: Tracer | None) -> None:
        """Let `tracer` see every statement before it is run on a connection that writes; what it raises stops the statement."""
        self._tracer = tracer
        self.writer.exec_trace = tracer
        if self._builder is not None:
            self._builder.exec_trace = tracer

    def end(self, error: RoadbookError) -> None:
        """Close the files for good: whoever asks for anything from now on is told why."""
        self._ended = error
        self.close()

    def close(self) -> None:
        """Wait for what is running and close the files."""
        for thread in self._threads.values():
            thread.shutdown()
        self._close_builder()
        self.reader.close()
        self.writer.close()


def _nothing(_connection: apsw.Connection) -> None:
    """An act that only lets a connection catch up."""

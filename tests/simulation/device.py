"""A device: its folder of files, and the process that has them open until it dies.

Every statement of every connection below the folder is a place to die at. What dies loses its memory and its open
transactions; its files stay as they are.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import apsw

NEVER: Final = 1 << 60
Fuse = Callable[[], str]
"""Asked at each statement: dies the process before it, or after it, or not at all ("")?"""


class DeviceKilledError(BaseException):
    """The device's process is gone. It derives from BaseException so that nothing in the product can catch it and go on."""


class Life:
    """One run of a device's process: its connections, and at which statement it ends."""

    def __init__(self, folder: Path, note: Callable[[str], None]) -> None:
        self.folder = str(folder)
        self.dead = False
        self.statements = 0
        self.dies_at = NEVER
        self.dies_after_commits = NEVER
        self.fuse: Fuse | None = None
        self.cut: Callable[[], dict[Path, bytes]] | None = None
        self._left: dict[Path, bytes] | None = None
        self._is_carrying_out = False
        self.is_looked_at = False
        self._note = note
        self._further: int | None = None
        self._connections: list[apsw.Connection] = []

    def adopt(self, connection: apsw.Connection) -> None:
        """From here on this life sees each of the connection's statements."""
        self._connections.append(connection)
        if self._further is not None:
            self._limit(connection, "main", self._further)
        connection.exec_trace = self.trace

    @contextmanager
    def looked_at(self) -> Iterator[None]:
        """While a test looks at it, nothing dies and nothing counts."""
        before, self.is_looked_at = self.is_looked_at, True
        try:
            yield
        finally:
            self.is_looked_at = before

    def check(self) -> None:
        """Nothing goes on in a process that is gone."""
        if self.dead:
            raise DeviceKilledError

    def step(self, where: str) -> None:
        """Something that is no statement is about to happen, and is a place to die at as well."""
        self.check()
        self.statements += 1
        if self.statements >= self.dies_at or (self.fuse is not None and self.fuse()):
            self.die(f"before {where}")

    def trace(self, cursor: apsw.Cursor, sql: str, bindings: Any) -> bool:
        if self._is_carrying_out or self.is_looked_at:
            return True
        self.check()
        self.statements += 1
        connection = cursor.connection
        if sql.startswith("BEGIN"):
            connection.set_busy_timeout(0)  # nobody could let go of a lock while this thread waits for it
        ends = self.fuse() if self.fuse is not None else ""
        if self.statements >= self.dies_at or ends == "before":
            self.die(f"before {sql.split(None, 1)[0]}")
        if sql == "COMMIT":
            self.dies_after_commits -= 1
        if self.dies_after_commits <= 0 or ends == "after":
            self._carry_out(connection, sql, bindings)
            self.die(f"after {sql.split(None, 1)[0]}")
        return True

    def _carry_out(self, connection: apsw.Connection, sql: str, bindings: Any) -> None:
        """The statement itself, here and now, for whoever asked for it is not to live on when it is done."""
        self._is_carrying_out = True
        try:
            connection.execute(sql, bindings).fetchall()
        finally:
            self._is_carrying_out = False

    def die(self, where: str) -> None:
        self.dead = True
        self._left = self.cut() if self.cut is not None else None
        self._note(where)
        raise DeviceKilledError

    def bury(self) -> None:
        """Let go of the files as a process that ends does: nothing is rolled back by hand, no log is folded in."""
        self.dead = True
        for connection in self._connections:
            with suppress(apsw.ConnectionClosedError):
                connection.exec_trace = None
                connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
                connection.close(True)
        self._connections.clear()
        if self._left is not None:
            put_files(Path(self.folder), self._left)
            self._left = None

    def limit_pages(self, further: int | None) -> None:
        """Let the disk be full after so many more pages, or let it have room again."""
        self._further = further
        for connection in self._connections:
            with suppress(apsw.ConnectionClosedError), self.looked_at():
                for file in set(connection.db_names()) - {"temp"}:
                    self._limit(connection, file, further)

    @staticmethod
    def _limit(connection: apsw.Connection, file: str, further: int | None) -> None:
        count = int(connection.pragma("page_count", schema=file))
        connection.pragma("max_page_count", count + further if further is not None else 1_000_000, schema=file)


_LIVES: dict[str, Life] = {}


def open_as_another(path: Path) -> apsw.Connection:
    """Open a device's file as another program does."""
    life = _LIVES.pop(str(path.parent), None)
    try:
        return apsw.Connection(str(path))
    finally:
        if life is not None:
            _LIVES[life.folder] = life


def _adopt(connection: apsw.Connection) -> None:
    life = _LIVES.get(str(Path(connection.filename).parent))
    if life is not None:
        life.adopt(connection)


apsw.connection_hooks.append(_adopt)


def begin_life(folder: Path, note: Callable[[str], None]) -> Life:
    """A process for the files in this folder; connections that are opened there from now on are its own."""
    _LIVES[str(folder)] = life = Life(folder, note)
    return life


def end_life(life: Life) -> None:
    life.bury()
    _LIVES.pop(life.folder, None)


def put_files(folder: Path, files: dict[Path, bytes]) -> None:
    """Let these files, with this content, be all that there is in a folder."""
    for old in folder.iterdir():
        old.unlink()
    for file, content in files.items():
        file.write_bytes(content)


def copy_files(source: Path, target: Path) -> None:
    """Copy a device's files as a backup does: all that is there, whatever it means."""
    target.mkdir(exist_ok=True)
    for old in target.iterdir():
        old.unlink()
    for file in sorted(source.iterdir()):
        if not file.name.endswith("-shm"):
            shutil.copyfile(file, target / file.name)

"""A disk whose power can be cut: what was written to a file since it was last synced may be lost, in any part.

SQLite's own files on a device are written through here. A cut puts files back to what the last sync of each made certain,
and then lets some of the later writes have reached the disk after all, in any choice, one perhaps in half, as disks do.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import apsw

_NAME = "power"
_BELOW = "unix"


class _Write(NamedTuple):
    """Bytes that came, and what the file had in their place: enough to take it back."""

    offset: int
    data: bytes
    before: bytes
    size_before: int


class Disk(apsw.VFS):
    """SQLite's files while it is plugged in. `unsynced` are, by file, the writes since its last sync."""

    def __init__(self) -> None:
        super().__init__(_NAME, _BELOW, makedefault=True)
        self.unsynced: dict[str, list[_Write]] = {}
        self.syncs = 0

    def xOpen(self, name: Any, flags: list[int]) -> "_File":  # noqa: N802  # SQLite's name
        return _File(self, name, flags)

    def xDelete(self, name: str, syncdir: bool) -> None:  # noqa: N802  # SQLite's name and shape
        self.unsynced.pop(name, None)
        super().xDelete(name, syncdir)

    def after_a_cut(self, folder: Path, chance: random.Random) -> dict[Path, bytes]:
        """What is on the disk after the power was cut now. Files of shared memory are gone."""
        found = {}
        for file in sorted(folder.iterdir()):
            if not file.name.endswith("-shm"):
                found[file] = _what_is_left(file.read_bytes(), self.unsynced.get(str(file), []), chance)
        return found


def _what_is_left(content: bytes, unsynced: list[_Write], chance: random.Random) -> bytes:
    disk = bytearray(content)
    for write in reversed(unsynced):
        disk[write.offset : write.offset + len(write.before)] = write.before
        del disk[write.size_before :]
    share = chance.choice((0.0, 0.0, 0.5, 0.9))
    for write in unsynced:
        if chance.random() < share:
            data = write.data if chance.random() < 0.8 else write.data[: len(write.data) // 2]
            disk.extend(bytes(max(0, write.offset - len(disk))))
            disk[write.offset : write.offset + len(data)] = data
    return bytes(disk)


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        super().__init__(_BELOW, name, flags)
        self._disk = disk
        self._name = name.filename() if isinstance(name, apsw.URIFilename) else str(name)

    def _note(self, offset: int, data: bytes, until: int) -> None:
        size = self.xFileSize()
        kept = min(until, size) - offset
        before = self.xRead(kept, offset) if kept > 0 else b""
        self._disk.unsynced.setdefault(self._name, []).append(_Write(offset, data, before, size))

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802  # SQLite's name
        self._note(offset, bytes(data), offset + len(data))
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:  # noqa: N802  # SQLite's name
        self._note(size, b"", self.xFileSize())
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:  # noqa: N802  # SQLite's name
        super().xSync(flags)
        self._disk.syncs += 1
        self._disk.unsynced.pop(self._name, None)


@contextmanager
def plugged_in() -> Iterator[Disk]:
    """Within it, every database that the device's SQLite opens is on this disk."""
    disk = Disk()
    try:
        yield disk
    finally:
        disk.unregister()

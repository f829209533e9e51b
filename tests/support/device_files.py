"""A device's files as another program sees them: copied, removed, and looked into."""

import shutil
from pathlib import Path

import apsw

from client_sdk.replica_file import attach, shown_path


def files_of(path: Path) -> list[Path]:
    """Everything on the disk that belongs to the device in `path`."""
    return sorted(path.parent.glob(f"{path.name}*"))


def remove_device(path: Path) -> None:
    for each in files_of(path):
        each.unlink()


def copy_device(path: Path, target: Path) -> None:
    """Make `target` a copy of the device in `path`, in place of what was there."""
    remove_device(target)
    for each in files_of(path):
        shutil.copyfile(each, target.with_name(target.name + each.name.removeprefix(path.name)))


def move_device(path: Path, target: Path) -> Path:
    """Give a device that is closed another place; returns `target`."""
    for each in files_of(path):
        each.rename(target.with_name(target.name + each.name.removeprefix(path.name)))
    return target


def look_into(path: Path) -> apsw.Connection:
    """A connection of one's own to the device's file and the replica that it shows. Opening it recovers what a kill left."""
    shown = shown_path(path)
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(30_000)
    if shown is not None and shown.exists():
        attach(connection, str(shown))
    return connection

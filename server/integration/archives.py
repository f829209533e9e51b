"""What an import is given, as a folder: a folder, an archive that is unpacked for as long as it is read, or a lone file."""

import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from server.integration.tables import SourceError

UNPACKED_BYTES_MAX: Final = 16 * 1024**3
FILES_MAX: Final = 10_000
_WORKBOOKS: Final = frozenset({".xlsx", ".xlsm"})


@contextmanager
def as_folder(path: Path) -> Iterator[Path]:
    """The folder that has the files of `path`. Raises SourceError for what is neither there nor an archive that can be unpacked."""
    if path.is_dir():
        yield path
        return
    if not path.is_file():
        raise SourceError(f"{path} is not there; give a folder, an archive (.zip, .tar, .tar.gz), or a file that the mapping names")
    with tempfile.TemporaryDirectory(prefix="roadbook-import-") as name:
        folder = Path(name)
        try:
            if path.suffix.lower() not in _WORKBOOKS and zipfile.is_zipfile(path):
                _unzip(path, folder)
            elif tarfile.is_tarfile(path):
                _untar(path, folder)
            else:
                (folder / path.name).symlink_to(path.resolve())
        except (zipfile.BadZipFile, tarfile.TarError, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError) as error:
            raise SourceError(f"{path} cannot be unpacked ({error}); unpack it yourself, and give the folder") from error
        yield _only_folder(folder)


def _unzip(path: Path, folder: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        _require_bounded(path, (each.file_size for each in archive.infolist()))
        archive.extractall(folder)  # noqa: S202  # of a zip Python writes nothing outside, and no more than a part says it has


def _untar(path: Path, folder: Path) -> None:
    with tarfile.open(path) as archive:
        _require_bounded(path, (each.size for each in archive))
    with tarfile.open(path) as archive:
        archive.extractall(folder, filter="data")


def _require_bounded(path: Path, sizes: Iterable[int]) -> None:
    total = 0
    for count, size in enumerate(sizes, 1):
        total += size
        if count > FILES_MAX or total > UNPACKED_BYTES_MAX:
            limit = f"{FILES_MAX} files and {UNPACKED_BYTES_MAX // 1024**3} GiB"
            raise SourceError(f"{path} has more than {limit}; unpack it yourself, and give the folder")


def _only_folder(folder: Path) -> Path:
    """The folder itself, or the one that it has and nothing beside it, as archives of folders do."""
    inside = list(folder.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder

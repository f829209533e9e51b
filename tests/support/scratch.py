"""Where tests keep their files: in memory where there is room.

On a disk the file system takes more of the processor than most tests do: 0.3 s to make and drop one database of PostgreSQL.
What a test says of `fsync` and of power it learns from the calls that it counts or cuts, on either.
"""

import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

_MEMORY = Path("/dev/shm")
_FREE_BYTES_MIN = 2 << 30


@cache
def memory_folder() -> Path | None:
    """The folder in memory, or None where there is none that has room and that we may write to."""
    if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK | os.X_OK) and shutil.disk_usage(_MEMORY).free >= _FREE_BYTES_MIN:
        return _MEMORY
    return None


def scratch_folder(name: str) -> Path:
    """A new folder, in memory where there is room. The caller removes it."""
    return Path(tempfile.mkdtemp(prefix=f"roadbook-{name}-", dir=memory_folder()))


def use_memory() -> None:
    """Let temporary files of this process and of its children be in memory, unless somebody said where they are to be."""
    memory = memory_folder()
    if memory is not None and "TMPDIR" not in os.environ:
        os.environ["TMPDIR"] = tempfile.tempdir = str(memory)

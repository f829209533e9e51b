"""Images of a world: the real builder, run at drawn moments as its job does, over files in this thread; and what becomes of them.

A device may take an image, go on with one that broke off, or fall back to rows: where it ends is the same.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import httpx2
from sqlalchemy.exc import DBAPIError

from server.runtime.errors import ProblemError
from server.sync.images.building import ImageBuilder
from server.sync.images.errors import ImageNotFoundError
from server.sync.images.storage import ImageStorage
from server.sync.images.upkeep import ImagePolicy
from sync_protocol.wire.codec import decode
from sync_protocol.wire.messages import PullRequest
from tests.simulation.authority import ServerKilledError
from tests.simulation.network import FILES
from tests.simulation.plan import DAY_MS, HOUR_MS, Step
from tests.simulation.trace import require

if TYPE_CHECKING:
    from tests.simulation.handset import Handset
    from tests.simulation.world import SimulatedWorld


class StorageInThisThread(ImageStorage):
    """The folder of images without the library's threads, which would wake nobody in virtual time."""

    def _file(self, epoch: UUID, digest: bytes) -> Path:
        assert self.folder is not None
        return self.folder / epoch.hex / f"{digest.hex()}.sqlite.zst"

    async def put(self, epoch: UUID, digest: bytes, file: Path) -> None:
        with self._failing():
            target = self._file(epoch, digest)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)

    async def _piece(self, epoch: UUID, digest: bytes, start: int, end: int) -> bytes:
        with self._failing():
            try:
                return self._file(epoch, digest).read_bytes()[start:end]
            except FileNotFoundError as error:
                raise ImageNotFoundError(digest) from error

    async def stored(self, epoch: UUID) -> dict[bytes, int]:
        assert self.folder is not None
        found = sorted((self.folder / epoch.hex).glob("*.sqlite.zst"))
        return {bytes.fromhex(file.name.partition(".")[0]): file.stat().st_size for file in found}

    async def delete(self, epoch: UUID, digest: bytes) -> None:
        self._file(epoch, digest).unlink(missing_ok=True)


class ImageWatch:
    """What a device does with images, as its requests show it."""

    def __init__(self, folder: Path, saw: Callable[[str], None]) -> None:
        self._folder, self._saw = folder, saw
        self._is_begun = False

    def asked(self, request: httpx2.Request, body: bytes) -> None:
        """I-6: what is here of an image is not asked for again. Raises ViolationError."""
        path = request.url.path
        if path.startswith(FILES):
            offset = int(request.headers["range"].removeprefix("bytes=").removesuffix("-"))
            part = self._folder / f"tablet.db-image-{path.removeprefix(FILES)}"
            require(offset == part.stat().st_size, "I-6", f"an image is gone on with behind what is here, not from {offset}")
            self._saw("image: resumed" if offset else "image: begun")
            self._is_begun = True
        elif path == "/sync/pull" and self._is_begun:
            self._is_begun = False
            self._saw("image: adopted" if decode(body, PullRequest).cursor else "image: fallen back")


async def build_images(world: "SimulatedWorld", _handset: "Handset", step: Step) -> None:
    """What the job does, with a policy of this step's: old ones go at once, in an hour or in a day."""
    server = world.server
    if not server.is_up:
        return
    policy = ImagePolicy(
        sets_max=1 + step.pick(0, 3),
        rows_min=1,
        retention_days=90,
        tail_percent=1,
        tail_rows_min=(0, 3)[step.pick(1, 2)],
        kept_ms=(0, HOUR_MS, DAY_MS)[step.pick(2, 3)],
    )
    try:
        run = await ImageBuilder(server.database, server.images, world.clock, policy).run(every=step.pick(3, 3) == 0)
    except ServerKilledError:
        await server.crashed()
        return
    except (ProblemError, DBAPIError) as error:
        world.trace.note("images refused", type(error).__name__)
        return
    world.trace.note("images", run.busy, *(f"{each.commit_seq} {each.rows} {each.reason.value}" for each in run.built))
    for _ in run.built:
        world.trace.saw("image: built")
    if run.cleaned is not None and run.cleaned.removed:
        world.trace.saw("image: expired")


async def spoil_image(world: "SimulatedWorld", _handset: "Handset", step: Step) -> None:
    """The file of an image is lost, cut off, garbled, or another one's."""
    assert world.server.images.folder is not None
    files = sorted(world.server.images.folder.glob("*/*.zst"))
    if not files:
        return
    file, kind = files[step.pick(0, len(files))], ("lost", "cut", "garbled", "exchanged")[step.pick(1, 4)]
    content = file.read_bytes()
    place = step.pick(2, len(content))
    if kind == "lost":
        file.unlink()
    elif kind == "cut":
        file.write_bytes(content[:place])
    elif kind == "garbled":
        file.write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
    else:
        file.write_bytes(files[step.pick(3, len(files))].read_bytes())
    world.trace.saw("image: spoiled")


async def reinstall(world: "SimulatedWorld", handset: "Handset", step: Step) -> None:
    """The replica's file is gone when the app is opened again, and all of it comes anew."""
    handset.switch_off()
    for file in sorted(handset.folder.glob("tablet.db-replica-*")):
        file.unlink()
    handset.lost_replica()
    await handset.switch_on()
    world.trace.saw("device: lost its replica")
    if step.pick(0, 3):
        await handset.sync()

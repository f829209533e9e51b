"""`roadbook images …`: the prebuilt images of shared buckets, from which devices sync for the first time."""

import os
from collections.abc import Callable
from typing import Final

import click
import msgspec
import sqlalchemy as sa

from server.identity.terminal import AS_JSON, run, show
from server.runtime.clock import SystemClock
from server.runtime.database import Database
from server.runtime.instants import iso
from server.settings import Settings
from server.sync.images.building import BuildRun, Built, ImageBuilder
from server.sync.images.models import ImageModel
from server.sync.images.storage import ImageStorage, image_place
from server.sync.images.upkeep import ImagePolicy

_NICENESS: Final = 10


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """An image as the list shows it. Sizes are bytes."""

    digest: str
    image_format: str
    buckets: tuple[str, ...]
    epoch: str
    commit_seq: int
    rows: int
    size: int
    raw_size: int
    built_at: str
    superseded_at: str | None

    @classmethod
    def of(cls, image: ImageModel) -> "Image":
        """The image of a record."""
        return cls(
            digest=image.digest.hex(),
            image_format=image.image_format.hex(),
            buckets=image.bucket_names,
            epoch=str(image.epoch),
            commit_seq=image.commit_seq,
            rows=image.rows,
            size=image.size,
            raw_size=image.raw_size,
            built_at=iso(image.built_at_ms),
            superseded_at=iso(image.superseded_at_ms) if image.superseded_at_ms is not None else None,
        )


@click.group(epilog="\b\nExamples:\n  roadbook images list\n  roadbook images build")
def images() -> None:
    """Images that devices sync from for the first time: list, build, clean up."""


@images.command("list", epilog="\b\nExample:\n  roadbook images list --json")
@AS_JSON
def list_images(*, as_json: bool) -> None:
    """List all images, the newest first. A superseded one is kept for a day, as a device may be reading it."""

    async def work(database: Database, _settings: Settings) -> list[Image]:
        newest = sa.select(ImageModel).order_by(ImageModel.built_at_ms.desc(), ImageModel.digest)
        async with database.read() as session:
            return [Image.of(image) for image in (await session.execute(newest)).scalars()]

    columns: dict[str, Callable[[Image], object]] = {
        "digest": lambda image: image.digest[:12],
        "buckets": lambda image: len(image.buckets),
        "at": lambda image: image.commit_seq,
        "rows": lambda image: image.rows,
        "bytes": lambda image: image.size,
        "raw": lambda image: image.raw_size,
        "built": lambda image: image.built_at,
        "superseded": lambda image: image.superseded_at,
    }
    show(run(work), columns, as_json=as_json)


@images.command("build", epilog="\b\nExample:\n  roadbook images build --all --json")
@click.option("--all", "every", is_flag=True, help="Build the images of all sets in use, not only those that are due.")
@AS_JSON
def build_images(*, every: bool, as_json: bool) -> None:
    """Build the images that are due and clean up. The server does so by itself, every five minutes.

    It gives way to everything else that wants the processor.
    """
    os.nice(_NICENESS)
    done = run(lambda database, settings: _builder(database, settings).run(every=every))
    if as_json:
        click.echo(msgspec.json.encode(done))
        return
    columns: dict[str, Callable[[Built], object]] = {
        "digest": lambda built: built.digest[:12],
        "because": lambda built: built.reason,
        "buckets": lambda built: len(built.buckets),
        "at": lambda built: built.commit_seq,
        "rows": lambda built: built.rows,
        "bytes": lambda built: built.size,
        "raw": lambda built: built.raw_size,
        "seconds": lambda built: built.seconds,
    }
    if done.built:
        show(done.built, columns, as_json=False)
    click.echo(_sentence(done))


@images.command("clean", epilog="\b\nExample:\n  roadbook images clean")
@click.option("--now", is_flag=True, help="Remove superseded images at once, though a device may be reading one.")
@AS_JSON
def clean_images(*, now: bool, as_json: bool) -> None:
    """Remove superseded images after a day, files that no image has, and images whose file is gone."""
    kept_ms = 0 if now else None
    done = run(lambda database, settings: _builder(database, settings).clean(kept_ms=kept_ms))
    click.echo(msgspec.json.encode(done) if as_json else _sentence(done))


def _builder(database: Database, settings: Settings) -> ImageBuilder:
    policy = ImagePolicy(
        sets_max=max(1, settings.images_max), rows_min=settings.images_rows_min, retention_days=settings.retention_days
    )
    return ImageBuilder(database, ImageStorage(image_place(settings.images_url, database.url)), SystemClock(), policy)


def _sentence(done: BuildRun) -> str:
    if done.busy:
        return "another process is at the images of this database; nothing was done"
    cleaned = done.cleaned
    assert cleaned is not None
    return (
        f"built {len(done.built)}; removed {cleaned.removed} old, {cleaned.missing} without a file, {cleaned.orphans} stray files"
    )

"""`roadbook images` and the job behind it, as processes of their own that can be killed."""

import asyncio
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from server.runtime.clock import SystemClock
from server.runtime.database import Database
from server.runtime.slices import JobContext
from server.settings import Settings, environment_of, settings_from_environment
from server.sync.images import jobs
from server.sync.images.jobs import COMMAND, ImageBuildFailedError, ImageKeeper
from sync_protocol.entities.catalog import Product
from tests.support.images import Images, enrolled
from tests.support.processes import ROOT, environment, roadbook
from tests.support.world import World, small_company


@pytest.fixture
async def world(database: Database) -> World:
    """Time is the machine's: a code must be open for a process that asks it."""
    world = await World.found(database, small_company(products=50))
    world.clock.time_ms = SystemClock().now_ms()
    await enrolled(world, "rep0")
    return world


@pytest.fixture
def images(world: World, tmp_path: Path) -> Images:
    return Images(world, str(tmp_path / "images"))


@pytest.fixture
def settings(database_url: str, images: Images) -> Settings:
    return Settings(database_url=database_url, images_url=images.storage.place, images_rows_min=1)


@pytest.fixture
async def context(database: Database, settings: Settings) -> JobContext:
    return JobContext(database=database, clock=SystemClock(), retention_days=90, settings=settings)


def said(*arguments: str, settings: Settings) -> Any:
    """What a command prints as JSON."""
    others = {name: value for name, value in msgspec.structs.asdict(settings).items() if name.startswith("images")}
    return msgspec.json.decode(roadbook("images", *arguments, "--json", database_url=settings.database_url, **others))


async def test_the_commands_build_list_and_clean(world: World, images: Images, settings: Settings) -> None:
    built = said("build", settings=settings)
    assert [(each["reason"], len(each["buckets"])) for each in built["built"]] == [("new", 4), ("new", 1)]
    listed = said("list", settings=settings)
    assert {each["digest"] for each in listed} == {each["digest"] for each in built["built"]}
    assert all(each["superseded_at"] is None and each["rows"] >= 50 for each in listed)
    for product in world.company.products[:5]:
        await world.change(Product, product.id, name="Renamed")
    assert len(said("build", "--all", settings=settings)["built"]) == 2
    assert said("clean", "--now", settings=settings)["cleaned"]["removed"] == 2
    assert len(await images.all()) == 2


async def test_the_tables_are_for_people(sqlite_database_url: str, sqlite_database: Database, tmp_path: Path) -> None:
    world = await World.found(sqlite_database)
    await enrolled(world, "rep0")
    settings = {"images_url": tmp_path / "images", "images_rows_min": 1, "database_url": sqlite_database_url}
    assert "built 2" in roadbook("images", "build", **settings)
    shown = roadbook("images", "list", **settings)
    assert all(image.digest.hex()[:12] in shown for image in await Images(world, "").all())
    assert "removed 0 old" in roadbook("images", "clean", **settings)


async def test_images_are_built_beside_an_embedded_database_where_nothing_says_where(
    sqlite_database_url: str, sqlite_database: Database
) -> None:
    world = await World.found(sqlite_database)
    await enrolled(world, "rep0")
    settings = {"images_rows_min": 1, "database_url": sqlite_database_url}
    assert "built 2" in roadbook("images", "build", **settings)
    assert "built 0" in roadbook("images", "build", **settings), "what was built is not found again"


async def test_the_job_builds_in_a_process_of_its_own_when_something_moved(
    world: World, images: Images, context: JobContext
) -> None:
    keeper = ImageKeeper()
    await keeper.keep(context)
    assert len(await images.offered()) == 2
    for image in await images.offered():
        await images.storage.delete(image.epoch, image.digest)
    began = time.perf_counter()
    await keeper.keep(context)
    assert time.perf_counter() - began < 0.5, "it started a process though nothing had moved"
    await world.change(Product, world.company.products[0].id, name="Renamed")
    await keeper.keep(context)
    offered = await images.offered()
    assert len(offered) == 2
    assert {image.digest: image.size for image in offered} == await images.storage.stored(offered[0].epoch)


async def test_the_job_never_starts_a_process_for_a_small_company_or_where_images_are_off(
    images: Images, context: JobContext
) -> None:
    for changed in ({"images_rows_min": 100_000}, {"images_max": 0}):
        settings = msgspec.structs.replace(context.settings, **changed)
        await ImageKeeper().keep(msgspec.structs.replace(context, settings=settings))
    assert await images.all() == []


async def test_a_build_that_fails_is_told_with_its_reason_and_tried_again(
    images: Images, context: JobContext, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    wrong = msgspec.structs.replace(context.settings, images_url=str(tmp_path / "file" / "images"))
    keeper = ImageKeeper()
    with pytest.raises(ImageBuildFailedError, match="ROADBOOK_IMAGES_URL"):
        await keeper.keep(msgspec.structs.replace(context, settings=wrong))
    await keeper.keep(context)
    assert len(await images.offered()) == 2


async def test_a_server_that_stops_takes_the_build_with_it(context: JobContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "COMMAND", (sys.executable, "-c", "import time; time.sleep(60)"))
    before = set(psutil.Process().children())
    keeping = asyncio.create_task(ImageKeeper().keep(context))
    while not (started := set(psutil.Process().children()) - before):  # noqa: ASYNC110  # the start of a process tells nobody
        await asyncio.sleep(0.01)
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping
    assert not [each for each in started if each.is_running()]


@pytest.mark.parametrize(
    "reached", ["under-construction/image.sqlite", "under-construction/image.sqlite.zst", "*/*.sqlite.zst", "second"]
)
async def test_a_build_that_is_killed_anywhere_offers_nothing_half(images: Images, settings: Settings, reached: str) -> None:
    others = {name: value for name, value in msgspec.structs.asdict(settings).items() if name.startswith(("images", "database"))}
    folder = images.storage.folder
    assert folder is not None
    process = await asyncio.create_subprocess_exec(*COMMAND, cwd=ROOT, env=environment(**others), stdout=subprocess.DEVNULL)
    while process.returncode is None and not _is_at(folder, reached):  # noqa: ASYNC110  # what another process has done tells nobody
        await asyncio.sleep(0.0005)
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    for image in await images.offered():
        assert len(await images.file(image)) == image.size
    await images.builder().run()
    offered = await images.offered()
    assert len(offered) == 2
    assert await images.storage.stored(offered[0].epoch) == {image.digest: image.size for image in await images.all()}
    assert [each.name for each in folder.iterdir()] == [offered[0].epoch.hex]


def _is_at(folder: Path, reached: str) -> bool:
    """Whether a build has come so far."""
    stored = list(folder.glob("*/*.sqlite.zst"))
    if reached == "second":
        return len([file for file in stored if file.parent.name != "under-construction"]) == 2
    return bool(list(folder.glob(reached)))


def test_another_process_gets_all_settings() -> None:
    settings = Settings(port=9, jobs=False, images_url="s3://bucket/prefix", images_max=3)
    assert settings_from_environment(environment_of(settings)) == settings

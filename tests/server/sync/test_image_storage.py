"""The places that images can be in: a folder, and a real S3 server. Both must behave alike."""

import logging
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import boto3
import pytest
from moto.server import ThreadedMotoServer
from sqlalchemy.engine import make_url

from server.runtime.database import Database
from server.sync.images.errors import ImageNotFoundError, ImageStorageDownError
from server.sync.images.storage import PIECE_BYTES, ImageStorage, image_place
from tests.support.images import Images, enrolled, rows_in
from tests.support.world import World

EPOCH = UUID(int=7)
DIGEST = bytes(range(32))
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    """The address of an S3 server of this process's own, with a bucket `roadbook`."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        region_name=KEYS["AWS_REGION"],
    ).create_bucket(Bucket="roadbook")
    yield url
    server.stop()


@pytest.fixture
def s3_environment(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": s3_url}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> ImageStorage:
    if request.param == "folder":
        return ImageStorage(str(tmp_path / "new" / "images"))
    request.getfixturevalue("s3_environment")
    return ImageStorage(f"s3://roadbook/{tmp_path.name}")


async def read(storage: ImageStorage, start: int, end: int, digest: bytes = DIGEST) -> bytes:
    return b"".join([piece async for piece in storage.pieces(EPOCH, digest, start, end)])


async def test_a_file_comes_back_whole_and_in_parts(storage: ImageStorage, tmp_path: Path) -> None:
    body = bytes(range(251)) * (12 * 1024 * 1024 // 251)  # more than one part of an upload
    source = tmp_path / "source"
    source.write_bytes(body)  # one call, on a file of the test's own
    await storage.put(EPOCH, DIGEST, source)
    assert await storage.stored(EPOCH) == {DIGEST: len(body)}
    assert await read(storage, 0, len(body)) == body
    assert await read(storage, 5, 6) == body[5:6]
    assert await read(storage, PIECE_BYTES - 1, PIECE_BYTES + 1) == body[PIECE_BYTES - 1 : PIECE_BYTES + 1]
    assert await read(storage, len(body) - 1, len(body)) == body[-1:]
    await storage.put(EPOCH, DIGEST, source)


async def test_files_of_one_log_are_not_taken_for_those_of_another(storage: ImageStorage, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"image")  # one call, on a file of the test's own
    await storage.put(EPOCH, DIGEST, source)
    await storage.put(UUID(int=8), bytes(32), source)
    assert await storage.stored(EPOCH) == {DIGEST: 5}
    await storage.delete(EPOCH, bytes(32))
    assert await storage.stored(UUID(int=8)) == {bytes(32): 5}


async def test_a_file_that_is_not_there_is_an_error_to_read_and_none_to_delete(storage: ImageStorage, tmp_path: Path) -> None:
    assert await storage.stored(EPOCH) == {}
    with pytest.raises(ImageNotFoundError):
        await read(storage, 0, 10)
    source = tmp_path / "source"
    source.write_bytes(b"image")  # one call, on a file of the test's own
    await storage.put(EPOCH, DIGEST, source)
    for _ in range(2):
        await storage.delete(EPOCH, DIGEST)
    assert await storage.stored(EPOCH) == {}


@pytest.mark.usefixtures("s3_environment")
async def test_a_place_that_does_not_answer_says_so_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageStorageDownError, match="s3://no-such-bucket"):
        await ImageStorage("s3://no-such-bucket/images").put(EPOCH, DIGEST, Path(__file__))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(ImageStorageDownError, match="does not answer"):
        await ImageStorage("s3://roadbook/images").stored(EPOCH)


async def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ImageStorageDownError, match="file"):
        await ImageStorage(str(tmp_path / "file" / "images")).stored(EPOCH)


@pytest.mark.usefixtures("s3_environment")
async def test_images_are_built_served_and_cleaned_in_s3(sqlite_database: Database, tmp_path: Path) -> None:
    world = await World.found(sqlite_database)
    images = Images(world, f"s3://roadbook/{tmp_path.name}")
    await enrolled(world, "rep0")
    await images.builder().run()
    image = (await images.offered())[0]
    connection = await images.opened(image, tmp_path)
    assert sum(map(len, rows_in(connection).values())) == image.rows
    connection.close()
    await images.storage.delete(image.epoch, image.digest)
    done = await images.builder().clean()
    assert done.cleaned is not None
    assert (done.cleaned.missing, len(await images.all())) == (1, 1)


def test_images_are_beside_the_database_where_nothing_is_said() -> None:
    assert image_place("", make_url("sqlite+aiosqlite:///data/roadbook.db")) == "data/roadbook.db-images"
    assert image_place("", make_url("postgresql+asyncpg://someone@host/roadbook")) == "roadbook-images"
    assert image_place("s3://bucket/prefix", make_url("sqlite+aiosqlite:///roadbook.db")) == "s3://bucket/prefix"

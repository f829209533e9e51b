"""Images over HTTP: who gets which, whole and in parts."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
import sqlalchemy as sa

from client_sdk.errors import DeviceRevokedError, ServerError
from client_sdk.transport import HttpEndpoint
from server.customers.models import RepTerritoryModel, TerritoryModel
from server.identity.devices import RevocationReason, revoke_device
from server.runtime.database import Database
from server.sync.images.models import ImageModel
from sync_protocol.entities.catalog import Product
from sync_protocol.replica_schema import image_format
from sync_protocol.wire.messages import Enrolment, ImageOffer, ImageRequest, LogPlace, PushRequest
from sync_protocol.wire.version import PROTOCOL_VERSION
from tests.support.application import application
from tests.support.images import Images, enrolled
from tests.support.office import problem
from tests.support.world import SERVER_URL, World

DAY_MS = 86_400_000


@pytest.fixture
async def world(database: Database) -> World:
    return await World.found(database)


@pytest.fixture
def images(world: World, tmp_path: Path) -> Images:
    return Images(world, str(tmp_path / "images"))


@pytest.fixture
def transport(world: World, images: Images) -> httpx2.ASGITransport:
    return httpx2.ASGITransport(app=application(world.database, world.clock, images_url=images.storage.place))


@pytest.fixture
async def client(transport: httpx2.ASGITransport) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(transport=transport, base_url=SERVER_URL) as opened:
        yield opened


@pytest.fixture
async def device(world: World, images: Images) -> Enrolment:
    """A device of the first rep, for whose set there is an image, as there is for the catalogue and the other rep's set."""
    enrolment = await enrolled(world, "rep0")
    await world.code_for("rep1")
    await images.builder().run()
    return enrolment


def asked(device: Enrolment, **values: Any) -> ImageRequest:
    common = {"protocol_version": PROTOCOL_VERSION, "device_id": device.device_id, "image_format": image_format()}
    return ImageRequest(**{**common, "incarnation": device.incarnation, **values})


async def offer_for(transport: httpx2.ASGITransport, device: Enrolment, **values: Any) -> ImageOffer | None:
    endpoint = HttpEndpoint(SERVER_URL, device.token, transport=transport)
    reply = await endpoint.image(asked(device, **values))
    assert reply.audience == device.device_id
    await endpoint.close()
    return reply.image


def headers_of(device: Enrolment, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {device.token}", "Roadbook-Incarnation": device.incarnation.hex(), **more}


async def get(
    client: httpx2.AsyncClient, device: Enrolment, digest: bytes, headers: Mapping[str, str] | None = None, method: str = "GET"
) -> httpx2.Response:
    path = f"/sync/images/{digest.hex()}"
    return await client.request(
        method, path, params={"device_id": str(device.device_id)}, headers={**headers_of(device), **(headers or {})}
    )


async def by_buckets(images: Images, count: int, bucket: str = "catalog") -> ImageModel:
    """The image with so many buckets, one of which is this."""
    (found,) = [each for each in await images.offered() if len(each.bucket_names) == count and bucket in each.bucket_names]
    return found


async def test_a_device_is_offered_the_largest_image_that_lies_in_its_scope(
    world: World, transport: httpx2.ASGITransport, device: Enrolment, images: Images
) -> None:
    offer = await offer_for(transport, device)
    own = await by_buckets(images, 4, f"pricelist:{world.company.price_lists[0].id.hex}")
    async with world.database.read() as session:
        committed = sa.text("SELECT committed_at_ms FROM change_commit WHERE commit_seq = :place")
        committed_at_ms = (await session.execute(committed, {"place": own.commit_seq})).scalar_one()
    assert offer == ImageOffer(
        digest=own.digest,
        size=own.size,
        raw_size=own.raw_size,
        rows=own.rows,
        epoch=own.epoch,
        commit_seq=own.commit_seq,
        buckets=own.bucket_names,
        place=LogPlace(epoch=own.epoch, commit_seq=own.commit_seq, committed_at_ms=committed_at_ms),
    )
    async with world.database.write() as session:
        await session.execute(sa.update(TerritoryModel).values(stock_location_id=None))
    smaller = await offer_for(transport, device)
    assert smaller is not None
    assert smaller.buckets == ("catalog",)


async def test_a_device_of_another_format_is_offered_none(transport: httpx2.ASGITransport, device: Enrolment) -> None:
    assert await offer_for(transport, device, image_format=bytes(16)) is None


async def test_an_image_of_another_log_or_below_the_floor_is_not_offered(
    world: World, transport: httpx2.ASGITransport, device: Enrolment
) -> None:
    async with world.database.write() as session:
        await session.execute(sa.text("UPDATE change_head SET floor = head + 1"))
    assert await offer_for(transport, device) is None
    async with world.database.write() as session:
        await session.execute(sa.text("UPDATE change_head SET floor = 0"))
    assert await offer_for(transport, device) is not None
    async with world.database.write() as session:
        await session.execute(sa.update(ImageModel).values(epoch=world.ids.new()))
    assert await offer_for(transport, device) is None


async def test_the_file_is_what_its_digest_says(client: httpx2.AsyncClient, device: Enrolment, images: Images) -> None:
    image = await by_buckets(images, 1)
    response = await get(client, device, image.digest)
    assert response.status_code == 200
    assert hashlib.blake2b(response.content, digest_size=32).digest() == image.digest
    assert response.headers["etag"] == f'"{image.digest.hex()}"'
    assert response.headers["content-length"] == str(image.size)
    assert response.headers["accept-ranges"] == "bytes"
    assert response.headers["content-type"] == "application/vnd.roadbook.image"


async def test_a_download_goes_on_where_it_was_cut_off(client: httpx2.AsyncClient, device: Enrolment, images: Images) -> None:
    image = await by_buckets(images, 1)
    whole = await images.file(image)
    etag = f'"{image.digest.hex()}"'
    part = await get(client, device, image.digest, {"Range": "bytes=100-", "If-Range": etag})
    assert (part.status_code, part.content) == (206, whole[100:])
    assert part.headers["content-range"] == f"bytes 100-{image.size - 1}/{image.size}"
    assert part.headers["content-length"] == str(image.size - 100)
    middle = await get(client, device, image.digest, {"Range": "bytes=10-19"})
    assert (middle.status_code, middle.content) == (206, whole[10:20])
    other = await get(client, device, image.digest, {"Range": "bytes=100-", "If-Range": '"another"'})
    assert (other.status_code, other.content) == (200, whole)


async def test_a_part_behind_the_end_is_refused_with_the_size(
    client: httpx2.AsyncClient, device: Enrolment, images: Images
) -> None:
    image = await by_buckets(images, 1)
    response = await get(client, device, image.digest, {"Range": f"bytes={image.size}-"})
    problem(response, 416, "range_not_satisfiable")
    assert response.headers["content-range"] == f"bytes */{image.size}"


async def test_head_says_what_get_would_without_the_bytes(client: httpx2.AsyncClient, device: Enrolment, images: Images) -> None:
    image = await by_buckets(images, 1)
    response = await get(client, device, image.digest, method="HEAD")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-length"] == str(image.size)
    assert response.headers["etag"] == f'"{image.digest.hex()}"'
    part = await get(client, device, image.digest, {"Range": "bytes=5-"}, method="HEAD")
    assert (part.status_code, part.headers["content-length"]) == (206, str(image.size - 5))


async def test_who_has_it_is_told_so(client: httpx2.AsyncClient, device: Enrolment, images: Images) -> None:
    image = await by_buckets(images, 1)
    response = await get(client, device, image.digest, {"If-None-Match": f'"{image.digest.hex()}"'})
    assert (response.status_code, response.content) == (304, b"")


async def test_an_image_that_is_not_wholly_in_the_scope_does_not_exist_for_the_device(
    world: World, client: httpx2.AsyncClient, device: Enrolment, images: Images
) -> None:
    other = await by_buckets(images, 4, f"pricelist:{world.company.price_lists[1].id.hex}")
    problem(await get(client, device, other.digest), 404, "image_not_found")
    problem(await get(client, device, bytes(32)), 404, "image_not_found")
    nonsense = await client.get("/sync/images/nonsense", params={"device_id": str(device.device_id)}, headers=headers_of(device))
    problem(nonsense, 404, "image_not_found")


async def test_the_scope_is_that_of_each_request(
    world: World, client: httpx2.AsyncClient, device: Enrolment, images: Images
) -> None:
    own = await by_buckets(images, 4, f"pricelist:{world.company.price_lists[0].id.hex}")
    assert (await get(client, device, own.digest, {"Range": "bytes=0-9"})).status_code == 206
    async with world.database.write() as session:
        await session.execute(sa.delete(RepTerritoryModel).where(RepTerritoryModel.rep_id == device.rep_id))
    problem(await get(client, device, own.digest, {"Range": "bytes=10-19"}), 404, "image_not_found")
    assert (await get(client, device, (await by_buckets(images, 1)).digest)).status_code == 200


async def test_a_superseded_image_is_read_to_its_end_and_offered_to_nobody(
    world: World, client: httpx2.AsyncClient, transport: httpx2.ASGITransport, device: Enrolment, images: Images
) -> None:
    old = await offer_for(transport, device)
    assert old is not None
    for product in world.company.products[:4]:
        await world.change(Product, product.id, name="Renamed")
    await images.builder().run()
    assert (await get(client, device, old.digest, {"Range": "bytes=10-"})).status_code == 206
    new = await offer_for(transport, device)
    assert new is not None
    assert new.commit_seq > old.commit_seq
    world.clock.advance(DAY_MS)
    await images.builder().run()
    problem(await get(client, device, old.digest), 404, "image_not_found")


async def test_an_image_that_is_not_kept_fit_any_more_is_not_offered(
    transport: httpx2.ASGITransport, device: Enrolment, images: Images
) -> None:
    await images.builder(sets_max=1).run()
    offer = await offer_for(transport, device)
    assert offer is not None
    assert offer.buckets == ("catalog",)


async def test_a_revoked_device_gets_no_image(
    world: World, client: httpx2.AsyncClient, transport: httpx2.ASGITransport, device: Enrolment, images: Images
) -> None:
    image = await by_buckets(images, 1)
    async with world.database.write() as session:
        await revoke_device(session, device.device_id, RevocationReason.LOST, world.clock.now_ms())
    problem(await get(client, device, image.digest), 401, "device_revoked")
    with pytest.raises(DeviceRevokedError):
        await offer_for(transport, device)


async def test_a_copied_device_gets_no_image(
    world: World, client: httpx2.AsyncClient, transport: httpx2.ASGITransport, device: Enrolment, images: Images
) -> None:
    image = await by_buckets(images, 1)
    present = device.incarnation
    for _ in range(2):
        following = world.ids.token()
        push = PushRequest(
            protocol_version=PROTOCOL_VERSION,
            device_id=device.device_id,
            incarnation=present,
            next_incarnation=following,
            epoch=None,
            intents=(),
        )
        await world.endpoint(device.token).push(push)
        present = following
    problem(await get(client, device, image.digest), 409, "device_forked")
    with pytest.raises(ServerError):
        await offer_for(transport, device)
    living = msgspec.structs.replace(device, incarnation=present)
    assert (await get(client, living, image.digest)).status_code == 200


async def test_another_devices_token_gets_no_image(
    world: World, client: httpx2.AsyncClient, device: Enrolment, images: Images
) -> None:
    image = await by_buckets(images, 1)
    other = await enrolled(world, "rep0")
    response = await get(client, msgspec.structs.replace(device, token=other.token), image.digest)
    problem(response, 403, "device_mismatch")


async def test_a_request_that_does_not_say_who_asks_is_refused(
    client: httpx2.AsyncClient, device: Enrolment, images: Images
) -> None:
    path = f"/sync/images/{(await by_buckets(images, 1)).digest.hex()}"
    problem(await client.get(path, headers=headers_of(device)), 400, "invalid_request")
    bare = {"Authorization": f"Bearer {device.token}"}
    problem(await client.get(path, params={"device_id": str(device.device_id)}, headers=bare), 400, "invalid_request")


async def test_an_image_whose_file_is_gone_is_not_found_before_an_answer_begins(
    client: httpx2.AsyncClient, device: Enrolment, images: Images
) -> None:
    image = await by_buckets(images, 1)
    await images.storage.delete(image.epoch, image.digest)
    problem(await get(client, device, image.digest), 404, "image_not_found")


async def test_a_device_reads_an_image_over_http_from_any_byte_on(
    transport: httpx2.ASGITransport, device: Enrolment, images: Images, world: World
) -> None:
    image = await by_buckets(images, 1)
    whole = await images.file(image)
    over_http = HttpEndpoint(SERVER_URL, device.token, transport=transport)
    in_process = type(world.endpoint())(world.database, world.handlers, world.clock, world.ids, device.token, images=images.storage)
    for endpoint in (over_http, in_process):
        for offset in (0, 1, image.size - 1):
            pieces = [piece async for piece in endpoint.image_file(device.device_id, device.incarnation, image.digest, offset)]
            assert b"".join(pieces) == whole[offset:]
    await over_http.close()


@pytest.mark.parametrize(
    ("query", "headers", "field", "words"),
    [
        ("?device_id={id}", {}, "Roadbook-Incarnation", "is missing; send it as a header"),
        (
            "?device_id={id}",
            {"Roadbook-Incarnation": "zz"},
            "Roadbook-Incarnation",
            "is not in hexadecimal digits; send two lower-case ones for each byte",
        ),
        ("?device_id=12", {"Roadbook-Incarnation": "00"}, "device_id", "is not an id; give a UUID"),
        ("", {"Roadbook-Incarnation": "00"}, "device_id", "is missing; add it to the query"),
    ],
)
async def test_what_does_not_fit_is_named_with_what_would(  # noqa: PLR0917  # pytest hands them in by name
    client: httpx2.AsyncClient, device: Enrolment, query: str, headers: dict[str, str], field: str, words: str
) -> None:
    address = f"/sync/images/{'00' * 32}{query.format(id=device.device_id)}"
    response = await client.get(address, headers={"Authorization": f"Bearer {device.token}", **headers})
    fields = problem(response, 400, "invalid_request")["fields"]
    assert fields.keys() == {field}
    assert fields[field].startswith(words)

"""The file of an image over HTTP: whole or in parts, with an ETag, authorised anew at each request."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final
from uuid import UUID

from litestar import HttpMethod, Request, Response, route
from litestar.datastructures import State
from litestar.params import Parameter
from litestar.response import Stream

from server.identity.authentication import bearer_token
from server.identity.principals import Role, allow
from server.sync.endpoint import ServerEndpoint
from server.sync.images.errors import ImageNotFoundError
from server.sync.images.ranges import part_of
from server.sync.images.storage import ImageStorage
from sync_protocol.wire.codec import IMAGE_MEDIA_TYPE, INCARNATION_HEADER

_HEX: Final = "^([0-9a-f]{2}){1,64}$"
_OPT: Final = allow(Role.REP, Role.BUYER)


@route(
    "/sync/images/{digest:str}",
    http_method=[HttpMethod.GET, HttpMethod.HEAD],
    opt=_OPT,
    summary="The file of an image",
    media_type=IMAGE_MEDIA_TYPE,
)
async def image_file(
    request: Request[Any, Any, State],
    digest: str,
    device_id: UUID,
    incarnation: Annotated[str, Parameter(header=INCARNATION_HEADER, pattern=_HEX)],
) -> Response[Any]:
    """The file with this digest in hexadecimal, or with `Range` a part of it. `device_id` is who asks, with its own token."""
    state = request.app.state
    endpoint = ServerEndpoint(
        state.database, state.intent_handlers, state.clock, state.ids, bearer_token(request), images=state.images
    )
    image = await endpoint.readable_image(device_id, bytes.fromhex(incarnation), _digest(digest))
    etag = f'"{image.digest.hex()}"'
    headers = {"ETag": etag, "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache"}
    if etag in request.headers.get("if-none-match", ""):
        return Response(b"", status_code=304, headers=headers)
    part = part_of(image.size, request.headers.get("range", ""), request.headers.get("if-range", ""), etag)
    headers["Content-Length"] = str(part.end - part.start)
    if not part.is_whole:
        headers["Content-Range"] = part.content_range
    status = 200 if part.is_whole else 206
    if request.method == HttpMethod.HEAD:
        return Response(b"", status_code=status, headers=headers, media_type=IMAGE_MEDIA_TYPE)
    storage: ImageStorage = state.images
    body = await _opened(storage.pieces(image.epoch, image.digest, part.start, part.end))
    return Stream(body, status_code=status, headers=headers, media_type=IMAGE_MEDIA_TYPE)


async def _opened(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces, the first of which is here already: a file that is not there is found out before an answer begins."""
    first = await anext(pieces)

    async def all_pieces() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return all_pieces()


def _digest(given: str) -> bytes:
    try:
        return bytes.fromhex(given)
    except ValueError as error:
        raise ImageNotFoundError(given.encode()) from error


ROUTES: Final = (image_file,)

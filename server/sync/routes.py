"""The protocol over HTTP: bodies are MessagePack, a page is a zstd stream; everything else is `ServerEndpoint`."""

import logging
from typing import Any, Final, TypeVar

from litestar import Request, Response, post
from litestar.background_tasks import BackgroundTask
from litestar.datastructures import State
from litestar.response import Stream
from sqlalchemy.exc import DBAPIError

from server.identity.attempts import count_attempt, limits, refuse_for, time_to_wait
from server.identity.authentication import bearer_token
from server.identity.errors import EnrolmentCodeInvalidError
from server.identity.principals import PUBLIC, Role, allow
from server.runtime.errors import InvalidRequestError
from server.runtime.slices import BODY_SECONDS_KEY
from server.sync.endpoint import ServerEndpoint
from server.sync.errors import RequestGarbledError
from server.sync.pull import pieces
from sync_protocol.wire.codec import (
    ANSWERS_HEADER,
    DIGEST_HEADER,
    MESSAGE_MEDIA_TYPE,
    PAGE_MEDIA_TYPE,
    WireError,
    decode,
    digest,
    encode,
)
from sync_protocol.wire.messages import (
    DeviceReport,
    EnrolRequest,
    ForkRequest,
    ImageRequest,
    PullRequest,
    PushRequest,
    RangesRequest,
    RepairRequest,
)

T = TypeVar("T")

PUSH_BYTES_MAX: Final = 8 * 1024 * 1024
PULL_BYTES_MAX: Final = 8 * 1024 * 1024
_log = logging.getLogger(__name__)
_PULLING: Final = {**allow(Role.REP, Role.BUYER, checked_again=True), BODY_SECONDS_KEY: 600}
_DEVICES: Final = {**allow(Role.REP, Role.BUYER), BODY_SECONDS_KEY: 600}
_DEVICES_AND_REVOKED: Final = {**allow(Role.REP, Role.BUYER, revoked_too=True), BODY_SECONDS_KEY: 600}

SyncRequest = Request[Any, Any, State]


async def _message(request: SyncRequest, kind: type[T]) -> T:
    body, told = await request.body(), request.headers.get(DIGEST_HEADER)
    if told is not None and told.lower() != digest(body).hex():
        raise RequestGarbledError
    try:
        return decode(body, kind)
    except WireError as error:
        raise InvalidRequestError(f"the body is not a valid {kind.__name__}: {error}") from error


def _endpoint(request: SyncRequest) -> ServerEndpoint:
    state = request.app.state
    token = bearer_token(request) if "authorization" in request.headers else ""
    return ServerEndpoint(state.database, state.intent_handlers, state.clock, state.ids, token, images=state.images)


async def _reply(request: SyncRequest, message: object) -> Response[bytes]:
    body = encode(message)
    headers = {DIGEST_HEADER: digest(body).hex(), **await _answers(request)}
    return Response(body, media_type=MESSAGE_MEDIA_TYPE, status_code=200, headers=headers)


async def _answers(request: SyncRequest) -> dict[str, str]:
    """Which request this answers: what a copy of the device asked, or this device before, is none of its business."""
    return {ANSWERS_HEADER: digest(await request.body()).hex()}


@post("/sync/enrol", opt=PUBLIC, status_code=200, summary="Turn a single-use code into a device")
async def enrol(request: SyncRequest) -> Response[bytes]:
    """Body: EnrolRequest. Answer: Enrolment. docs/PROTOCOL.md has both. Guesses from one network are limited."""
    asked = await _message(request, EnrolRequest)
    state = request.app.state
    counters = limits("enrol", request.client.host if request.client else "unknown")
    async with state.database.read() as session:
        refuse_for(await time_to_wait(session, counters, state.clock.now_ms()))
    try:
        enrolment = await _endpoint(request).enrol(asked)
    except EnrolmentCodeInvalidError:
        async with state.database.write() as session:
            await count_attempt(session, counters, state.clock.now_ms())
        raise
    return await _reply(request, enrolment)


@post("/sync/fork", opt=_DEVICES, status_code=200, summary="Become a new device, after device_forked")
async def fork(request: SyncRequest) -> Response[bytes]:
    """Body: ForkRequest. Answer: Enrolment."""
    return await _reply(request, await _endpoint(request).fork(await _message(request, ForkRequest)))


@post("/sync/pull", opt=_PULLING, status_code=200, request_max_body_size=PULL_BYTES_MAX, summary="One page of rows")
async def pull(request: SyncRequest) -> Stream:
    """Body: PullRequest. Answer: a page, which is a zstd stream of frames that ends in a PageTrailer."""
    endpoint, asked = _endpoint(request), await _message(request, PullRequest)
    body = await endpoint.page(asked)
    noting = BackgroundTask(_note_seen, endpoint, asked)
    return Stream(pieces(body), media_type=PAGE_MEDIA_TYPE, headers=await _answers(request), background=noting)


async def _note_seen(endpoint: ServerEndpoint, asked: PullRequest) -> None:
    try:
        await endpoint.note_seen(asked)
    except DBAPIError:
        _log.warning("could not note that device %s was here", asked.device_id)


@post("/sync/ranges", opt=_DEVICES, status_code=200, request_max_body_size=PULL_BYTES_MAX, summary="What buckets hold")
async def ranges(request: SyncRequest) -> Response[bytes]:
    """Body: RangesRequest. Answer: RangesReply, with the sums of every range that has rows."""
    return await _reply(request, await _endpoint(request).ranges(await _message(request, RangesRequest)))


@post("/sync/repair", opt=_DEVICES, status_code=200, summary="All rows of ranges that differ")
async def repair(request: SyncRequest) -> Stream:
    """Body: RepairRequest. Answer: a page of all rows of these ranges, whatever the device holds of them."""
    body = await _endpoint(request).repair_page(await _message(request, RepairRequest))
    return Stream(pieces(body), media_type=PAGE_MEDIA_TYPE, headers=await _answers(request))


@post("/sync/image", opt=_DEVICES, status_code=200, summary="Which image to begin with")
async def image(request: SyncRequest) -> Response[bytes]:
    """Body: ImageRequest. Answer: ImageReply, with the largest image that lies in the device's scope, or none."""
    return await _reply(request, await _endpoint(request).image(await _message(request, ImageRequest)))


@post("/sync/push", opt=_DEVICES_AND_REVOKED, status_code=200, request_max_body_size=PUSH_BYTES_MAX, summary="Verdicts for intents")
async def push(request: SyncRequest) -> Response[bytes]:
    """Body: PushRequest. Answer: PushReply, with one result for each intent."""
    return await _reply(request, await _endpoint(request).push(await _message(request, PushRequest)))


@post("/sync/report", opt=_DEVICES_AND_REVOKED, status_code=200, summary="How a device is, and its receipts")
async def report(request: SyncRequest) -> Response[bytes]:
    """Body: DeviceReport. Answer: ReportReply, with the receipts that are stored now."""
    return await _reply(request, await _endpoint(request).report(await _message(request, DeviceReport)))


ROUTES: Final = (enrol, fork, pull, ranges, repair, image, push, report)

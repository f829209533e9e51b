"""The protocol over HTTP. Whatever is not a whole answer of our server is refused before a byte of it is used."""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, Final, TypeVar
from uuid import UUID

import httpx2
import msgspec

from client_sdk.errors import (
    AppTooOldError,
    BadReplyError,
    DeviceForkedError,
    DeviceRevokedError,
    DeviceUnknownError,
    EnrolmentRefusedError,
    EpochChangedError,
    LinkTooSlowError,
    RequestTooLargeError,
    ServerBusyError,
    ServerError,
    ServerTooOldError,
    ServerUnreachableError,
)
from client_sdk.live import EVENT_MEDIA_TYPE
from sync_protocol.wire.codec import (
    ANSWERS_HEADER,
    DIGEST_HEADER,
    IMAGE_MEDIA_TYPE,
    INCARNATION_HEADER,
    MESSAGE_MEDIA_TYPE,
    PAGE_MEDIA_TYPE,
    WireError,
    decode,
    digest,
    encode,
)
from sync_protocol.wire.messages import (
    DeviceReport,
    Enrolment,
    EnrolRequest,
    ForkRequest,
    ImageReply,
    ImageRequest,
    PullRequest,
    PushReply,
    PushRequest,
    RangesReply,
    RangesRequest,
    RepairRequest,
    ReportReply,
)
from sync_protocol.wire.version import PROTOCOL_VERSION

T = TypeVar("T")

TIMEOUT: Final = httpx2.Timeout(30.0, read=120.0)
REPLY_BYTES_MAX: Final = 16 * 1024 * 1024
_PROBLEMS: Final[dict[str, type[ServerError]]] = {
    "enrolment_code_invalid": EnrolmentRefusedError,
    "device_revoked": DeviceRevokedError,
    "token_invalid": DeviceUnknownError,
    "device_forked": DeviceForkedError,
    "epoch_changed": EpochChangedError,
}
_FAILURES: Final[dict[type[Exception], str]] = {
    httpx2.ConnectTimeout: "nothing answers there",
    httpx2.TimeoutException: "it took too long",
    httpx2.ConnectError: "there is no connection",
    httpx2.TransportError: "the connection broke",
}
"""The most exact first."""
_BUSY: Final = frozenset({429, 500, 502, 503, 504})


class _Problem(msgspec.Struct, frozen=True):
    """What we read of a problem body; everything in it may be missing."""

    code: str = "unknown"
    detail: str = ""
    fields: dict[str, Any] = {}


class HttpEndpoint:
    """A `SyncEndpoint` at a URL. `transport` replaces the network: tests hand in an application or a faulty wire."""

    def __init__(self, server_url: str, token: str = "", *, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self._url = server_url
        headers = {"authorization": f"Bearer {token}"} if token else {}
        try:
            self._client = httpx2.AsyncClient(
                base_url=server_url, headers=headers, timeout=TIMEOUT, follow_redirects=False, transport=transport, verify=_tls()
            )
        except httpx2.InvalidURL as error:
            raise ServerUnreachableError(server_url, _name(error)) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def enrol(self, request: EnrolRequest) -> Enrolment:
        """Raises EnrolmentRefusedError, ServerUnreachableError, BadReplyError, AppTooOldError."""
        return await self._ask("/sync/enrol", request, Enrolment)

    async def fork(self, request: ForkRequest) -> Enrolment:
        """Raises ServerError, ServerUnreachableError, BadReplyError."""
        return await self._ask("/sync/fork", request, Enrolment)

    async def push(self, request: PushRequest) -> PushReply:
        """Raises ServerError, ServerUnreachableError, BadReplyError."""
        return await self._ask("/sync/push", request, PushReply)

    async def report(self, report: DeviceReport) -> ReportReply:
        """Raises ServerError, ServerUnreachableError, BadReplyError."""
        return await self._ask("/sync/report", report, ReportReply)

    async def pull(self, request: PullRequest) -> AsyncIterator[bytes]:
        """Raises ServerError, ServerUnreachableError, BadReplyError."""
        async with self._stream("/sync/pull", request, PAGE_MEDIA_TYPE) as response:
            async for piece in self._pieces(response):
                yield piece

    async def ranges(self, request: RangesRequest) -> RangesReply:
        """Raises ServerError, ServerUnreachableError, BadReplyError."""
        return await self._ask("/sync/ranges", request, RangesReply)

    async def repair(self, request: RepairRequest) -> AsyncIterator[bytes]:
        """Raises ServerError, ServerUnreachableError, BadReplyError."""
        async with self._stream("/sync/repair", request, PAGE_MEDIA_TYPE) as response:
            async for piece in self._pieces(response):
                yield piece

    async def image(self, request: ImageRequest) -> ImageReply:
        """Raises ServerError, ServerUnreachableError, BadReplyError."""
        return await self._ask("/sync/image", request, ImageReply)

    async def image_file(self, device_id: UUID, incarnation: bytes, digest: bytes, offset: int) -> AsyncIterator[bytes]:
        """Raises ServerError, ServerUnreachableError, BadReplyError, the last where the answer begins at another byte."""
        headers = {
            "accept": IMAGE_MEDIA_TYPE,
            INCARNATION_HEADER: incarnation.hex(),
            "range": f"bytes={offset}-",
            "if-range": f'"{digest.hex()}"',
        }
        path = f"/sync/images/{digest.hex()}"
        request = self._client.build_request("GET", path, params={"device_id": str(device_id)}, headers=headers)
        async with self._answer(request, IMAGE_MEDIA_TYPE, httpx2.codes.PARTIAL_CONTENT) as response:
            if not response.headers.get("content-range", "").startswith(f"bytes {offset}-"):
                raise BadReplyError(f"it is not the part from byte {offset} on that was asked for")
            async for piece in self._pieces(response):
                yield piece

    async def live(self, device_id: UUID) -> AsyncIterator[bytes]:
        """The pieces of the live stream, as they come and for as long as the server lets it. Silence is not ended here.

        Raises ServerError, ServerUnreachableError, BadReplyError.
        """
        request = self._client.build_request(
            "GET",
            "/sync/live",
            params={"device_id": device_id.hex},
            headers={"accept": EVENT_MEDIA_TYPE, "cache-control": "no-store"},
            timeout=httpx2.Timeout(30.0, read=None),
        )
        async with self._answer(request, EVENT_MEDIA_TYPE, httpx2.codes.OK) as response:
            async for piece in self._pieces(response):
                yield piece

    async def _ask(self, path: str, message: object, answer: type[T]) -> T:
        async with self._stream(path, message, MESSAGE_MEDIA_TYPE) as response:
            body = await self._body(response)
            given = response.headers.get(DIGEST_HEADER)
        if given is not None and given != digest(body).hex():
            raise BadReplyError("its digest does not fit")
        try:
            return decode(body, answer)
        except WireError as error:
            raise BadReplyError(str(error)) from error

    async def _body(self, response: httpx2.Response) -> bytes:
        body = bytearray()
        async for piece in self._pieces(response):
            body += piece
            if len(body) > REPLY_BYTES_MAX:
                raise BadReplyError(f"more than {REPLY_BYTES_MAX} bytes")
        return bytes(body)

    async def _pieces(self, response: httpx2.Response) -> AsyncIterator[bytes]:
        try:
            async for piece in response.aiter_bytes():
                yield piece
        except httpx2.TransportError as error:
            raise _unreachable(self._url, error) from error
        except httpx2.DecodingError as error:
            raise BadReplyError(f"it is not compressed as it says: {_name(error)}") from error

    @asynccontextmanager
    async def _stream(self, path: str, message: object, media_type: str) -> AsyncIterator[httpx2.Response]:
        content = encode(message)
        asked = digest(content).hex()
        headers = {"content-type": MESSAGE_MEDIA_TYPE, "accept": media_type, DIGEST_HEADER: asked}
        request = self._client.build_request("POST", path, content=content, headers=headers)
        async with self._answer(request, media_type, httpx2.codes.OK) as response:
            if response.headers.get(ANSWERS_HEADER, asked) != asked:
                raise BadReplyError("it answers another request")
            yield response

    @asynccontextmanager
    async def _answer(self, request: httpx2.Request, media_type: str, status: int) -> AsyncIterator[httpx2.Response]:
        try:
            response = await self._client.send(request, stream=True)
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            raise _unreachable(self._url, error) from error
        try:
            if response.status_code != status:
                raise await self._problem(response)
            given = response.headers.get("content-type", "").partition(";")[0]
            if given != media_type:
                raise BadReplyError(f"it is {given or 'of no type'}; is there a sign-in page between us and the server?")
            yield response
        finally:
            await response.aclose()

    async def _problem(self, response: httpx2.Response) -> Exception:
        status = response.status_code
        problem = await self._read_problem(response)
        if status == httpx2.codes.REQUEST_TIMEOUT:
            return LinkTooSlowError(self._url, "what was sent took too long")
        if status == httpx2.codes.CONTENT_TOO_LARGE:
            said = problem if isinstance(problem, _Problem) else _Problem("too_large", "something before the server takes less")
            return RequestTooLargeError(status, said.code, said.detail)
        if isinstance(problem, BadReplyError):
            return problem
        return self._refusal(status, problem, response.headers)

    @staticmethod
    def _refusal(status: int, problem: _Problem | None, headers: Mapping[str, str]) -> Exception:
        if status in _BUSY:
            said = problem or _Problem("unavailable", f"the server answered {status}")
            return ServerBusyError(status, said.code, said.detail, retry_after_seconds(headers))
        if problem is None:
            return BadReplyError(f"status {status} of something that is not our server")
        if problem.code == "request_garbled":
            return ServerBusyError(status, problem.code, problem.detail, None)
        if problem.code == "protocol_not_served":
            return _version_error(status, problem)
        told = _PROBLEMS.get(problem.code, ServerError)(status, problem.code, problem.detail)
        if isinstance(told, DeviceRevokedError):
            told.wipe_key = _key(problem.fields.get("wipe_key"))
        return told

    async def _read_problem(self, response: httpx2.Response) -> _Problem | BadReplyError | None:
        """The problem details of an answer, None where it has none, or why they cannot be read."""
        if response.headers.get("content-type", "").partition(";")[0] != "application/problem+json":
            return None
        try:
            return msgspec.json.decode(await self._body(response), type=_Problem)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return BadReplyError(str(error))


@cache
def _tls() -> ssl.SSLContext:
    """Whom a connection trusts: read once in a process, which takes 20 ms."""
    return httpx2.create_ssl_context()


def _key(text: object) -> bytes | None:
    """A key in hexadecimal digits; whatever else comes is none."""
    try:
        return bytes.fromhex(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _version_error(status: int, problem: _Problem) -> ServerError:
    """Which of the two ends is the older one. A server that does not say is newer than the app: the first one said nothing."""
    newest = str(problem.fields.get("newest", ""))
    kind = ServerTooOldError if newest.isdecimal() and int(newest) < PROTOCOL_VERSION else AppTooOldError
    return kind(status, problem.code, problem.detail)


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """What `Retry-After` asks for, as seconds or as a moment of the server's own clock, or None where it says nothing."""
    asked = headers.get("retry-after", "").strip()
    if asked.isascii() and asked.isdecimal():
        return float(asked[:9])
    try:
        moment, now = parsedate_to_datetime(asked), parsedate_to_datetime(headers.get("date", ""))
        return max(0.0, (moment - now).total_seconds())
    except (ValueError, TypeError):  # no date; or one without a zone beside one with it
        return None


def _unreachable(url: str, error: Exception) -> ServerUnreachableError:
    """A link that was there and too slow is told from one that was not."""
    kind = LinkTooSlowError if isinstance(error, httpx2.ReadTimeout | httpx2.WriteTimeout) else ServerUnreachableError
    return kind(url, _name(error))


def _name(error: Exception) -> str:
    """What the network says, or, where it says nothing, what kind of failure it was, in words."""
    said = next((words for kind, words in _FAILURES.items() if isinstance(error, kind)), "the connection failed")
    return str(error) or said

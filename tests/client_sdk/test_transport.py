"""Whatever may answer in the server's place: each gets the error that says what to do, and nothing of it is used."""

from collections.abc import AsyncIterator, Callable
from uuid import UUID

import httpx2
import msgspec
import pytest

from client_sdk import transport
from client_sdk.errors import (
    AppTooOldError,
    BadReplyError,
    DeviceForkedError,
    DeviceRevokedError,
    DeviceUnknownError,
    EnrolmentRefusedError,
    EpochChangedError,
    ServerBusyError,
    ServerError,
    ServerUnreachableError,
)
from client_sdk.transport import HttpEndpoint
from sync_protocol.wire.codec import MESSAGE_MEDIA_TYPE, PAGE_MEDIA_TYPE, digest, encode
from sync_protocol.wire.messages import PullRequest, PushReply, PushRequest

URL = "https://roadbook.test"
ID = UUID(int=1)
PUSH = PushRequest(protocol_version=1, device_id=ID, incarnation=b"i" * 16, next_incarnation=b"n" * 16, epoch=None, intents=())
PULL = PullRequest(protocol_version=1, device_id=ID, incarnation=b"i" * 16)
REPLY = PushReply(audience=ID, epoch=ID, results=(), server_time_ms=5)
SIGN_IN = b"<!doctype html><title>Hotel Wi-Fi</title><form>Please sign in</form>"

Answer = Callable[[httpx2.Request], httpx2.Response]


def endpoint_that(answer: Answer, token: str = "") -> HttpEndpoint:
    return HttpEndpoint(URL, token, transport=httpx2.MockTransport(answer))


def answering(status: int, body: bytes = b"", **headers: str) -> HttpEndpoint:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return endpoint_that(lambda _: httpx2.Response(status, content=body, headers=named))


def problem(status: int, code: str, **headers: str) -> HttpEndpoint:
    body = msgspec.json.encode({"code": code, "detail": f"about {code}", "status": status})
    return answering(status, body, content_type="application/problem+json", **headers)


async def pull(endpoint: HttpEndpoint) -> bytes:
    return b"".join([piece async for piece in endpoint.pull(PULL)])


async def test_a_whole_answer_is_taken_and_the_request_is_as_the_protocol_says() -> None:
    asked: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(200, content=encode(REPLY), headers={"content-type": MESSAGE_MEDIA_TYPE})

    assert await endpoint_that(answer, "secret").push(PUSH) == REPLY
    (request,) = asked
    assert (request.method, str(request.url)) == ("POST", f"{URL}/sync/push")
    assert request.headers["authorization"] == "Bearer secret"
    assert request.headers["content-type"] == MESSAGE_MEDIA_TYPE
    assert request.content == encode(PUSH)


async def test_a_page_comes_through_as_it_was_sent() -> None:
    assert await pull(answering(200, b"a page", content_type=f"{PAGE_MEDIA_TYPE}; charset=binary")) == b"a page"


@pytest.mark.parametrize("status", [200, 302, 403, 404, 511])
@pytest.mark.parametrize("location", ["", "https://portal.test/login"])
async def test_a_sign_in_page_is_no_answer_and_is_never_followed(status: int, location: str) -> None:
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.host)
        return httpx2.Response(status, content=SIGN_IN, headers={"content-type": "text/html", "location": location})

    with pytest.raises(BadReplyError):
        await endpoint_that(answer).push(PUSH)
    with pytest.raises(BadReplyError):
        await pull(endpoint_that(answer))
    assert set(asked) == {"roadbook.test"}


@pytest.mark.parametrize("content_type", ["application/json", "application/octet-stream", PAGE_MEDIA_TYPE, ""])
async def test_the_right_bytes_of_the_wrong_type_are_no_answer(content_type: str) -> None:
    with pytest.raises(BadReplyError):
        await answering(200, encode(REPLY), content_type=content_type).push(PUSH)


@pytest.mark.parametrize("body", [b"", b"\x00", encode(REPLY)[:-1], encode({"audience": 1}), b"\xc1" * 50, b"\x91" * 5_000])
async def test_a_body_that_is_not_the_message_is_no_answer(body: bytes) -> None:
    with pytest.raises(BadReplyError):
        await answering(200, body, content_type=MESSAGE_MEDIA_TYPE).push(PUSH)


async def test_a_reply_that_does_not_fit_its_digest_is_no_answer_and_one_without_is() -> None:
    told = {"content_type": MESSAGE_MEDIA_TYPE, "roadbook_digest": digest(encode(REPLY)).hex()}
    other = msgspec.structs.replace(REPLY, server_time_ms=6)
    assert await answering(200, encode(REPLY), **told).push(PUSH) == REPLY
    with pytest.raises(BadReplyError, match="digest"):
        await answering(200, encode(other), **told).push(PUSH)
    assert await answering(200, encode(other), content_type=MESSAGE_MEDIA_TYPE).push(PUSH) == other


async def test_a_reply_beyond_the_limit_is_dropped_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "REPLY_BYTES_MAX", 10_000)
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100_000:
            sent += 1_000
            yield b"\0" * 1_000

    headers = {"content-type": MESSAGE_MEDIA_TYPE}
    with pytest.raises(BadReplyError):
        await endpoint_that(lambda _: httpx2.Response(200, content=endless(), headers=headers)).push(PUSH)
    assert sent < 20_000


async def test_a_problem_beyond_the_limit_is_dropped_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "REPLY_BYTES_MAX", 10_000)
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100_000:
            sent += 1_000
            yield b" " * 1_000

    headers = {"content-type": "application/problem+json"}
    with pytest.raises(BadReplyError):
        await endpoint_that(lambda _: httpx2.Response(400, content=endless(), headers=headers)).push(PUSH)
    assert sent < 20_000


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_server_that_fails_without_a_word_is_busy(status: int) -> None:
    with pytest.raises(ServerBusyError) as raised:
        await answering(status, b"upstream", content_type="text/plain").push(PUSH)
    assert raised.value.status == status
    assert raised.value.retry


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0", 0.0), ("", None), ("soon", None), ("-1", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("\xb2", None)],
)
@pytest.mark.parametrize("speaks", [True, False])
async def test_how_long_to_wait_is_what_the_server_asked_for(header: str, seconds: float | None, *, speaks: bool) -> None:
    kind = "application/problem+json" if speaks else "text/html"
    body = b'{"code": "busy", "detail": "later"}' if speaks else SIGN_IN
    headers = [(b"content-type", kind.encode()), (b"retry-after", header.encode("latin-1"))]
    with pytest.raises(ServerBusyError) as raised:
        await endpoint_that(lambda _: httpx2.Response(429, content=body, headers=headers)).push(PUSH)
    assert raised.value.retry_after_seconds == seconds


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "enrolment_code_invalid", EnrolmentRefusedError),
        (401, "token_invalid", DeviceUnknownError),
        (401, "device_revoked", DeviceRevokedError),
        (409, "device_forked", DeviceForkedError),
        (409, "epoch_changed", EpochChangedError),
        (400, "request_garbled", ServerBusyError),
        (426, "protocol_not_served", AppTooOldError),
        (503, "busy", ServerBusyError),
        (403, "device_mismatch", ServerError),
        (403, "something_of_a_newer_server", ServerError),
    ],
)
async def test_each_problem_of_our_server_is_its_documented_error(status: int, code: str, error: type[ServerError]) -> None:
    with pytest.raises(ServerError) as raised:
        await problem(status, code).push(PUSH)
    assert type(raised.value) is error
    assert (raised.value.status, raised.value.code, raised.value.detail) == (status, code, f"about {code}")
    with pytest.raises(error):
        await pull(problem(status, code))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (httpx2.ConnectTimeout, "nothing answers there"),
        (httpx2.ReadTimeout, "it took too long"),
        (httpx2.ConnectError, "there is no connection"),
        (httpx2.ReadError, "the connection broke"),
        (httpx2.RemoteProtocolError, "the connection broke"),
    ],
)
async def test_a_network_that_fails_without_a_word_is_told_in_words(error: type[httpx2.TransportError], words: str) -> None:
    def fail(_: httpx2.Request) -> httpx2.Response:
        raise error("")

    with pytest.raises(ServerUnreachableError, match=rf"\({words}\)"):
        await endpoint_that(fail).push(PUSH)


async def test_a_device_that_its_server_does_not_know_is_told_to_enrol_the_same_file_again() -> None:
    """Whatever the server says, which may be an older one that speaks of signing in: nobody signs in with a device."""
    with pytest.raises(DeviceUnknownError, match="enrol this same file with it; everything that waits here is kept"):
        await problem(401, "token_invalid").push(PUSH)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"code": 5}', b"\xff\xfe"])
async def test_a_problem_that_cannot_be_read_is_no_answer(body: bytes) -> None:
    with pytest.raises(BadReplyError):
        await answering(400, body, content_type="application/problem+json").push(PUSH)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
@pytest.mark.parametrize("status", [200, 400])
async def test_a_body_that_is_not_compressed_as_it_says_is_no_answer(encoding: str, status: int) -> None:
    content_type = MESSAGE_MEDIA_TYPE if status == 200 else "application/problem+json"
    headers = {"content-type": content_type, "content-encoding": encoding}

    async def body() -> AsyncIterator[bytes]:
        yield b"this was never compressed"

    with pytest.raises(BadReplyError):
        await endpoint_that(lambda _: httpx2.Response(status, content=body(), headers=headers)).push(PUSH)
    headers["content-type"] = PAGE_MEDIA_TYPE
    if status == 200:
        with pytest.raises(BadReplyError):
            await pull(endpoint_that(lambda _: httpx2.Response(200, content=body(), headers=headers)))


@pytest.mark.parametrize(
    "error",
    [
        httpx2.ConnectError("no route"),
        httpx2.ConnectTimeout("slow"),
        httpx2.ReadTimeout(""),
        httpx2.RemoteProtocolError("not HTTP"),
        httpx2.ReadError("reset"),
    ],
)
async def test_a_network_that_fails_is_a_server_that_cannot_be_reached(error: Exception) -> None:
    def fail(_: httpx2.Request) -> httpx2.Response:
        raise error

    with pytest.raises(ServerUnreachableError, match="everything is kept"):
        await endpoint_that(fail).push(PUSH)


async def test_a_connection_that_breaks_in_the_middle_of_a_body_is_a_server_that_cannot_be_reached() -> None:
    async def half() -> AsyncIterator[bytes]:
        yield encode(REPLY)[:5]
        raise httpx2.ReadError("reset")

    for media_type, ask in ((MESSAGE_MEDIA_TYPE, lambda endpoint: endpoint.push(PUSH)), (PAGE_MEDIA_TYPE, pull)):
        headers = {"content-type": media_type}
        with pytest.raises(ServerUnreachableError):
            await ask(endpoint_that(lambda _, headers=headers: httpx2.Response(200, content=half(), headers=headers)))


@pytest.mark.parametrize("url", ["server.example", "http://", "ftp://server.example", "", "http://[::1"])
async def test_an_address_that_is_none_is_a_server_that_cannot_be_reached(url: str) -> None:
    with pytest.raises(ServerUnreachableError):
        await HttpEndpoint(url).push(PUSH)

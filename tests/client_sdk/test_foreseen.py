"""Pages that a pull is foreseen to ask for: handed out where it does ask for them, and nowhere else."""

import asyncio
from collections import deque
from uuid import UUID

import msgspec
import pytest

from client_sdk.errors import BadReplyError
from client_sdk.foreseen import ForeseenPages
from client_sdk.pages import Page
from client_sdk.replica import scoped
from client_sdk.state import Staging
from sync_protocol.wire.messages import PageHeader, PageTrailer, ResyncReason, ScopeChunk

EPOCH = UUID(int=72)
IMAGE = Staging(epoch=EPOCH, cursor=7, afresh=True, digest=b"i" * 16, is_finished=True, rows=3)
SHARED = frozenset({"catalog", "stock:0a"})
SCOPE = ScopeChunk(digest=b"s" * 16, buckets=("account:0b", "catalog"))
BEHIND_SCOPE = scoped(IMAGE, SHARED, SCOPE)


def page(*, scope: ScopeChunk | None = None, resync: ResyncReason | None = None) -> Page:
    trailer = PageTrailer(
        audience=UUID(int=1), epoch=EPOCH, rows=0, digest=b"d" * 16, cursor=9, complete=scope is None, server_time_ms=5
    )
    header = PageHeader(protocol_version=2, audience=UUID(int=1), epoch=EPOCH, resync=resync)
    return Page(header, trailer, scope, deque())


class Server:
    """Answers with pages, and remembers from where it was asked for each."""

    def __init__(self, *answers: Page | Exception) -> None:
        self.answers = deque(answers)
        self.asked: list[Staging] = []

    async def fetch(self, staging: Staging) -> Page:
        self.asked.append(staging)
        await asyncio.sleep(0)
        answer = self.answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        return answer


async def _settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_a_scope_and_what_it_gains_are_asked_for_before_the_pull_is_there() -> None:
    first, second = page(scope=SCOPE), page()
    server = Server(first, second)
    foreseen = ForeseenPages(server.fetch)
    foreseen.foresee(IMAGE, SHARED)
    foreseen.foresee(IMAGE, SHARED)
    await _settle()
    assert server.asked == [IMAGE, BEHIND_SCOPE]
    assert (BEHIND_SCOPE.digest, BEHIND_SCOPE.gained, BEHIND_SCOPE.lost) == (SCOPE.digest, ("account:0b",), ("stock:0a",))
    assert await foreseen.next(IMAGE) is first
    assert await foreseen.next(BEHIND_SCOPE) is second
    assert await foreseen.next(BEHIND_SCOPE) is None


async def test_a_pull_that_asks_from_elsewhere_gets_nothing_of_it() -> None:
    server = Server(page(scope=SCOPE), page())
    foreseen = ForeseenPages(server.fetch)
    foreseen.foresee(IMAGE, SHARED)
    await _settle()
    assert await foreseen.next(msgspec.structs.replace(IMAGE, cursor=0, epoch=None)) is None
    assert await foreseen.next(IMAGE) is None
    await foreseen.drop()


async def test_another_image_takes_the_place_of_the_one_that_was_foreseen() -> None:
    other = msgspec.structs.replace(IMAGE, cursor=5)
    server = Server(page(), page())
    foreseen = ForeseenPages(server.fetch)
    foreseen.foresee(IMAGE, SHARED)
    await asyncio.sleep(0)
    foreseen.foresee(other, SHARED)
    await _settle()
    assert server.asked == [IMAGE, other]
    assert await foreseen.next(other) is not None
    await foreseen.drop()


async def test_nothing_is_asked_for_behind_a_second_scope_or_a_resync() -> None:
    server = Server(page(scope=SCOPE), page(scope=SCOPE))
    foreseen = ForeseenPages(server.fetch)
    foreseen.foresee(IMAGE, SHARED)
    await _settle()
    assert len(server.asked) == 2
    server = Server(page(scope=SCOPE, resync=ResyncReason.EPOCH_CHANGED))
    foreseen = ForeseenPages(server.fetch)
    foreseen.foresee(IMAGE, SHARED)
    await _settle()
    assert len(server.asked) == 1


async def test_what_fails_is_raised_where_its_page_would_be_next() -> None:
    first = page(scope=SCOPE)
    foreseen = ForeseenPages(Server(first, BadReplyError("it was cut off")).fetch)
    foreseen.foresee(IMAGE, SHARED)
    await _settle()
    assert await foreseen.next(IMAGE) is first
    with pytest.raises(BadReplyError):
        await foreseen.next(BEHIND_SCOPE)
    await foreseen.drop()


async def test_what_is_dropped_is_not_handed_out_and_ends() -> None:
    ended = asyncio.Event()

    async def fetch(_staging: Staging) -> Page:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    foreseen = ForeseenPages(fetch)
    foreseen.foresee(IMAGE, SHARED)
    await asyncio.sleep(0)
    await foreseen.drop()
    assert ended.is_set()
    assert await foreseen.next(IMAGE) is None

"""Pages ahead of the one that is written: in their order, few by their size, and what fails raised in its place."""

import asyncio
from collections import deque
from uuid import UUID

import msgspec
import pytest

from client_sdk.clock import SystemTimer
from client_sdk.errors import BadReplyError
from client_sdk.flow import Flow
from client_sdk.pages import Page
from client_sdk.pages_ahead import WAITING_BYTES_MAX, PagesAhead
from client_sdk.state import Staging
from sync_protocol.wire.messages import PageHeader, PageTrailer, PullPosition, ScopeChunk

EPOCH = UUID(int=72)
STAGING = Staging(epoch=EPOCH, cursor=0, afresh=True, digest=b"s" * 16)
SCOPE = ScopeChunk(digest=b"s" * 16, buckets=("catalog",))


def page(number: int, *, size: int = 1, last: bool = False) -> Page:
    """A page that goes on at the stage of its number."""
    position = PullPosition(pass_from=0, pass_to=9, stage=number, change=0, row_id=UUID(int=0))
    trailer = PageTrailer(
        audience=UUID(int=1),
        epoch=EPOCH,
        rows=0,
        digest=b"d" * 16,
        cursor=0,
        complete=last,
        server_time_ms=5,
        position=None if last else position,
    )
    header = PageHeader(protocol_version=2, audience=UUID(int=1), epoch=EPOCH)
    return Page(header, trailer, None, deque(), size)


class Server:
    """Answers with pages, and remembers at which stage it was asked for each."""

    def __init__(self, *pages: Page | Exception) -> None:
        self.pages = deque(pages)
        self.asked: list[int] = []

    async def fetch(self, staging: Staging) -> Page:
        assert staging.position is not None
        self.asked.append(staging.position.stage)
        await asyncio.sleep(0)
        answer = self.pages.popleft()
        if isinstance(answer, Exception):
            raise answer
        return answer


async def _settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_pages_come_in_their_order_and_the_last_is_followed_by_none() -> None:
    server = Server(page(2), page(3), page(4, last=True))
    ahead = PagesAhead(server.fetch)
    assert await ahead.next() is None
    ahead.follow(STAGING, page(1))
    await _settle()
    assert server.asked == [1, 2, 3]
    came = [await ahead.next() for _ in range(3)]
    assert [each.trailer.position.stage for each in came if each and each.trailer.position] == [2, 3]
    assert await ahead.next() is None


async def test_no_more_is_asked_for_while_enough_waits() -> None:
    half = WAITING_BYTES_MAX // 2
    server = Server(*(page(number, size=half) for number in range(2, 9)))
    ahead = PagesAhead(server.fetch)
    ahead.follow(STAGING, page(1))
    await _settle()
    assert server.asked == [1, 2]
    await ahead.next()
    await _settle()
    assert server.asked == [1, 2, 3]
    await ahead.drop()


async def test_what_fails_is_raised_behind_the_pages_before_it() -> None:
    server = Server(page(2), BadReplyError("it was cut off"))
    ahead = PagesAhead(server.fetch)
    ahead.follow(STAGING, page(1))
    await _settle()
    assert await ahead.next() is not None
    with pytest.raises(BadReplyError):
        await ahead.next()
    await ahead.drop()


async def test_nothing_is_asked_for_behind_a_page_that_tells_of_another_scope() -> None:
    server = Server(msgspec.structs.replace(page(2), scope=SCOPE), page(3))
    ahead = PagesAhead(server.fetch)
    ahead.follow(STAGING, page(1))
    await _settle()
    assert server.asked == [1]
    assert (await ahead.next()) is not None
    assert await ahead.next() is None


async def test_what_is_dropped_is_not_handed_out() -> None:
    server = Server(page(2), page(3), page(4))
    ahead = PagesAhead(server.fetch)
    ahead.follow(STAGING, page(1))
    await asyncio.sleep(0)
    await ahead.drop()
    assert await ahead.next() is None
    assert server.asked == [1]


@pytest.mark.parametrize(("is_dropped", "rows"), [(True, 50_000), (False, 25_000)])
async def test_a_page_that_is_dropped_says_nothing_of_the_link_and_one_that_is_given_up_does(is_dropped: bool, rows: int) -> None:
    flow = Flow(SystemTimer(), 50_000)

    async def fetch(_staging: Staging) -> Page:
        with flow.pulling("here"):
            await asyncio.Event().wait()
        raise AssertionError

    ahead = PagesAhead(fetch)
    ahead.follow(STAGING, page(1))
    waiting = asyncio.create_task(ahead.next())
    await asyncio.sleep(0)
    if not is_dropped:
        waiting.cancel()
    await ahead.drop()
    await asyncio.gather(waiting, return_exceptions=True)
    assert flow.rows.size == rows

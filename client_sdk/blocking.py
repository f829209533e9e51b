"""The same client for code that is not asynchronous: every call runs on one event loop in a thread of its own."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from client_sdk.client import OrderClient
from client_sdk.follow import Follower

P = ParamSpec("P")
T = TypeVar("T")


class BlockingOrderClient:
    """`OrderClient` without `await`: `client.call(client.device.search, "valve")`.

    Each method of the device, and of the drafts it gives out, is called through `call`, which keeps its types.
    """

    def __init__(self, path: Path | str, **options: Any) -> None:
        self._running = start_blocking_portal()
        self._portal: BlockingPortal = self._running.__enter__()
        try:
            self.device: OrderClient = self._portal.call(lambda: OrderClient.open(path, **options))
        except BaseException:
            self._running.__exit__(None, None, None)
            raise

    def call(self, method: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a method of the device or of a draft and wait for it. Raises what it raises."""
        return self._portal.call(lambda: method(*args, **kwargs))

    def follow(self, **options: Any) -> AbstractContextManager[Follower]:
        """`OrderClient.follow` as a context of this thread; the device is kept synced in the other one."""
        return self._portal.wrap_async_context_manager(self.device.follow(**options))

    def close(self) -> None:
        """Close the device and end its thread."""
        try:
            self._portal.call(self.device.close)
        finally:
            self._running.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

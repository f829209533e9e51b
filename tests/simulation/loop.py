"""An event loop whose time is virtual: it never waits, it moves its clock to the next thing that is to happen.

Nothing here has a thread or a socket to listen to, so what runs when is decided by timers and by the order of calls alone.
"""

import asyncio
import selectors
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class StuckError(Exception):
    """Everything waits, and nothing is left that could wake it: a wedge (I-6)."""


def _waiting() -> str:
    """Where each task waits, for whoever reads the failure."""
    places = []
    for task in asyncio.all_tasks(asyncio.get_running_loop()):
        at: Any = task.get_coro()
        while getattr(at, "cr_await", None) is not None and getattr(at.cr_await, "cr_frame", None) is not None:
            at = at.cr_await
        places.append(f"{task.get_name()} in {at.cr_code.co_qualname}")
    return f"every task waits for another: {', '.join(sorted(places))}"


class _TimelessSelector(selectors.BaseSelector):
    """Takes note of what is registered and never looks at it; waiting moves the loop's clock."""

    def __init__(self) -> None:
        self._keys: dict[int, selectors.SelectorKey] = {}
        self.waited = 0.0

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        self._keys[number] = key = selectors.SelectorKey(fileobj, number, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj if isinstance(fileobj, int) else fileobj.fileno())

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise StuckError(_waiting())
        self.waited += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop; `time` begins at 0."""

    def __init__(self) -> None:
        self._timeless = _TimelessSelector()
        super().__init__(self._timeless)
        self._clock_resolution = 1e-6  # finer than a float can tell a year's seconds apart would spin for ever

    def time(self) -> float:
        return self._timeless.waited


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end in a virtual loop of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)

"""Learning that this process was told to stop, before the web server waits for the connections that are still open."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def on_termination(act: Callable[[], None]) -> Iterator[None]:
    """Have `act` called in the running loop when the process is told to stop; whoever handled that before still does.

    Outside the main thread, where no signal can be handled, nothing is called.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before: dict[signal.Signals, Any] = {}

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(act)
        following = before[signal.Signals(number)]
        if callable(following):
            following(number, frame)

    for each in _SIGNALS:
        found = signal.getsignal(each)
        if callable(found):
            before[each] = found
            signal.signal(each, handle)
    try:
        yield
    finally:
        for each, following in before.items():
            if signal.getsignal(each) is handle:
                signal.signal(each, following)

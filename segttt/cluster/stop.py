"""Requests of a scheduler to end: noted when they come, obeyed where it is safe."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
"""What schedulers send before they kill; a second one ends the process as ever."""


class Stop:
    """Whether this process was asked to end."""

    def __init__(self) -> None:
        self.requested = False


@contextmanager
def on_signals() -> Iterator[Stop]:
    """Inside, SIGTERM and SIGUSR1 are requests; the handlers before come back afterwards.

    Python lets only the main thread set handlers; in any other thread nothing is ever requested.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def request(number: int, frame: FrameType | None) -> None:
        stop.requested = True
        signal.signal(number, signal.SIG_DFL)

    for number in SIGNALS:
        signal.signal(number, request)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""What can happen to a process: it is killed, its disk or memory runs out, numbers become NaN.

Each fault is a function that is called in the child before the command; it changes that process
alone.
"""

import builtins
import errno
import hashlib
import io
import json
import os
import resource
import signal
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any

TELL = -1
"""The pipe into which this process tells what it saw."""
WRITING = frozenset("wax+")
FAILING = ("open", "write", "replace", "mkdir", "fsync")
"""What a full disk refuses."""


class Operations:
    """Counts what changes the disk, and does something at one of these."""

    def __init__(self, act: Callable[[str, Callable[[], None]], None]):
        self.count = 0
        self.act = act
        self.names: list[str] = []

    def happens(self, name: str, half: Callable[[], None] = lambda: None) -> None:
        """One operation is about to happen; `half` does a part of it."""
        self.count += 1
        self.names.append(name)
        self.act(name, half)

    def install(self) -> None:
        """Wrap the functions of this process through which files are written."""
        for name in ("replace", "rename", "mkdir", "unlink", "rmdir", "fsync"):
            setattr(os, name, self._counted(name, getattr(os, name)))
        honest = io.open

        @wraps(honest)
        def opened(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if not WRITING & set(mode):
                return honest(file, mode, *args, **kwargs)
            self.happens("open")
            return Written(honest(file, mode, *args, **kwargs), self)

        io.open = builtins.open = opened

    def _counted(self, name: str, honest: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(honest)
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.happens(name)
            return honest(*args, **kwargs)

        return counted


class Written:
    """An open file whose writes are counted."""

    def __init__(self, file: Any, operations: Operations):
        self._file = file
        self._operations = operations

    def write(self, content: Any) -> int:
        """Write, unless something happens in the middle of it."""

        def half() -> None:
            self._file.write(content[: len(content) // 2])
            self._file.flush()

        self._operations.happens("write", half)
        return self._file.write(content)

    def __enter__(self) -> "Written":
        return self

    def __exit__(self, *problem: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def tell(content: Any) -> None:
    """Leave a line for the test, whatever happens to this process."""
    os.write(TELL, (json.dumps(content) + "\n").encode())


AT_END: list[Callable[[], None]] = []


def at_end() -> None:
    """Say what was counted."""
    for one in AT_END:
        one()


def stop_the_clocks() -> None:
    """Nothing that is written tells how long it took, so equal runs write equal bytes."""
    from segttt.commands import predict, train
    from segttt.commands.runs import recorder
    from segttt.engine import train as loop

    clock = SimpleNamespace(perf_counter=lambda: 0.0, monotonic=lambda: 0.0)
    for module in (predict, train, loop):
        module.time = clock
    recorder.peak_bytes = lambda device: 0


def plain_curves() -> None:
    """The figure of a training takes longer than the training; a line stands for it."""
    from segttt.commands.runs import recorder

    recorder.curves_svg = lambda history, names: f"<svg>{json.dumps(history)}</svg>"


def recorded() -> None:
    """Tell the name of each piece of work as it is begun."""
    from segttt.commands import evaluate, preprocess
    from segttt.engine.learner import Learner
    from segttt.engine.predict import SlidingWindow

    _first_tell(preprocess, "prepare", lambda args: args[0].case.id)
    _first_tell(SlidingWindow, "segment", lambda args: args[1].id)
    _first_tell(evaluate, "score_files", lambda args: args[0])
    _first_tell(Learner, "begin", lambda args: str(args[0].steps))


def _first_tell(owner: Any, name: str, what: Callable[[tuple[Any, ...]], str]) -> None:
    honest = getattr(owner, name)

    @wraps(honest)
    def telling(*args: Any, **kwargs: Any) -> Any:
        tell(f"{name} {what(args)}")
        return honest(*args, **kwargs)

    setattr(owner, name, telling)


def counted() -> None:
    """Tell how many operations on the disk there were."""
    operations = Operations(lambda name, half: None)
    operations.install()
    AT_END.append(lambda: tell(operations.names))


def killed(at: int) -> None:
    """SIGKILL at an operation on the disk; a write is half done by then."""

    def act(name: str, half: Callable[[], None]) -> None:
        if operations.count == at:
            half()
            os.kill(os.getpid(), signal.SIGKILL)

    operations = Operations(act)
    operations.install()


def full_disk(at: int) -> None:
    """From an operation on, nothing new fits on the disk."""

    def act(name: str, half: Callable[[], None]) -> None:
        if operations.count < at or name not in FAILING:
            return
        half()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    operations = Operations(act)
    operations.install()


def largest_file(size: int, *, deadly: bool) -> None:
    """No file may be larger, whoever writes it: an error of the disk, or the end of the process."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL if deadly else signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def more_memory(size: int) -> None:
    """This process gets so many bytes more than it has, and no more; libraries are loaded."""

    import segttt.io.itk  # noqa: F401

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + size
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def starved(case: str, where: str, times: int, words: str) -> None:
    """Memory does not suffice at one place of one case, so many times."""
    from segttt.commands import evaluate, predict, preprocess
    from segttt.commands.predictions import segment
    from segttt.commands.scores import scoring
    from segttt.engine.predict import SlidingWindow

    places: dict[str, list[tuple[Any, str, int]]] = {
        "read": [(preprocess, "read_volume", 0), (segment, "read_volume", 0)],
        "read labels": [(scoring, "read_labels", 0)],
        "work": [(preprocess, "prepare", 0), (SlidingWindow, "_segment", 1), (scoring, "score", 0)],
        "write": [(preprocess, "write_case", 1), (predict, "write_outputs", 1)],
        "all": [(evaluate, "score_files", 0)],
    }
    left = times
    error = MemoryError if words.startswith("Unable") else RuntimeError

    def short(honest: Callable[..., Any], position: int) -> Callable[..., Any]:
        @wraps(honest)
        def maybe(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            if left and case in _name(args[position]):
                left -= 1
                raise error(words)
            return honest(*args, **kwargs)

        return maybe

    for owner, name, position in places[where]:
        setattr(owner, name, short(getattr(owner, name), position))


def _name(what: Any) -> str:
    """Id of a case, a volume, a prepared case; name of a file."""
    found = getattr(what, "case", what)
    return str(getattr(found, "id", found)).rpartition("/")[2]


def killed_at_step(at: int) -> None:
    """SIGKILL when a training has made so many steps."""
    from segttt.engine.learner import Learner

    honest = Learner.finish

    def finish(self: Learner, *args: Any) -> float:
        loss = honest(self, *args)
        if self.steps == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return loss

    Learner.finish = finish


def nan_at_step(at: int) -> None:
    """The loss of a step becomes NaN, once; tell the weights of each epoch and of each return."""
    from segttt.commands.runs.recorder import Recorder
    from segttt.engine.learner import Learner

    honest, left = Learner.loss, 1

    def loss(self: Learner, batch: Any) -> Any:
        nonlocal left
        value = honest(self, batch)
        if self.steps + 1 != at or not left:
            return value
        left = 0
        return value * float("nan")

    Learner.loss = loss
    for name in ("resume", "keep", "roll_back"):
        setattr(Recorder, name, _then_tell_weights(name, getattr(Recorder, name)))


def _then_tell_weights(name: str, honest: Callable[..., Any]) -> Callable[..., Any]:
    def telling(*args: Any) -> Any:
        result = honest(*args)
        content = b"".join(one.detach().numpy().tobytes() for one in args[-1].parameters)
        tell([name, args[-1].steps, hashlib.sha256(content).hexdigest()])
        return result

    return telling

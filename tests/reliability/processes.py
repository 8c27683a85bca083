"""Commands in processes of their own that start in milliseconds, to be killed and starved.

A server imports the program once and forks a child for every job; it has one thread and has done
nothing else, so a child is like a freshly started `segttt`.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[2]
LONGEST_SECONDS = 60.0
NEEDED = (
    "segttt.cli.app", "segttt.commands.plans.estimate", "segttt.commands.evaluate",
    "segttt.commands.predict", "segttt.commands.preprocess", "segttt.commands.train",
    "tests.reliability.faults", "torch._dynamo",
)  # fmt: skip
"""What a command imports when it is called."""
HUNG, BROKEN = -1000, 99
"""The status of a job that did not end by itself, and of one that left the program by an error."""


@dataclass(frozen=True)
class Job:
    """One call of the command line, and what is done to it."""

    arguments: Sequence[str]
    faults: Sequence[tuple[str, dict[str, Any]]] = ()
    """Names and arguments of functions of tests.reliability.faults, called before the command."""
    kill_after: float | None = None
    """Seconds until SIGKILL."""


@dataclass(frozen=True)
class Ended:
    """How a job ended."""

    status: int
    """Exit code, or minus the signal that ended it."""
    said: str
    """Standard output and errors."""
    told: list[Any] = field(default_factory=list)
    """What its faults had to tell."""


class Server:
    """Runs jobs; several of one call run at once."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from tests.reliability.processes import serve; serve()"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, *jobs: Job) -> list[Ended]:
        """Run the jobs at once and wait for all of them."""
        self.process.stdin.write(json.dumps([asdict(job) for job in jobs]) + "\n")
        self.process.stdin.flush()
        return [Ended(**one) for one in json.loads(self.process.stdout.readline())]

    def close(self) -> None:
        """End the server."""
        self.process.stdin.close()
        self.process.wait(timeout=10)
        self.process.stdout.close()


@dataclass(frozen=True)
class Child:
    """A running job."""

    process: int
    handle: int
    """Becomes readable when the process ends."""
    said: int
    told: int
    """Pipes, which no limit of a file's size touches and which hold what these jobs write."""
    ends: float
    doomed: bool

    def ended(self) -> dict[str, Any]:
        """Wait for the process, which is ending, and take what it left."""
        status = os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
        said, told = _rest(self.said), _rest(self.told)
        os.close(self.handle)
        if status == -signal.SIGKILL and not self.doomed and time.monotonic() >= self.ends:
            status = HUNG
        return {"status": status, "said": said, "told": [json.loads(x) for x in told.splitlines()]}


def _rest(pipe: int) -> str:
    with os.fdopen(pipe, encoding="utf-8", errors="replace") as file:
        return file.read()


def serve() -> None:
    """Import the program, then fork a child for every job that arrives on standard input."""
    import torch

    for module in NEEDED:
        import_module(module)
    torch.set_num_threads(1)
    _compile_kernels()
    for line in sys.stdin:
        children = [_forked(Job(**job)) for job in json.loads(line)]
        print(json.dumps(_wait(children)), flush=True)


def _compile_kernels() -> None:
    """Load what is compiled at its first call, which would take most of a job's time."""
    import torch

    from segttt.kernels.ttt_linear.op import ttt_linear

    tokens = [torch.rand(1, 4, 24, 4, requires_grad=True) for _ in range(3)]
    weights = [torch.rand(4, 4, 4, requires_grad=True), *torch.rand(3, 4, 4)]
    rates = torch.rand(1, 4, 24), torch.rand(16)
    for causal in (True, False):
        ttt_linear(*tokens, *rates, *weights, causal=causal).sum().backward()


def _wait(children: Sequence[Child]) -> list[dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    while alive := [child for child in children if child.process not in found]:
        patience = max(0.0, min(child.ends for child in alive) - time.monotonic())
        ready, _, _ = select.select([child.handle for child in alive], [], [], patience)
        for child in alive:
            if child.handle not in ready and time.monotonic() >= child.ends:
                os.kill(child.process, signal.SIGKILL)
            elif child.handle not in ready:
                continue
            found[child.process] = child.ended()
    return [found[child.process] for child in children]


def _forked(job: Job) -> Child:
    said, told = os.pipe(), os.pipe()
    process = os.fork()
    if process == 0:
        _child(job, said[1], told[1])
    os.close(said[1])
    os.close(told[1])
    ends = time.monotonic() + (job.kill_after or LONGEST_SECONDS)
    doomed = job.kill_after is not None
    return Child(process, os.pidfd_open(process), said[0], told[0], ends, doomed)


def _child(job: Job, said: int, told: int) -> NoReturn:
    from segttt.cli.app import run
    from tests.reliability import faults

    status = BROKEN
    try:
        for stream in (1, 2):
            os.dup2(said, stream)
        faults.TELL = told
        faults.stop_the_clocks()
        faults.plain_curves()
        for name, arguments in job.faults:
            getattr(faults, name)(**arguments)
        status = run(list(job.arguments))
        faults.at_end()
    except BaseException:  # noqa: BLE001 - what a child dies of is for the test to judge
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)

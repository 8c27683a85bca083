"""How the command line speaks: results on stdout, messages on stderr, colour only on a terminal."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

Item = TypeVar("Item")

PIPED_WIDTH = 160
"""Columns of a table that no terminal limits."""


def _console(*, stderr: bool) -> Console:
    """A console that is as wide as the terminal; what is piped is wide enough for every table."""
    found = Console(stderr=stderr, highlight=False, markup=False, soft_wrap=True)
    if not found.is_terminal:
        found = Console(
            stderr=stderr, highlight=False, markup=False, soft_wrap=True, width=PIPED_WIDTH
        )
    return found


out, err = _console(stderr=False), _console(stderr=True)


def say(text: str = "") -> None:
    """A line of the result."""
    out.print(text)


def note(text: str) -> None:
    """A message beside the result."""
    err.print(text, style="yellow" if err.is_terminal else None)


def fail(text: str) -> None:
    """An error, one sentence."""
    err.print(f"error: {text}", style="bold red" if err.is_terminal else None)


def table(
    title: str, header: Sequence[str], rows: Iterable[Sequence[str]], *, prose: str | None = None
) -> None:
    """A table; the first column and the column `prose` are text, the others are figures."""
    drawn = Table(
        title=title, title_justify="left", title_style="bold", header_style="bold", box=box.SIMPLE
    )
    for position, name in enumerate(header):
        text = position == 0 or name == prose
        drawn.add_column(
            name,
            justify="left" if text else "right",
            no_wrap=name != prose,
            overflow="fold" if name == prose else "ellipsis",
        )
    for row in rows:
        drawn.add_row(*row)
    out.print(drawn)


def facts(title: str, rows: Iterable[tuple[str, str]]) -> None:
    """Names and values below a title."""
    if title:
        out.print(title, style="bold")
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="cyan")
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(f"  {name}", value)
    out.print(grid)


def emit_json(content: Any) -> None:
    """The result for programs."""
    out.print(json.dumps(content, indent=1, allow_nan=False, default=str))


def next_command(command: str) -> None:
    """Suggest what to do next."""
    err.print(f"\nNext: {command}")


class RateColumn(ProgressColumn):
    """Items per second, or seconds per item where these are the larger number."""

    def render(self, task: Task) -> Text:
        """Nothing until the first item is done."""
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each")


class LiveWatch:
    """Progress bars on a terminal, one line per job elsewhere."""

    def __init__(self) -> None:
        self.bar: Progress | None = None

    def track(self, items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
        """Pass the items through while the bar moves."""
        if total == 0:
            yield from items
            return
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            RateColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[status]}"),
        )
        if not err.is_terminal:
            note(f"{what}: {total} to do" if total is not None else what)
            yield from items
            return
        with Progress(*columns, console=err, transient=False) as bar:
            self.bar = bar
            task = bar.add_task(what, total=total, status="")
            try:
                for item in items:
                    yield item
                    bar.advance(task)
            finally:
                self.bar = None

    def status(self, text: str) -> None:
        """Show a short text beside the bar."""
        if self.bar:
            for task in self.bar.task_ids:
                self.bar.update(task, status=text)

    def milestone(self, text: str) -> None:
        """A line in a log; on a terminal the bar says it already."""
        if not err.is_terminal:
            note(text)

    def note(self, text: str) -> None:
        """Show a sentence."""
        note(text)

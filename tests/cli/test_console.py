"""Progress: a bar with rate and time left on a terminal, one line elsewhere."""

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from segttt.cli import console


def test_off_a_terminal_a_job_is_one_line(capfd):
    watch = console.LiveWatch()
    assert list(watch.track(range(3), "preprocess", 3)) == [0, 1, 2]
    assert capfd.readouterr().err == "preprocess: 3 to do\n"


def test_on_a_terminal_rate_time_left_and_status_are_shown(monkeypatch):
    shown = io.StringIO()
    terminal = Console(file=shown, force_terminal=True, width=120, color_system=None)
    monkeypatch.setattr(console, "err", terminal)
    watch = console.LiveWatch()
    for _ in watch.track(range(40), "predict", 40):
        watch.status("window 3 of 9")
    text = shown.getvalue()
    assert all(part in text for part in ("predict", "40/40", "/s", "0:00:00", "window 3 of 9"))


@pytest.mark.parametrize(("speed", "text"), [(None, ""), (4.04, "4.0/s"), (0.4, "2.5 s each")])
def test_rates(speed, text):
    bar = Progress(console=Console(file=io.StringIO()))
    bar.add_task("x", total=9)
    (task,) = bar.tasks
    task.finished_speed = speed
    assert console.RateColumn().render(task).plain == text

"""The lock of a folder."""

import threading

import pytest

from segttt.errors import UsageError
from segttt.io.workspace import LOCK, locked


def test_a_second_one_is_told_or_waits(tmp_path):
    notes = []
    with locked(tmp_path, "works"):
        with pytest.raises(UsageError, match="another segttt works"), locked(tmp_path, "works"):
            pass
        waiting = threading.Thread(target=hold, args=(tmp_path, notes))
        waiting.start()
        wait_for(notes, 1)
        (tmp_path / "result").write_text("1")
    waiting.join(5)
    assert notes == [f"Another segttt works in {tmp_path}; waiting for it to end.", True]


def test_who_waits_for_one_that_came_to_nothing_finds_a_folder(tmp_path):
    folder, notes = tmp_path / "run", []
    with locked(folder, "works"):
        waiting = threading.Thread(target=hold, args=(folder, notes))
        waiting.start()
        wait_for(notes, 1)
    waiting.join(5)
    assert notes[1:] == [True]
    assert not folder.exists()


def test_unfinished_files_are_cleared_away_in_the_rooms_too(tmp_path):
    for name in ("a", "b/c", "other"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / ".tmp-1.json").write_text("")
    (tmp_path / ".tmp-2").mkdir()
    with locked(tmp_path, "works", rooms=("a", "b/*", "nowhere")):
        left = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob(".tmp-*")]
    assert left == ["other/.tmp-1.json"]


def hold(folder, notes):
    with locked(folder, "works", wait=notes.append):
        notes.append((folder / LOCK).is_file())


def wait_for(notes, count):
    for _ in range(500):
        if len(notes) >= count:
            return
        threading.Event().wait(0.01)
    raise TimeoutError(notes)

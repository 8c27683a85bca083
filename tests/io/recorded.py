"""Every read of files below a folder, as Python asks the system for it."""

import builtins
import io
from collections import defaultdict
from pathlib import Path


class Recorded(io.FileIO):
    """A file that notes where each read began and how far it came."""

    def __init__(self, path, notes):
        super().__init__(path)
        self.notes = notes

    def noted(self, place, size):
        if size:
            self.notes.append((place, size))

    def readinto(self, buffer):
        place = self.tell()
        got = super().readinto(buffer)
        self.noted(place, got)
        return got

    def read(self, size=-1):
        place = self.tell()
        found = super().read(size)
        self.noted(place, len(found))
        return found

    def readall(self):
        place = self.tell()
        found = super().readall()
        self.noted(place, len(found))
        return found


def record(folder, monkeypatch):
    """For every file below `folder` by its name: its reads (place, bytes), opening by opening."""
    notes = defaultdict(list)
    ordinary = io.open

    def recording(file, mode="r", buffering=-1, *more, **named):
        known = isinstance(file, str | Path) and Path(file).is_relative_to(folder)
        if not known or mode != "rb":
            return ordinary(file, mode, buffering, *more, **named)
        notes[Path(file).name].append([])
        raw = Recorded(file, notes[Path(file).name][-1])
        if buffering == 0:
            return raw
        return io.BufferedReader(raw, io.DEFAULT_BUFFER_SIZE if buffering < 0 else buffering)

    monkeypatch.setattr(io, "open", recording)
    monkeypatch.setattr(builtins, "open", recording)
    return notes

"""What an unfinished job has done so far: one line of JSON per finished piece."""

import json
from pathlib import Path
from typing import Any

from segttt.config.text import parse_json
from segttt.io.files import make_folder, unwritable


class Journal:
    """Finished pieces by name, in the file as soon as they are added.

    They outlive a kill of the process; what a failing machine cuts or spoils is not believed.
    `rules` names what all pieces depend on: a journal under other rules is begun anew.
    """

    def __init__(self, path: Path, rules: str):
        self.path = path
        self.rules = rules
        self.done = self._read()
        """What an earlier, killed job had finished."""

    def add(self, name: str, content: Any) -> None:
        """Keep a finished piece; a `ResourceError` where the disk is full."""
        lines = [json.dumps([name, content], allow_nan=False)]
        if not self.path.exists():
            make_folder(self.path.parent)
            lines.insert(0, json.dumps(self.rules))
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write("".join(f"{line}\n" for line in lines))
        except OSError as error:
            raise unwritable(self.path, error) from error

    def finish(self) -> None:
        """Remove the journal: the job has written its results."""
        self.path.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any]:
        """The pieces on disk; a last line that was cut by a kill is cut away."""
        if self.path.is_symlink():  # which may lead out of the folder; files are not written there
            self.finish()
        if not self.path.is_file():
            return {}
        whole, cut = "", ""
        try:
            whole, _, cut = self.path.read_text(encoding="utf-8").rpartition("\n")
            rules, *pieces = (parse_json(line) for line in whole.split("\n"))
            done = {str(name): content for name, content in pieces}
        except (ValueError, TypeError):
            rules, done = None, {}
        if rules != self.rules:
            self.finish()
            return {}
        if cut:
            with self.path.open("r+b") as file:
                file.truncate(len(whole.encode()) + 1)
        return done

"""Whose folder a training is: one plan's, and one process's at a time."""

from pathlib import Path
from typing import Any

from segttt.config.plan import Plan
from segttt.errors import UsageError
from segttt.io.files import write_text

MODEL = "model.safetensors"


def claim(folder: Path, plan: Plan, *, anew: bool) -> None:
    """Make the folder this plan's; another plan's training is never continued or overwritten.

    With `anew` a training that is there already is refused, too, and always a model whose state is
    gone, since a training would begin again and replace it.
    """
    mine, finished = folder / "plan.json", (folder / MODEL).is_file()
    if finished and not any((folder / "state").glob("*.safetensors")):
        raise UsageError(
            f"{folder}: holds a model, but no state of its training. Give the new one a --name, or "
            "delete that folder."
        )
    if anew and (folder / "state").exists():
        raise UsageError(
            f"{folder}: holds a training already. Give the new one a --name, or delete that folder."
        )
    if mine.is_file() and Plan.load(mine) != plan:
        changed = ", ".join(_differences(Plan.load(mine), plan)[:3])
        raise UsageError(
            f"{folder}: was trained with another plan ({changed}). "
            "Give this training a --name of its own."
        )
    if not mine.is_file():
        write_text(mine, plan.dump())


def _differences(old: Plan, new: Plan) -> list[str]:
    def flat(content: Any, name: str = "") -> dict[str, Any]:
        if not isinstance(content, dict):
            return {name: content}
        return {k: v for key, one in content.items() for k, v in flat(one, f"{name}.{key}").items()}

    before, after = flat(old.model_dump(mode="json")), flat(new.model_dump(mode="json"))
    names = sorted(set(before) | set(after))
    return [
        f"{name.lstrip('.')}: {before.get(name)} then, {after.get(name)} now"
        for name in names
        if before.get(name) != after.get(name)
    ]

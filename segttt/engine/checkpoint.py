"""The state of a training on disk: every epoch, atomic, two generations, no pickles."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segttt.engine.learner import Learner
from segttt.errors import UsageError
from segttt.io.models import load_tensors, save_tensors

GENERATIONS = 2
MISFITS = (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError)
"""What a readable file raises that holds something else than a state of the network."""
Record = dict[str, Any]


def save_state(folder: Path, learner: Learner, record: Record) -> None:
    """Write everything that `load_state` needs to go on as if nothing had happened.

    `record` is JSON: the epoch, the time spent, the history. Older generations are removed.
    """
    tensors = {f"network/{name}": value for name, value in learner.network.state_dict().items()}
    for index, value in enumerate(learner.average):
        tensors[f"average/{index}"] = value
    for index, state in learner.optimizer.state_dict()["state"].items():
        for name, value in state.items():
            tensors[f"optimizer/{index}/{name}"] = torch.as_tensor(value)
    about = {"steps": learner.steps, "scaler": learner.scaler.state_dict(), **record}
    path = folder / f"{record['epoch']:06d}.safetensors"
    save_tensors(path, tensors, {"state": json.dumps(about)})
    _remove_before(path)


def load_state(folder: Path, learner: Learner) -> tuple[Record, list[str]] | None:
    """Restore the newest readable state into the learner; None where there is none.

    Returns its record and a sentence for every newer generation that could not be read. A
    `UsageError` where there are states and none is readable: nothing starts anew unasked.
    """
    notices: list[str] = []
    for path in sorted(folder.glob("*.safetensors"), reverse=True):
        try:
            tensors, metadata = load_tensors(path)
            record = json.loads(metadata["state"])
            _restore(learner, tensors, record)
        except UsageError as error:
            notices.append(f"{error} An older state is used.")
        except MISFITS as error:
            notices.append(
                f"{path}: is no state of this network ({type(error).__name__}). An older state "
                "is used."
            )
        else:
            _remove_before(path)  # which a kill just after the writing has prevented
            return record, notices
    if notices:
        reason = notices[0].removesuffix(" An older state is used.")
        raise UsageError(f"{reason} No other state is left; `--resume never` trains anew.")
    return None


def _remove_before(path: Path) -> None:
    """Remove the generations before this one that are not needed to fall back on."""
    older = [one for one in sorted(path.parent.glob("*.safetensors")) if one.name < path.name]
    for one in older[: 1 - GENERATIONS]:
        one.unlink()


def _restore(learner: Learner, tensors: dict[str, Tensor], record: Record) -> None:
    rooms: dict[str, dict[str, Tensor]] = {"network": {}, "average": {}, "optimizer": {}}
    for name, value in tensors.items():
        room, _, rest = name.partition("/")
        rooms[room][rest] = value
    learner.network.load_state_dict(rooms["network"], strict=True)
    learner.average = [
        _laid_out(rooms["average"][str(index)], learner.parameters[index])
        for index in range(len(rooms["average"]))
    ]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in rooms["optimizer"].items():
        index, _, field = name.partition("/")
        state.setdefault(int(index), {})[field] = value
    groups = learner.optimizer.state_dict()["param_groups"]
    learner.optimizer.load_state_dict({"state": state, "param_groups": groups})
    for parameter, moments in learner.optimizer.state.items():
        for field, value in moments.items():
            if value.shape == parameter.shape:
                moments[field] = _laid_out(value, parameter)
    if record["scaler"]:  # empty where no scaler was used
        learner.scaler.load_state_dict(record["scaler"])
    learner.steps = record["steps"]


def _laid_out(value: Tensor, parameter: Tensor) -> Tensor:
    """The value in the memory layout of its parameter; another layout rounds differently."""
    return torch.empty_like(parameter).copy_(value).detach()

"""What is known of a model that lies in the folder of its training, and of one that lies alone."""

import json

from torch import nn

from segttt.commands.predictions.facts import model_facts
from segttt.commands.predictions.model import Model
from segttt.config.network import UNetSpec
from segttt.config.plan import Plan


def model(*files, about):
    plan = Plan.model_construct(network=UNetSpec.model_construct(name="nnunet"), preset="laptop")
    return Model(plan, [nn.Linear(3, 4) for _ in files], files, about)


def test_a_model_beside_its_training(tmp_path):
    folder = tmp_path / "nnunet+lr=1" / "fold2" / "seed7"
    folder.mkdir(parents=True)
    epochs = [
        {"epoch": 0, "spent_seconds": 5.0, "peak_bytes": 10},
        {"epoch": 1, "spent_seconds": 9.5, "peak_bytes": 20},
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(one) + "\n" for one in epochs))
    (facts,) = model_facts(model(folder / "model.safetensors", about=[{"fold": 2, "seed": 7}]))
    assert (facts.network, facts.fold, facts.seed) == ("nnunet+lr=1", "2", 7)
    assert (facts.parameters, facts.preset) == (16, "laptop")
    assert (facts.training_seconds, facts.training_peak_bytes) == (9.5, 20)


def test_a_model_alone(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("not a record\n")
    files = (tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    first, second = model_facts(model(*files, about=[{"fold": "all", "seed": 0}, {}]))
    assert (first.network, first.fold, first.seed) == ("nnunet", "all", 0)
    assert (second.fold, second.seed) == ("unknown", 0)
    assert (first.training_seconds, first.training_peak_bytes) == (None, None)


def test_an_older_training_without_its_memory(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 0, "spent_seconds": 3.0}\n')
    (facts,) = model_facts(model(tmp_path / "model.safetensors", about=[{}]))
    assert (facts.training_seconds, facts.training_peak_bytes) == (3.0, None)

"""The parts of nnU-Net's engine, timed one at a time; settings name the part."""

import time
from pathlib import Path

import numpy as np
import torch
from batchgenerators.utilities.file_and_folder_operations import load_json, save_json
from exchange import read, write
from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape
from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as training
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

WARM_UP = 3


def trainer(settings: dict) -> nnUNetTrainer:
    """Ready to train on the CPU, with the batch of the settings."""
    folder = Path(nnUNet_preprocessed) / settings["dataset"]
    plans = load_json(str(folder / "nnUNetPlans.json"))
    plans["continue_training"] = False
    plans["configurations"]["3d_fullres"]["batch_size"] = settings["batch"]
    description = load_json(str(folder / "dataset.json"))
    made = nnUNetTrainer(plans, "3d_fullres", "all", description, device=torch.device("cpu"))
    made.initialize()
    return made


def loading(settings: dict) -> dict:
    """Seconds of CPU and of the clock for one fully augmented patch, in this process."""
    training.get_allowed_n_proc_DA = lambda: 0
    made = trainer(settings)
    batches, _ = made.get_dataloaders()
    for _ in range(WARM_UP):
        next(batches)
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(settings["batches"]):
        next(batches)
    patches = settings["batches"] * settings["batch"]
    return {
        "cpu": (time.process_time() - cpu) / patches,
        "wall": (time.perf_counter() - wall) / patches,
    }


def stepping(settings: dict) -> dict:
    """Median seconds of a training step on one batch of noise."""
    torch.set_num_threads(settings["threads"])
    made = trainer(settings)
    patch = made.configuration_manager.patch_size
    data = torch.randn(settings["batch"], 1, *patch)
    target = [
        torch.randint(0, 3, (settings["batch"], 1, *[n // 2**level for n in patch])).float()
        for level in range(3)
    ]
    wall, cpu = [], []
    made.network.train()
    for _ in range(WARM_UP + settings["steps"]):
        started, used = time.perf_counter(), time.process_time()
        made.train_step({"data": data, "target": target})
        wall.append(time.perf_counter() - started)
        cpu.append(time.process_time() - used)
    return {"wall": float(np.median(wall[WARM_UP:])), "cpu": float(np.median(cpu[WARM_UP:]))}


def checkpoint(settings: dict, arrays: dict[str, np.ndarray]) -> dict:
    """Write a finished training with the given weights; names of its parameters without them."""
    made = trainer(settings)
    names = [name for name, _ in made.network.named_parameters()]
    if arrays or settings.get("save"):
        with torch.no_grad():
            for name, parameter in made.network.named_parameters():
                if arrays:
                    parameter.copy_(torch.from_numpy(arrays[name]))
        made.inference_allowed_mirroring_axes = (0, 1, 2)
        for name, content in (("plans", made.plans_manager.plans), ("dataset", made.dataset_json)):
            save_json(content, str(Path(made.output_folder_base) / f"{name}.json"))
        made.save_checkpoint(str(Path(made.output_folder) / "checkpoint_final.pth"))
    return {
        "names": names,
        "folder": made.output_folder_base,
        "patch": list(made.configuration_manager.patch_size),
    }


def restoring(settings: dict) -> dict:
    """Seconds to bring logits to another grid and take the argmax."""
    torch.set_num_threads(settings["threads"])
    logits = np.random.default_rng(0).normal(size=settings["logits"]).astype(np.float32)
    started, used = time.perf_counter(), time.process_time()
    full = resample_data_or_seg_to_shape(
        logits, settings["shape"], settings["spacing"], settings["new_spacing"],
        is_seg=False, order=1, order_z=0, force_separate_z=None,
    )  # fmt: skip
    full.argmax(0)
    return {"wall": time.perf_counter() - started, "cpu": time.process_time() - used}


def main() -> None:
    settings, arrays = read()
    part = settings["part"]
    torch.set_num_threads(1)
    if part == "checkpoint":
        write(checkpoint(settings, arrays))
    else:
        write({"loading": loading, "stepping": stepping, "restoring": restoring}[part](settings))


if __name__ == "__main__":
    main()

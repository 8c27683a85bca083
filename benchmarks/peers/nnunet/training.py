"""nnU-Net's trainer: loss, deep supervision, learning rate, and a few steps."""

from copy import deepcopy
from pathlib import Path

import torch
from exchange import read, write
from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


def trainer(settings: dict, *, batch_dice: bool, device: str = "cpu") -> nnUNetTrainer:
    """An initialised trainer of the network of the plans."""
    plans = deepcopy(settings["plans"])
    plans["configurations"]["3d_fullres"]["batch_dice"] = batch_dice
    plans["continue_training"] = False
    folder = Path(nnUNet_preprocessed) / plans["dataset_name"]
    folder /= plans["configurations"]["3d_fullres"]["data_identifier"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.b2nd").touch()  # the trainer looks at the ending only
    one = nnUNetTrainer(plans, "3d_fullres", 0, settings["dataset"], torch.device(device))
    one.initialize()
    return one


def main() -> None:
    torch.set_num_threads(1)
    settings, arrays = read()
    values, result = {"losses": {}}, {}
    for batch_dice in (False, True):
        one = trainer(settings, batch_dice=batch_dice)
        scales = one._get_deep_supervision_scales()
        transforms = one.get_validation_transforms(scales).transforms
        shrink = transforms[-1]
        labels = torch.from_numpy(arrays["labels"])  # [b, 1, *grid]
        pyramids = [shrink._apply_to_segmentation(one) for one in labels]
        levels = [torch.stack(level) for level in zip(*pyramids, strict=True)]
        logits = [torch.from_numpy(arrays[f"logits {i}"]) for i in range(len(levels))]
        values["losses"][str(batch_dice)] = [
            float(one.loss.loss(a, b)) for a, b in zip(logits, levels, strict=True)
        ]
        values[f"total {batch_dice}"] = float(one.loss(logits, levels))
        for level, target in enumerate(levels):
            result[f"target {level}"] = target.numpy()
    values["weights"] = list(one.loss.weight_factors)
    values["rates"] = rates(one)
    with torch.no_grad():
        for name, parameter in one.network.named_parameters():
            parameter.copy_(torch.from_numpy(arrays[f"weight {name}"]))
    one.lr_scheduler.step(settings["epoch"])
    images = torch.from_numpy(arrays["images"])
    batch = {"data": images, "target": levels}
    values["steps"] = [float(one.train_step(batch)["loss"]) for _ in range(settings["steps"])]
    for name, parameter in one.network.named_parameters():
        result[f"weight {name}"] = parameter.detach().numpy()
    write(values, result)


def rates(one: nnUNetTrainer) -> list[float]:
    """The learning rate of each epoch."""
    found = []
    for epoch in range(one.num_epochs):
        one.lr_scheduler.step(epoch)
        found.append(one.optimizer.param_groups[0]["lr"])
    return found


if __name__ == "__main__":
    main()

"""Small pieces of nnU-Net by themselves: resampling, statistics, loss and learning rate."""

import numpy as np
import torch
from exchange import read, write
from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import (
    DatasetFingerprintExtractor,
)
from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape
from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler


def main() -> None:
    settings, arrays = read()
    result = {}
    for index, job in enumerate(settings["resampling"]):
        grid = (job["shape"], job["spacing"], job["new_spacing"])
        image, label = arrays["image"][None], arrays["label"][None]
        result[f"image {index}"] = resample_data_or_seg_to_shape(
            image, *grid, is_seg=False, order=3, order_z=0, force_separate_z=None
        )[0]
        result[f"label {index}"] = resample_data_or_seg_to_shape(
            label, *grid, is_seg=True, order=1, order_z=0, force_separate_z=None
        )[0]
    _, facts = DatasetFingerprintExtractor.collect_foreground_intensities(
        arrays["label"][None], arrays["image"][None], num_samples=10
    )
    write(
        {
            "statistics": {name: float(value) for name, value in facts[0].items()},
            "losses": {str(flag): loss(arrays, batch_dice=flag) for flag in (False, True)},
            "rates": rates(settings["epochs"], settings["last"]),
        },
        result,
    )


def loss(arrays: dict[str, np.ndarray], *, batch_dice: bool) -> float:
    """Cross-entropy and Dice of one output."""
    dice = {"batch_dice": batch_dice, "smooth": 1e-5, "do_bg": False, "ddp": False}
    both = DC_and_CE_loss(dice, {}, dice_class=MemoryEfficientSoftDiceLoss)
    logits, target = (torch.from_numpy(arrays[name]) for name in ("logits", "target"))
    return float(both(logits, target[:, None]))


def rates(epochs: list[int], last: int) -> list[float]:
    """The learning rate of some epochs of a training of `last`."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1e-2)
    schedule, found = PolyLRScheduler(optimizer, 1e-2, last), []
    for epoch in epochs:
        schedule.step(epoch)
        found.append(optimizer.param_groups[0]["lr"])
    return found


if __name__ == "__main__":
    main()

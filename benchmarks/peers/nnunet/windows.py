"""nnU-Net's sliding windows: where they lie, and how their voxels weigh."""

import numpy as np
import torch
from exchange import read, write
from nnunetv2.inference.sliding_window_prediction import (
    compute_gaussian,
    compute_steps_for_sliding_window,
)


def main() -> None:
    settings, _ = read()
    steps = [
        compute_steps_for_sliding_window((size,), (patch,), step)[0]
        for size, patch, step in settings["axes"]
    ]
    maps = [
        compute_gaussian(
            tuple(patch), sigma_scale=1 / 8, value_scaling_factor=10, device=torch.device("cpu")
        )
        for patch in settings["patches"]
    ]
    write({"steps": steps}, {str(i): np.asarray(one.float()) for i, one in enumerate(maps)})


if __name__ == "__main__":
    main()

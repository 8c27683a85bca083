"""nnU-Net's training step on one batch, and its prediction of one scan; settings name the part."""

import time

import numpy as np
import torch
from exchange import read, write
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from training import trainer

RESAMPLE = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
FUNCTION = "resample_data_or_seg_to_shape"


def made_for(settings: dict) -> nnUNetTrainer:
    """A trainer of the plain network for CT of that window and spacing."""
    low, high = settings["clip"]
    configuration = settings["plans"]["configurations"].pop("only") | {
        "data_identifier": "none", "preprocessor_name": "DefaultPreprocessor",
        "batch_size": settings["batch"], "spacing": settings["spacing"],
        "median_image_size_in_voxels": [97, 512, 512], "use_mask_for_norm": [False],
        "normalization_schemes": ["CTNormalization"],
        "resampling_fn_data": FUNCTION, "resampling_fn_data_kwargs": RESAMPLE,
        "resampling_fn_seg": FUNCTION,
        "resampling_fn_seg_kwargs": RESAMPLE | {"is_seg": True, "order": 1},
        "resampling_fn_probabilities": FUNCTION,
        "resampling_fn_probabilities_kwargs": RESAMPLE | {"order": 1},
    }  # fmt: skip
    voxels = {
        "mean": settings["mean"], "std": settings["std"],
        "percentile_00_5": low, "percentile_99_5": high,
    }  # fmt: skip
    settings["plans"] |= {
        "dataset_name": "Dataset999_OnGpu", "plans_name": "nnUNetPlans",
        "configurations": {"3d_fullres": configuration},
        "transpose_forward": [0, 1, 2], "transpose_backward": [0, 1, 2],
        "image_reader_writer": "SimpleITKIO", "experiment_planner_used": "ExperimentPlanner",
        "foreground_intensity_properties_per_channel": {"0": voxels},
    }  # fmt: skip
    facts = {"channel_names": {"0": "CT"}, "file_ending": ".nii.gz", "numTraining": 3}
    settings["dataset"] |= facts
    return trainer(settings, batch_dice=True, device=settings["device"])


def stepping(settings: dict) -> dict:
    """Median seconds of a step whose batch lies on the device; compiled as nnU-Net decides."""
    device = torch.device(settings["device"])
    made = made_for(settings)
    patch, batch = made.configuration_manager.patch_size, made.configuration_manager.batch_size
    classes = made.label_manager.num_segmentation_heads
    scales = made._get_deep_supervision_scales()
    data = torch.randn(batch, 1, *patch, device=device)
    target = [
        torch.randint(
            0, classes, (batch, 1, *(round(n * s) for n, s in zip(patch, scale, strict=True)))
        ).float().to(device)
        for scale in scales
    ]  # fmt: skip
    made.network.train()
    seconds = []
    for _ in range(settings["warm_up"] + settings["steps"]):
        started = time.perf_counter()
        made.train_step({"data": data, "target": target})  # hands the loss to the CPU
        seconds.append(time.perf_counter() - started)
    compiled = type(made.network).__name__ == "OptimizedModule"
    return {"seconds": float(np.median(seconds[settings["warm_up"] :])), "compiled": compiled}


def predicting(settings: dict, scan: np.ndarray) -> dict:
    """Seconds from a scan to its classes, after one scan that is not counted."""
    device = torch.device(settings["device"])
    made = made_for(settings)
    network = getattr(made.network, "_orig_mod", made.network).eval()
    network.decoder.deep_supervision = False
    predictor = nnUNetPredictor(
        use_mirroring=settings["mirror"], perform_everything_on_device=device.type != "cpu",
        device=device, allow_tqdm=False,
    )  # fmt: skip
    predictor.manual_initialization(
        network, made.plans_manager, made.configuration_manager, [network.state_dict()],
        made.dataset_json, "nnUNetTrainer", (0, 1, 2),
    )  # fmt: skip
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        predictor.predict_single_npy_array(scan, {"spacing": settings["spacing"]})
        seconds.append(time.perf_counter() - started)
    return {"seconds": seconds[-1]}


def main() -> None:
    settings, arrays = read()
    torch.set_num_threads(settings["threads"])
    torch.backends.cudnn.benchmark = True  # as nnUNetv2_train sets it
    if settings["part"] == "stepping":
        write(stepping(settings))
    else:
        write(predicting(settings, arrays["scan"]))


if __name__ == "__main__":
    main()

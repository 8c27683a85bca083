"""nnU-Net's augmentation: the parameters that it draws, and what it does with given ones."""

from types import SimpleNamespace

import numpy as np
import torch
from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
from batchgeneratorsv2.transforms.intensity.contrast import ContrastTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.random import RandomTransform
from exchange import read, write
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

SMALL = 6  # edge of the window whose parameters are drawn; they do not depend on it
RANDOM = (
    "noise", "blur", "brightness", "contrast", "low_resolution", "gamma_inverted", "gamma",
)  # fmt: skip
FIELDS = {"noise": "sigmas", "blur": "sigmas", "low_resolution": "scales"}


def planned(patch: list[int]) -> tuple:
    """Rotation (radians), whether in the plane only, reach and mirrored axes for a patch."""
    trainer = SimpleNamespace(
        configuration_manager=SimpleNamespace(patch_size=patch),
        print_to_log_file=lambda *_: None,
    )
    return nnUNetTrainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size(trainer)


def draws(patch: list[int], channels: int, count: int) -> dict[str, np.ndarray]:
    """Which transforms are chosen, and their parameters, `count` times each."""
    rotation, flat, _, axes = planned(patch)
    small = [SMALL] * len(patch)
    transforms = nnUNetTrainer.get_training_transforms(small, rotation, None, axes, flat).transforms
    image = torch.zeros(channels, *small)
    spatial = next(one for one in transforms if isinstance(one, SpatialTransform))
    mirror = next(one for one in transforms if isinstance(one, MirrorTransform))
    plane = image[:, 0] if flat else image
    found = {"affine": [_affine(spatial, plane) for _ in range(count)]}
    found["mirror"] = [_flags(mirror, image, len(patch)) for _ in range(count)]
    chosen = [one for one in transforms if isinstance(one, RandomTransform)]
    for name, one in zip(RANDOM, chosen, strict=True):
        found[f"{name} chosen"] = [one.get_parameters()["apply_transform"] for _ in range(count)]
        found[name] = [_values(name, one.transform, image) for _ in range(count)]
    return {name: np.array(values, dtype=np.float64) for name, values in found.items()}


def _affine(spatial: SpatialTransform, image: torch.Tensor) -> np.ndarray:
    matrix = spatial.get_parameters(image=image)["affine"]
    return np.eye(image.ndim - 1) if matrix is None else matrix


def _flags(mirror: MirrorTransform, image: torch.Tensor, rank: int) -> list[bool]:
    axes = mirror.get_parameters(image=image)["axes"]
    return [axis in axes for axis in range(rank)]


def _values(name: str, transform: object, image: torch.Tensor) -> np.ndarray:
    """Parameters per channel, NaN for a channel that is left alone."""
    parameters = transform.get_parameters(image=image)
    if name == "noise":
        return np.array([parameters["sigmas"]])
    if name.startswith("gamma"):
        return np.asarray(parameters["gamma"])
    values = np.asarray(parameters[FIELDS.get(name, "multipliers")], dtype=np.float64)
    if name not in FIELDS:
        return values
    on = np.asarray(parameters["apply_to_channel"])
    channels, rank = len(image), image.ndim - 1
    on = np.flatnonzero(on) if name == "blur" else on
    whole = np.full((channels, rank), np.nan)
    whole[on] = values.reshape(-1, rank)
    return whole


def applied(settings: dict, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What each transform makes of `image` and `label` under given parameters."""
    image, label = torch.from_numpy(arrays["image"]), torch.from_numpy(arrays["label"])
    result = {}
    for index, turn in enumerate(settings["turns"]):
        turned = _turn(turn, settings["patch"])(image=image.clone(), segmentation=label[None])
        result[f"turn {index}"] = turned["image"]
        result[f"turned label {index}"] = turned["segmentation"][0]
    every = list(range(len(image)))
    factors = torch.tensor(settings["factors"])
    blur = GaussianBlurTransform(blur_sigma=(0.5, 1.0), p_per_channel=1)
    for index, sigmas in enumerate(settings["sigmas"]):
        result[f"blur {index}"] = blur._apply_to_image(
            image.clone(), apply_to_channel=torch.tensor([True] * len(image)), sigmas=sigmas
        )
    result["brightness"] = MultiplicativeBrightnessTransform((1, 1), False)._apply_to_image(
        image.clone(), apply_to_channel=every, multipliers=factors
    )
    result["contrast"] = ContrastTransform((1, 1), True, False)._apply_to_image(
        image.clone(), apply_to_channel=torch.tensor(every), multipliers=factors
    )
    for name, inverted in (("gamma", False), ("gamma_inverted", True)):
        flags = torch.tensor([inverted] * len(image))
        result[name] = GammaTransform((1, 1), 1, False, 1, 1)._apply_to_image(
            image.clone(), apply_to_channel=torch.tensor(every), gamma=factors,
            invert_image=flags, retain_stats=torch.ones_like(flags),
        )  # fmt: skip
    scales = torch.tensor(settings["scales"])[:, None].repeat(1, image.ndim - 1)
    result["low_resolution"] = SimulateLowResolutionTransform(
        (1, 1), False, True, None
    )._apply_to_image(image.clone(), apply_to_channel=every, scales=scales)
    return {name: np.asarray(one) for name, one in result.items()}


def _turn(turn: dict, patch: list[int]) -> SpatialTransform:
    """nnU-Net's transform with its dice loaded; no angles: neither rotation nor scaling."""
    moved = turn["angles"] is not None
    return SpatialTransform(
        patch, patch_center_dist_from_border=0, random_crop=False,
        p_rotation=float(moved), rotation=lambda image, dim: turn["angles"][dim],
        p_scaling=float(moved), scaling=lambda image, dim: turn["scale"],
        p_synchronize_scaling_across_axes=1,
        border_mode_seg="constant", padding_value_seg=-1,
    )  # fmt: skip


def main() -> None:
    settings, arrays = read()
    np.random.seed(settings["seed"])
    torch.manual_seed(settings["seed"])
    facts, found = [], {}
    for index, patch in enumerate(settings["patches"]):
        rotation, flat, reach, axes = planned(patch)
        facts.append({"degrees": np.degrees(rotation[1]), "flat": flat, "reach": list(reach),
                      "mirror_axes": list(axes)})  # fmt: skip
        for name, values in draws(patch, settings["channels"], settings["draws"]).items():
            found[f"{index} {name}"] = values
    write({"patches": facts}, found | (applied(settings, arrays) if arrays else {}))


if __name__ == "__main__":
    main()

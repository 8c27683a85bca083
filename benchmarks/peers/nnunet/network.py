"""nnU-Net's networks: their weights, logits, and the segmentation of a prepared image."""

import numpy as np
import torch
from exchange import read, write
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

IMPORTED = ["conv_op", "norm_op", "dropout_op", "nonlin"]


def network(job: dict, weights: dict[str, np.ndarray]) -> torch.nn.Module:
    """The network of a job with the given weights, or with weights that are nowhere 0 or 1."""
    torch.manual_seed(job["seed"])
    built = get_network_from_plans(
        job["class"], job["arguments"], IMPORTED, job["channels"], job["classes"],
        deep_supervision=True,
    )  # fmt: skip
    with torch.no_grad():
        for name, parameter in built.named_parameters():
            if name in weights:
                parameter.copy_(torch.from_numpy(weights[name]))
            elif not weights:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return built.eval()


def predicted(job: dict, built: torch.nn.Module, image: np.ndarray, *, mirror: bool) -> np.ndarray:
    """Blended logits of a whole image."""
    predictor = nnUNetPredictor(
        use_mirroring=mirror, perform_everything_on_device=False,
        device=torch.device("cpu"), allow_tqdm=False,
    )  # fmt: skip
    plans = PlansManager(job["plans"])
    built.decoder.deep_supervision = False
    predictor.manual_initialization(
        built, plans, plans.get_configuration(job["configuration"]), None, job["dataset"],
        "nnUNetTrainer", (0, 1, 2),
    )  # fmt: skip
    return np.asarray(predictor.predict_sliding_window_return_logits(torch.from_numpy(image)))


def main() -> None:
    torch.set_num_threads(1)
    settings, arrays = read()
    result, weights = {}, {}
    for name, job in settings["jobs"].items():
        given = {
            key.removeprefix(f"{name} weight "): value
            for key, value in arrays.items()
            if key.startswith(f"{name} weight ")
        }
        built = network(job, given)
        for key, parameter in built.named_parameters():
            result[f"{name} weight {key}"] = parameter.detach().numpy()
        weights[name] = [key for key, _ in built.named_parameters()]
        with torch.no_grad():
            for level, logits in enumerate(built(torch.from_numpy(arrays[f"{name} input"]))):
                result[f"{name} logits {level}"] = logits.numpy()
        if f"{name} image" in arrays:
            for mirror in (False, True):
                result[f"{name} predicted {mirror}"] = predicted(
                    job, built, arrays[f"{name} image"], mirror=mirror
                )
    write(weights, result)


if __name__ == "__main__":
    main()

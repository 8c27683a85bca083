"""Seconds from the start of nnU-Net's prediction until its first window is through."""

import os
import time

STARTED = time.time()


def main() -> None:
    import torch
    from exchange import read, write
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    settings, _ = read()
    torch.set_num_threads(settings["threads"])
    predictor = nnUNetPredictor(
        use_mirroring=False, perform_everything_on_device=False,
        device=torch.device("cpu"), allow_tqdm=False,
    )  # fmt: skip
    predictor.initialize_from_trained_model_folder(settings["model"], ("all",))
    preprocessor = predictor.configuration_manager.preprocessor_class(verbose=False)
    data, _, _ = preprocessor.run_case(
        [settings["scan"]], None, predictor.plans_manager, predictor.configuration_manager,
        predictor.dataset_json,
    )  # fmt: skip
    window = torch.zeros(1, 1, *predictor.configuration_manager.patch_size)
    inside = tuple(slice(min(a, b)) for a, b in zip(data.shape[1:], window.shape[2:], strict=True))
    window[0, 0][inside] = torch.from_numpy(data[0])[inside]
    with torch.no_grad():
        predictor.network(window)
    usage = os.times()
    write({"wall": time.time() - STARTED, "cpu": usage.user + usage.system})


if __name__ == "__main__":
    main()

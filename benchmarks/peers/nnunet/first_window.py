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
    slicers = predictor._internal_get_sliding_window_slicers(data.shape[1:])
    with torch.no_grad():
        predictor.network(torch.from_numpy(data)[slicers[0]][None])
    usage = os.times()
    write({"wall": time.time() - STARTED, "cpu": usage.user + usage.system})


if __name__ == "__main__":
    main()

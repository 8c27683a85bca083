"""Cases as nnU-Net preprocesses them, and logits as it brings them back to the scan."""

from pathlib import Path

import numpy as np
import torch
from exchange import read, write
from nnunetv2.inference.export_prediction import (
    convert_predicted_logits_to_segmentation_with_correct_shape as restored,
)
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager


def main() -> None:
    settings, logits = read()
    plans, dataset = PlansManager(settings["plans"]), settings["dataset"]
    configuration = plans.get_configuration(settings["configuration"])
    raw, arrays, facts = Path(settings["folder"]), {}, {}
    for name in settings["cases"]:
        images = sorted(str(path) for path in (raw / "imagesTr").glob(f"{name}_????.nii.gz"))
        label = str(raw / "labelsTr" / f"{name}.nii.gz")
        image, classes, properties = DefaultPreprocessor(verbose=False).run_case(
            images, label, plans, configuration, dataset
        )
        arrays[f"image {name}"], arrays[f"label {name}"] = image, classes[0]
        facts[name] = {
            "box": [list(edges) for edges in properties["bbox_used_for_cropping"]],
            "locations": {
                str(value): len(found) for value, found in properties["class_locations"].items()
            },
        }
        if name in logits:
            arrays[f"restored {name}"] = np.asarray(
                restored(
                    torch.from_numpy(logits[name]),
                    plans,
                    configuration,
                    plans.get_label_manager(dataset),
                    properties,
                    num_threads_torch=1,
                )
            )
    write(facts, arrays)


if __name__ == "__main__":
    main()

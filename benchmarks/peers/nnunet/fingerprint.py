"""nnU-Net's fingerprint of a raw dataset, and the voxels that it drew."""

import numpy as np
from exchange import read, write
from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import (
    DatasetFingerprintExtractor,
)
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO


def main() -> None:
    settings, _ = read()
    extractor = DatasetFingerprintExtractor(settings["dataset"], num_processes=1)
    extractor.show_progress_bar = False
    extractor.num_foreground_voxels_for_intensitystats = settings["voxels"]
    fingerprint = extractor.run(overwrite_existing=True)
    drawn = {}
    if settings["return_voxels"]:
        share = int(settings["voxels"] // len(extractor.dataset))
        for name, files in extractor.dataset.items():
            analysed = DatasetFingerprintExtractor.analyze_case(
                files["images"], files["label"], SimpleITKIO, share
            )
            drawn[name] = np.array(analysed[2])
    write(
        {
            "cases": list(extractor.dataset),
            "spacings": [list(one) for one in fingerprint["spacings"]],
            "shapes": [list(one) for one in fingerprint["shapes_after_crop"]],
            "relative_size": float(fingerprint["median_relative_size_after_cropping"]),
            "channels": list(fingerprint["foreground_intensity_properties_per_channel"].values()),
        },
        drawn,
    )


if __name__ == "__main__":
    main()

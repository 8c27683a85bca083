"""nnU-Net's choice of windows: which samples are forced to the foreground, and where they lie."""

from types import SimpleNamespace

import numpy as np
from exchange import read, write
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader

LABELS = SimpleNamespace(has_ignore_label=False, all_labels=[0, 1, 2])


def loader(batch: int, reach: list[int], patch: list[int]) -> nnUNetDataLoader:
    """A loader of no cases, of which only the choice of windows is asked."""
    return nnUNetDataLoader(
        SimpleNamespace(identifiers=["a"]), batch, reach, patch, LABELS, 0.33, None, None
    )


def main() -> None:
    settings, arrays = read()
    forced = {}
    for batch in settings["batches"]:
        one = loader(batch, [8, 8, 8], [8, 8, 8])
        forced[batch] = sum(one.get_do_oversample(index) for index in range(batch))
    np.random.seed(settings["seed"])
    corners = {}
    locations = {
        int(name.removeprefix("class ")): np.pad(found, ((0, 0), (1, 0)))
        for name, found in arrays.items()
    }
    for index, case in enumerate(settings["windows"]):
        one = loader(2, case["reach"], case["patch"])
        for kind, force in (("free", False), ("forced", True)):
            corners[f"{kind} {index}"] = np.array(
                [
                    one.get_bbox(np.array(case["shape"]), force, locations)[0]
                    for _ in range(settings["draws"])
                ]
            )
    write(forced, corners)


if __name__ == "__main__":
    main()

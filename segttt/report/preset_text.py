"""A preset in words: sections of name and value, units spelled out, inferred values marked."""

from segttt.config.preset import Preset
from segttt.config.recipe import Recipe

Line = tuple[str, str, str]
"""Dotted field of the preset, name for the reader, value."""
PLANNED = "planned from the data"
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
DEEP_SUPERVISION = {
    "halving": "halved from scale to scale, none for the smallest",
    "three_largest": "4/7, 2/7 and 1/7 for the three largest scales",
}
OPTIMIZERS = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}


def rows(preset: Preset) -> list[tuple[str, list[tuple[str, str]]]]:
    """Sections of a preset, each a title with its lines of name and value.

    A value that no paper prints ends in "(inferred: why)"; a reason that concerns a whole section
    is a line of its own.
    """
    sections = [
        ("Preset", "", _identity(preset)),
        ("Data", "dataset", _data(preset)),
        ("Window and stages", "topology", _window(preset)),
        ("Augmentation", "augment", _augmentation(preset)),
        ("Training", "train", _training(preset.train)),
        ("Prediction", "predict", _prediction(preset)),
        ("Evaluation", "evaluate", _evaluation(preset)),
    ]
    told = [(title, _marked(preset, group, lines)) for title, group, lines in sections]
    told += [("Reported figures", _targets(preset)), ("Notes", [("", n) for n in preset.notes])]
    return [(title, lines) for title, lines in told if lines]


def _marked(preset: Preset, group: str, lines: list[Line]) -> list[tuple[str, str]]:
    marked = [
        (name, f"{value} (inferred: {preset.inferred[path]})" if path in preset.inferred else value)
        for path, name, value in lines
    ]
    if group in preset.inferred:
        marked.append(("inferred", preset.inferred[group]))
    return marked


def _identity(preset: Preset) -> list[Line]:
    axes = {2: "slices or pictures (2D)", 3: "volumes (3D)", None: "as the data"}[preset.rank]
    network = preset.network or "ttt-unet-bot"
    options = ", ".join(f"{name} {value}" for name, value in preset.network_options.items())
    return [
        ("name", "name", preset.name),
        ("title", "title", preset.title),
        ("rank", "works on", axes),
        ("network", "network", network + (f" with {options}" if options else "")),
    ]


def _data(preset: Preset) -> list[Line]:
    grid: list[Line] = [
        ("spacing_mm", "spacing", _spacing(preset)),
        ("normalisation", "normalisation", ", ".join(preset.normalisation or (PLANNED,))),
    ]
    if preset.dataset is None:
        return [("dataset", "dataset", "any"), *grid]
    data = preset.dataset
    labels = ", ".join(f"{value} {name}" for value, name in data.labels.items())
    return [
        ("dataset.source", "dataset", data.source),
        ("dataset.file_ending", "files", data.file_ending),
        ("dataset.channels", "channels", ", ".join(data.channels)),
        ("dataset.labels", "labels", labels),
        ("dataset.instances", "label files", "numbered objects" if data.instances else "classes"),
        ("dataset.split", "split", data.split),
        *grid,
    ]


def _spacing(preset: Preset) -> str:
    if preset.spacing_mm is None:
        return PLANNED
    picture = preset.dataset is not None and preset.dataset.file_ending in PICTURES
    return f"{_by_axis(preset.spacing_mm)}, {'pixels' if picture else 'mm'}"


def _window(preset: Preset) -> list[Line]:
    batch = "as the memory allows" if preset.batch is None else f"{preset.batch} samples"
    dice = {True: "pooled over the batch", False: "of each sample", None: PLANNED}
    common: list[Line] = [
        ("batch", "batch", batch),
        ("batch_dice", "Dice loss", dice[preset.batch_dice]),
    ]
    shape = preset.topology
    if shape is None:
        bound = f", at most {preset.patch_voxels:,} voxels" if preset.patch_voxels else ""
        return [
            ("topology.patch", "window", PLANNED + bound),
            ("width", "features", f"{preset.width} in the first stage"),
            *common,
        ]
    pools = [sum(stride[axis] > 1 for stride in shape.strides) for axis in range(shape.rank)]
    kernels = ", ".join(" x ".join(str(edge) for edge in one) for one in shape.kernels)
    return [
        ("topology.patch", "window", f"{_by_axis(shape.patch)}, voxels"),
        *common,
        ("topology.strides", "stages", str(shape.stages)),
        ("topology.strides", "halvings", _by_axis(tuple(pools))),
        ("topology.kernels", "kernels", f"{kernels}, voxels"),
        ("topology.features", "features", ", ".join(str(one) for one in shape.features)),
    ]


def _augmentation(preset: Preset) -> list[Line]:
    return [
        (f"augment.{field}", field.replace("_deg", " (degrees)").replace("_", " "), _plain(value))
        for field, value in preset.augment.items()
    ]


def _training(train: Recipe) -> list[Line]:
    momentum = f", momentum {train.momentum:g}" + (", Nesterov" if train.nesterov else "")
    optimizer = OPTIMIZERS[train.optimizer] + (momentum if train.optimizer == "sgd" else "")
    decay = f"{train.schedule}, per {train.schedule_per}"
    if train.schedule == "poly":
        decay += f", exponent {train.poly_exponent:g}"
    if train.warmup:
        decay += f", after a rise over {train.warmup:.0%} of the training"
    lengths = (
        f"{train.epochs} epochs of {train.iterations} steps, "
        f"{train.val_iterations} validation batches each"
    )
    return [
        ("train.optimizer", "optimiser", optimizer),
        ("train.lr", "learning rate", f"{train.lr:g}"),
        ("train.weight_decay", "weight decay", f"{train.weight_decay:g}"),
        ("train.schedule", "schedule", decay),
        ("train.epochs", "length", lengths),
        ("train.deep_supervision", "deep supervision", _weights(train.deep_supervision)),
        ("train.grad_clip", "largest gradient norm", _plain(train.grad_clip)),
        ("train.foreground_share", "centred on foreground", f"{train.foreground_share:.0%}"),
        ("train.precision", "precision", train.precision),
        ("train.average", "weight averaging", f"{train.average:g}" if train.average else "none"),
    ]


def _weights(rule: str | tuple[float, ...]) -> str:
    return DEEP_SUPERVISION.get(rule, rule) if isinstance(rule, str) else _plain(rule)


def _prediction(preset: Preset) -> list[Line]:
    mirrored = "averaged over all mirrored copies" if preset.predict.mirror else "off"
    return [
        ("predict.overlap", "overlap of windows", f"{preset.predict.overlap:.0%}"),
        ("predict.mirror", "mirroring", mirrored),
    ]


def _evaluation(preset: Preset) -> list[Line]:
    score = preset.evaluate
    names = preset.dataset.labels if preset.dataset else {}
    lines: list[Line] = [("evaluate.metrics", "metrics", ", ".join(score.metrics).upper())]
    if score.nsd_mm:
        each = ", ".join(f"{names.get(v, v)} {mm:g} mm" for v, mm in score.nsd_mm.items())
        lines.append(("evaluate.nsd_mm", "surface tolerance", each))
    if score.nsd_px is not None:
        lines.append(("evaluate.nsd_px", "surface tolerance", f"{score.nsd_px:g} pixels"))
    if score.iou is not None:
        lines.append(("evaluate.iou", "overlap of a found object", f"IoU {score.iou:g}"))
    if score.z_crop_labels:
        cropped = ", ".join(str(names.get(value, value)) for value in score.z_crop_labels)
        lines.append(("evaluate.z_crop_labels", "scored within true slices", cropped))
    if score.note:
        lines.append(("evaluate.note", "aggregation", score.note))
    return lines


def _targets(preset: Preset) -> list[tuple[str, str]]:
    """One line per model and source."""
    figures: dict[tuple[str, str], list[str]] = {}
    for target in preset.targets:
        spread = "" if target.sd is None else f" ± {target.sd:.4f}"
        figure = f"{target.metric} {target.mean:.4f}{spread}"
        figures.setdefault((target.model, target.source), []).append(figure)
    return [(model, f"{', '.join(found)} [{source}]") for (model, source), found in figures.items()]


def _by_axis(values: tuple[int, ...] | tuple[float, ...]) -> str:
    axes = "z, y, x" if len(values) == 3 else "y, x"
    return f"{' x '.join(f'{value:g}' for value in values)} ({axes})"


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_plain(one) for one in value) or "none"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)

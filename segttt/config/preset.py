"""Presets: what a paper or an experience fixes of a plan. YAML in the `presets` folder."""

from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from segttt.config.dataset import LabelValue
from segttt.config.network import Topology, UNetSpec
from segttt.config.plan import Evaluation, Inference, Scheme
from segttt.config.recipe import Augmentation, Recipe
from segttt.config.strict import Strict, first_fault
from segttt.config.text import read_bounded
from segttt.config.yaml_text import MAX_YAML_BYTES, parse_yaml
from segttt.errors import UsageError


class PresetData(Strict):
    """The dataset that a preset was made for."""

    source: str = ""
    file_ending: str = ".nii.gz"
    channels: tuple[str, ...]
    labels: dict[LabelValue, str]
    instances: bool = False
    """Label files number the objects; the classes are interior and boundary."""
    split: str = ""
    """The paper's split in words."""


class Target(Strict):
    """A figure that a paper prints."""

    model: str
    metric: str
    mean: float
    sd: float | None = None
    """Standard deviation over the test cases."""
    source: str
    """Paper and table."""


class Preset(Strict):
    """A partial plan; what it leaves out is planned from the data."""

    name: str
    title: str
    rank: Literal[2, 3] | None = None
    """2: slices or pictures, 3: volumes; null: as the data."""
    dataset: PresetData | None = None
    normalisation: tuple[Scheme, ...] | None = None
    spacing_mm: tuple[PositiveFloat, ...] | None = None
    """(z, y, x); (y, x) for pictures and slices."""
    topology: Topology | None = None
    width: int = Field(default=32, ge=1, le=256)
    """Channels of the first stage where the topology is planned."""
    max_features: PositiveInt | None = None
    patch_voxels: PositiveInt | None = None
    """Upper bound of a planned patch."""
    batch: PositiveInt | None = None
    batch_dice: bool | None = None
    network: str | None = None
    """Default network by name."""
    network_options: dict[str, Any] = {}
    """Fields of the default network's spec that this preset changes."""
    augment: dict[str, Any] = {}
    """Fields of the augmentation that this preset changes."""
    train: Recipe = Recipe()
    predict: Inference = Inference()
    evaluate: Evaluation = Evaluation()
    targets: tuple[Target, ...] = ()
    inferred: dict[str, str] = {}
    """Field -> why: what no paper prints."""
    notes: tuple[str, ...] = Field(default=())

    @model_validator(mode="after")
    def _agree(self) -> "Preset":
        _refuse("network_options", UNetSpec, self.network_options)
        _refuse("augment", Augmentation, self.augment)
        if self.topology and self.topology.rank != self.rank:
            raise ValueError(f"rank must be {self.topology.rank}, as many axes as the patch has")
        if self.spacing_mm and len(self.spacing_mm) != self.rank:
            raise ValueError("spacing_mm needs as many axes as rank says")
        return self


def _refuse(field: str, kind: type[Strict], options: dict[str, Any]) -> None:
    """Refuse unknown or impossible options early, where the preset is read."""
    try:
        kind.model_validate(options)
    except ValidationError as error:
        raise ValueError(f"{field}.{first_fault(error)}") from error


def folder() -> Path:
    """Folder of the presets: inside an installed wheel, else beside the package."""
    inside = Path(str(files("segttt"))) / "presets"
    return inside if inside.is_dir() else inside.parent.parent / "presets"


def names() -> list[str]:
    """Names of all presets, sorted."""
    return sorted(path.stem for path in folder().glob("*.yaml"))


def load(name: str) -> Preset:
    """The preset of that name, or of that path when it ends in .yaml."""
    path = Path(name) if name.endswith(".yaml") else folder() / f"{name}.yaml"
    if not path.is_file():
        raise UsageError(f"There is no preset '{name}'. Known presets: {', '.join(names())}.")
    try:
        content = parse_yaml(read_bounded(path, MAX_YAML_BYTES).decode())
        return Preset.model_validate(content)
    except ValidationError as error:
        raise UsageError(f"{path}: {first_fault(error)}. Correct it.") from error
    except ValueError as error:
        raise UsageError(f"{path}: is not readable as YAML ({error}). Correct it.") from error

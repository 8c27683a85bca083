"""The DICOM packages of the extra [dicom], which may not be installed."""

from importlib.util import find_spec

from segttt.errors import MissingDependencyError


def require() -> None:
    """Raise a `MissingDependencyError` that names the extra where a package of it is missing."""
    missing = [name for name in ("pydicom", "highdicom") if find_spec(name) is None]
    if missing:
        raise MissingDependencyError(
            f"DICOM needs {' and '.join(missing)}. Install them by pip install 'segttt[dicom]'."
        )

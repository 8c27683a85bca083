"""Random transforms of patches: draw first, apply second."""

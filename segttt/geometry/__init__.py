"""Grids in space and resampling between them."""

"""Sampling, loading and augmenting patches."""

"""Pairs of files, their scores, and scores read back."""

"""Folder layouts, read in place."""

"""One training on disk: who holds it, what it leaves, how it is validated."""

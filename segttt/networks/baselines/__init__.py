"""The foreign networks that ours are compared with."""

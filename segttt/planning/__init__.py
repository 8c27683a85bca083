"""From a dataset to a plan."""

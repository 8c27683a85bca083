"""What a plan takes into account: features of the data, overrides, memory and time."""

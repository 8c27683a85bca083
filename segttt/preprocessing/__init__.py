"""From a volume to the network's grid and back."""

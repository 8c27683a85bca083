"""TTT-MLP: an inner model of two layers that learns along the sequence."""

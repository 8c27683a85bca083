"""TTT-Linear: a linear inner model that learns along the sequence."""

"""Training and prediction."""

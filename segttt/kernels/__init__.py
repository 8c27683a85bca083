"""Operators on tensors, behind PyTorch's dispatcher."""

"""Causal depthwise convolutions along scans, with their activation."""

"""The U-Nets, their blocks and mixers."""

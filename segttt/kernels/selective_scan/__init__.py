"""The selective scan of Mamba: a linear recurrence whose coefficients depend on the token."""

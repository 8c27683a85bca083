"""One map over cases."""

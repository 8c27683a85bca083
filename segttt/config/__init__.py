"""What is read from and written to disk, validated. Loads without torch."""

"""What is asked of a folder of data before it is planned."""

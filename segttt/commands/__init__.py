"""One use case per file: no parsing, no printing."""

"""`python -m segttt` is the command line."""

from segttt.cli.app import main

main()

"""`python -m traitbase` is the `traitbase` command."""

from traitbase.cli.main import main

main()

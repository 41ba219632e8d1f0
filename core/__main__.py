"""`python -m touchbook` is the `touchbook` command."""

from touchbook.cli import main

main()

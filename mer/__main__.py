"""`python -m mer COMMAND`."""

from mer.cli import main

main()

"""``python -m blockquant``."""

from blockquant.cli import main

main()

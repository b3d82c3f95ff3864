"""``python -m api.commands``."""

from api.commands import main

main()

"""What the exit codes mean; docs/reference/cli.md says it to people.

0 done, or clean; 1 reserved works found (``check``); 2 done, but some items could not be checked or read;
3 the call, the input or the registry was at fault; 4 nothing written, because nothing was left or you said
no.
"""

__all__ = ["CLEAN", "FOUND", "INCOMPLETE", "NOTHING", "USAGE"]

CLEAN, FOUND, INCOMPLETE, USAGE, NOTHING = 0, 1, 2, 3, 4

"""The commands by name: where each stands, and the line that the list of them has.

A command is loaded when it is asked for, and not to be listed: the list takes a tenth of the time then.
"""

from typing import NamedTuple

__all__ = ["OPERATORS", "OWN", "SERVER", "Own"]


class Own(NamedTuple):
    """A command of the client: its module below :mod:`registry.cli`, its name there, and its line."""

    module: str
    name: str
    line: str


OWN = {
    "check": Own("check", "check", "Say what is known of pictures, folders of pictures, and URLs."),
    "demo": Own(
        "demo", "demo", "Show the whole story on real pictures, with a report to open; under a minute."
    ),
    "erase": Own(
        "erase",
        "erase",
        "Destroy the reservation ID and all its past, or with --keep only what in it names a person.",
    ),
    "export": Own(
        "export",
        "export",
        "Write down all that the registry holds about the reservation ID, with the proof of it.",
    ),
    "filter": Own("filter", "filter_", "Copy the dataset SRC to DST without the works that are reserved."),
    "find": Own(
        "index", "find", "Say whether works are in a dataset, by the index that `caveat index` made of it."
    ),
    "formats": Own("filter", "formats", "List the dataset formats that are read and written."),
    "grant": Own("grant", "grant", "Permit one licensee what you reserved; look at what you were permitted."),
    "import": Own(
        "import_",
        "import_",
        "Lodge the works of lists (.csv, .jsonl, .parquet) as one reservation, up to many millions.",
    ),
    "index": Own("index", "index", "Make a dataset searchable for those whose works may be in it."),
    "log": Own("log", "log", "Check a registry's transparency log; operators publish theirs."),
    "notice": Own(
        "notice",
        "notice",
        "Write a letter to a platform about a model that may have been trained on your works.",
    ),
    "publish": Own(
        "publish", "publish", "Say on your own site, and in your pictures, what may be done with your works."
    ),
    "receipt": Own("receipt", "receipt", "Show, verify and attach the receipts that filter runs leave."),
    "recheck": Own(
        "recheck",
        "recheck",
        "Say what of an earlier run's output DST is reserved now, and what it removed is free now.",
    ),
    "register": Own("register", "register", "Lodge works, so that nobody trains on them unheard."),
    "signals": Own(
        "signals",
        "signals",
        "Say what pictures, addresses and sites declare about their use by AI; asks no registry.",
    ),
    "snapshot": Own(
        "snapshot",
        "snapshot",
        "Fetch, check and describe what a registry says, to look up without asking it.",
    ),
    "withdraw": Own(
        "register",
        "withdraw",
        "Withdraw the reservation or the import ID; the log keeps that it was there.",
    ),
}

OPERATORS = {
    "api-keys": "Make, list and revoke API keys.",
    "db": "Look after the database.",
    "serve": "Run a registry, by default on http://127.0.0.1:8080 with its data in ./caveat-data.",
}
"""The lines of the operator's commands that stand by themselves."""

SERVER = ("alembic", "flask", "numba", "psycopg", "pyarrow", "sqlmodel", "xxhash")
"""The packages that the server needs on every system: without one of them no command of its own is listed."""

"""Checks, for people."""

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from registry.cli.common import console, counted
from registry.model_checks import Check, Result

__all__ = ["print_checks"]

_STYLES = {Result.OK: "green", Result.NOT_OK: "red", Result.NOT_TOLD: "yellow"}


def print_checks(path: object, checks: Sequence[Check]) -> None:
    """Print what was found, a line a check, and whether anything is wrong."""
    out = console()
    table = Table(box=None, pad_edge=False, show_header=False)
    for one in checks:
        table.add_row(f"[{_STYLES[one.result]}]{one.result}[/]", escape(one.name), escape(one.text))
    out.print(table)
    wrong = sum(one.result is Result.NOT_OK for one in checks)
    said = f"[red]{counted(wrong, 'check')} failed[/]" if wrong else "[green]nothing is wrong with it[/]"
    out.print(f"{escape(str(path))}: {said}", soft_wrap=True)

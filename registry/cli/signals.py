"""``caveat signals``: what pictures, addresses and sites say themselves about their use, and what follows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from registry.cli.common import (
    CLEAN,
    FOUND,
    INCOMPLETE,
    console,
    counted,
    emit_json,
    progress_bar,
    use_option,
)
from registry.cli.sites import known_agents, open_sites, update_agents
from registry.client.formats.folder import pictures_below
from registry.client.pictures import MAX_FILE_BYTES, said_by
from registry.client.site import Sites
from registry.decision import Decision, decide
from registry.errors import InputError
from registry.preference import Action, Mode, Preference, Status, Use
from registry.signals import Fault, Reading
from registry.statement import Signal, Statement

__all__ = ["signals"]

_LARGEST = 64_000_000
"""Bytes of a work that is fetched to be read."""
_COLOURS = {Preference.RESERVED: "red", Preference.CONDITIONAL: "yellow", Preference.ALLOWED: "green"}


@dataclass(frozen=True, slots=True)
class _Read:
    """What one target says, and what follows for the use that was asked for."""

    target: str
    reading: Reading
    decision: Decision

    @property
    def reason(self) -> str:
        """The sentence of the decision, unless what could not be read may restrict more."""
        if self.reading.faults and self.decision.action is not Action.REMOVE:
            return f"Not known for {self.decision.use}: not everything could be read."
        return self.decision.reason

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON form; ``preference`` is null unless everything was read, or enough to reserve."""
        decision = self.decision
        known = not self.reading.faults or decision.action is Action.REMOVE
        return {
            "target": self.target,
            "use": str(decision.use),
            "mode": str(decision.mode),
            "preference": str(decision.preference) if known else None,
            "reason": self.reason,
            "statements": [one.to_wire() for one in self.reading.statements],
            "faults": [_fault_wire(one) for one in self.reading.faults],
        }


class _ReadsByDefault(click.Group):
    """A group whose command ``read`` is meant where no other is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, "-h", "--help"):
            args = ["read", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ReadsByDefault)
def signals() -> None:
    """Say what pictures, addresses and sites declare about their use by AI; asks no registry.

    \b
      caveat signals painting.jpg folder/           what is written into the files
      caveat signals https://ada.example/a.jpg      headers too, and the files of the site
      caveat signals update agents.json             take a newer list of AI crawlers
    """


@signals.command("read")
@click.argument("targets", nargs=-1, required=True, metavar="PATH|URL…")
@use_option
@click.option(
    "--mode", type=click.Choice([mode.value for mode in Mode]), default=Mode.EU_ART4.value, show_default=True
)
@click.option("--output", type=click.Choice(["human", "json"]), default="human", show_default=True)
@click.pass_context
def read(ctx: click.Context, targets: tuple[str, ...], use: str, mode: str, output: str) -> None:
    """Read pictures, folders of pictures and URLs; the word `read` may be left out.

    Of a picture its XMP, its C2PA manifest and a sidecar .xmp; of a URL also the headers of the answer,
    robots.txt, ai.txt and tdmrep.json of its site, and of a page its metadata.

    Exits with 1 when something is reserved, with 2 when something could not be read.
    """
    found = []
    for target in targets:
        _require_something(target)
    with open_sites(_LARGEST) as sites, progress_bar("reading", len(targets)) as bar:
        for target in targets:
            for name, reading in _readings(target, sites):
                found.append(_Read(name, reading, decide(reading.statements, Use(use), Mode(mode))))
            bar.advance()
    if output == "json":
        emit_json([one.to_wire() for one in found])
    else:
        for one in found:
            _show(one)
    if any(one.reading.faults for one in found):
        ctx.exit(INCOMPLETE)
    ctx.exit(FOUND if any(one.decision.action is Action.REMOVE for one in found) else CLEAN)


@signals.command("update")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def update(file: Path) -> None:
    """Take FILE for the list of AI crawlers that robots.txt may name.

    It is a JSON file of the form of the one that comes with this program; the newer of the two is used.
    """
    known = known_agents()
    new = update_agents(file)
    names = {agent.token for agent in new.agents}
    before = {agent.token for agent in known.agents}
    click.echo(f"{counted(len(names), 'AI crawler')}, as of {new.version}")
    for word, tokens in (("new", names - before), ("gone", before - names)):
        if tokens:
            click.echo(f"{word}: {', '.join(sorted(tokens))}")


def _readings(target: str, sites: Sites) -> Iterator[tuple[str, Reading]]:
    path = Path(target)
    if _is_url(target):
        yield target, sites.look(target)
    elif path.is_dir():
        for picture in pictures_below(path):
            yield picture.as_posix(), _embedded(picture)
    else:
        yield target, _embedded(path)


def _require_something(target: str) -> None:
    """Raise :class:`InputError` for what is not there, before anything is asked."""
    path = Path(target)
    if not (_is_url(target) or path.is_dir() or path.is_file()):
        raise InputError(f"{target[:200]}: neither a file, a folder nor a URL")


def _is_url(target: str) -> bool:
    return target.lower().startswith(("http://", "https://"))


def _embedded(path: Path) -> Reading:
    """Return what a file says; one that cannot be read is a fault, and ends nothing."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            return _unreadable(f"larger than {MAX_FILE_BYTES // 2**20} MiB")
        data = path.read_bytes()
    except OSError as error:
        return _unreadable(f"cannot be read: {error.strerror or error}")
    return said_by(path, data)


def _unreadable(message: str) -> Reading:
    return Reading(faults=(Fault("file", "file", Status.ERROR, message),))


def _show(one: _Read) -> None:
    click.echo(f"{one.target}\n  {one.reason}")
    if one.reading.statements:
        console().print(Padding(_table(one.reading.statements), (0, 0, 0, 2)))
    for fault in one.reading.faults:
        where = escape(f"{fault.protocol}, {fault.carrier}: {fault.message}")
        console().print(f"  [red]{fault.status}[/] {where}", soft_wrap=True)
    click.echo()


def _table(statements: Sequence[Statement]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 2))
    for name in ("protocol", "where", "says", "who speaks", "read", "words"):
        table.add_column(name, overflow="fold")
    for one in statements:
        signal = one.signal
        if signal is not None:
            who, words = _who(signal), escape(signal.said)
            protocol = f"{signal.protocol} [dim]{escape(signal.version)}[/]"
            table.add_row(protocol, signal.carrier, _says(one), who, str(signal.quality), words)
    return table


def _says(statement: Statement) -> str:
    """Return what is said, the uses of one word together."""
    by_word: dict[Preference, list[str]] = {}
    for use, word in statement.preferences.items():
        by_word.setdefault(word, []).append(str(use))
    parts = []
    for word, uses in by_word.items():
        named = "every use" if len(uses) == len(Use) else ", ".join(uses)
        parts.append(f"[{_COLOURS.get(word, 'default')}]{word}[/]: {named}")
    return "\n".join(parts)


def _who(signal: Signal) -> str:
    return {"signed": "the signer", "embedded": "the file", "host": "the site"}.get(signal.speaker, "unknown")


def _fault_wire(fault: Fault) -> dict[str, str]:
    return {
        "protocol": fault.protocol,
        "carrier": fault.carrier,
        "status": str(fault.status),
        "message": fault.message,
    }

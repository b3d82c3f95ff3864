"""``caveat grant``: permitting one licensee what one reserved, and looking at what one was permitted."""

import re
import time
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from registry.cli.common import (
    CLEAN,
    emit_json,
    log_key_option,
    only_registry,
    registries,
    registry_options,
)
from registry.cli.granting import tell_keys
from registry.cli.log import memory_at
from registry.client.granted import told_of, utc
from registry.client.grants import (
    check_standing,
    keys_at,
    read_grant_file,
    require_usable,
    signers_of,
)
from registry.client.http import RegistryClient
from registry.client.log_memory import write_private
from registry.dsse import Envelope
from registry.errors import GrantError, InputError, ProofError, RegistryAnswerError
from registry.grant import Grant, is_grant_id, open_grant, parse_grant
from registry.note import Verifier
from registry.oneline import one_line
from registry.preference import Use

__all__ = ["grant"]

_OUTPUT = click.option("--output", type=click.Choice(["human", "json"]), default="human", show_default=True)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_RFC3339 = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?", re.ASCII)


class TimeType(click.ParamType[int]):
    """A day, ``2027-06-30``, or a second of one in UTC, ``2027-06-30T12:00:00Z``; as seconds since 1970.

    With ``end`` a day is its last: the first second after it.
    """

    name = "DATE"

    def __init__(self, *, end: bool) -> None:
        self._end = end

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the seconds."""
        if isinstance(value, int):
            return value
        found = _RFC3339.fullmatch(value)
        try:
            if found is None:
                raise ValueError
            if found[2]:
                return int(datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())
            day = date.fromisoformat(value) + timedelta(days=int(self._end))
            return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no day: give 2027-06-30, or 2027-06-30T12:00:00Z.", param, ctx)


@click.group()
def grant() -> None:
    """Permit one licensee what you reserved; look at what you were permitted."""


@grant.command()
@click.argument("id_", metavar="RESERVATION")
@click.option("--to", "licensee", required=True, metavar="NAME", help="Who may use the works.")
@click.option("--to-url", default="", metavar="URL", help="Where to find them.")
@click.option(
    "--use",
    "uses",
    multiple=True,
    required=True,
    type=click.Choice([use.value for use in Use]),
    help="What for; may be given several times.",
)
@click.option("--until", required=True, type=TimeType(end=True), help="The last day on which it holds (UTC).")
@click.option("--from", "begin", type=TimeType(end=False), help="The first day.  [default: now]")
@click.option(
    "--work", "works", multiple=True, metavar="ID", help="Only this work; may be given several times."
)
@click.option("--terms", default="", metavar="URL", help="What you agreed on.")
@click.option("--contact", default="", help="Where they reach you.")
@click.option(
    "-o",
    "--to-file",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="File to write the grant to.",
)
@_OUTPUT
@registry_options
@click.pass_context
def create(
    ctx: click.Context,
    id_: str,
    licensee: str,
    to_url: str,
    uses: tuple[str, ...],
    until: int,
    begin: int | None,
    works: tuple[str, ...],
    terms: str,
    contact: str,
    target: Path,
    output: str,
    registry_urls: tuple[str, ...],
    key: str | None,
) -> None:
    """Permit one licensee the works of your RESERVATION, or some of them.

    The file is for the licensee: `caveat filter --grant FILE` keeps the works then. For everybody else the
    reservation stands. The registry signs it, and tells whoever holds it whether you took it back.

    \b
      caveat grant create k3… --to "Acme" --use genai-train --until 2027-06-30 -o acme.grant
    """
    if target.exists():
        raise InputError(f"{target} is there already", hint="Give another file.")
    wanted: dict[str, Any] = {
        "reservation": id_,
        "uses": list(dict.fromkeys(uses)),
        "licensee": {"name": licensee, "url": to_url},
        "valid_until": until,
        "terms": terms,
        "contact": contact,
    }
    wanted |= {} if begin is None else {"valid_from": begin}
    wanted |= {"works": list(dict.fromkeys(works))} if works else {}
    client = only_registry(registry_urls, key)
    told = client.grant(wanted)
    # Said first: whatever comes between, it can be fetched again by its identifier.
    click.echo(f"granted at {client.url}, event {told['seq']}: {told['id']}", err=True)
    envelope, made = _handed_out(client, told)
    write_private(target, envelope.to_json().decode())
    if output == "json":
        emit_json({"file": str(target), **told})
    else:
        click.echo(f"for the licensee: {target}")
        _print(made)
        click.echo(f"to take it back: caveat grant revoke {made.id}")
    ctx.exit(CLEAN)


@grant.command()
@click.argument("what", metavar="FILE|ID")
@click.option(
    "-o",
    "--to-file",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the grant ID to this file, signed by the log's key of today.",
)
@_OUTPUT
@registry_options
@click.pass_context
def show(
    ctx: click.Context,
    what: str,
    target: Path | None,
    output: str,
    registry_urls: tuple[str, ...],
    key: str | None,
) -> None:
    """Show what a grant says: of a FILE without checking it, of an ID as the registry tells it."""
    if not is_grant_id(what):
        if target is not None:
            raise click.UsageError("-o is for the ID of a grant.", ctx)
        wire = {"grant": _unchecked(Path(what)).to_wire()}
    else:
        client = only_registry(registry_urls, key)
        wire = client.show_grant(what)
        if target is not None:
            write_private(target, _handed_out(client, wire)[0].to_json().decode())
    shown = _read(wire)
    if output == "json":
        emit_json(wire)
    else:
        _print(shown)
        state = wire.get("state", "not checked: caveat grant verify does")
        click.echo(f"  state        {state}")
    ctx.exit(CLEAN)


@grant.command()
@click.argument("file", type=_FILE)
@log_key_option
@_OUTPUT
@registry_options
@click.pass_context
def verify(
    ctx: click.Context,
    file: Path,
    log_key: str | None,
    output: str,
    registry_urls: tuple[str, ...],
    key: str | None,
) -> None:
    """Check that a grant is signed by its registry, holds now, and was not taken back.

    With --log-key and without --registry nobody is asked, and whether it was taken back is not checked.
    """
    envelope, given = read_grant_file(file), Verifier.parse(log_key) if log_key else None
    try:
        if given is not None and not registry_urls:
            found, standing = open_grant(envelope, [given]), "not asked"
        else:
            asked = [keys_at(one, memory_at(None), given) for one in registries(registry_urls, key)]
            [keys, *_] = signers_of(envelope, asked)
            tell_keys(keys)
            found, standing = open_grant(envelope, keys.keys), "not taken back"
            check_standing(keys.client, found)
        require_usable(found, None, time.time())
    except (GrantError, ProofError) as error:
        raise type(error)(f"{file}: {error.message}", hint=error.hint) from error
    if output == "json":
        emit_json({"file": str(file), "revocation": standing, "grant": found.to_wire()})
    else:
        click.echo(f"{file}: holds; {standing}")
        _print(found)
    ctx.exit(CLEAN)


@grant.command()
@click.argument("id_", metavar="ID")
@_OUTPUT
@registry_options
@click.pass_context
def revoke(
    ctx: click.Context, id_: str, output: str, registry_urls: tuple[str, ...], key: str | None
) -> None:
    """Take back the grant ID: from now on your reservation stands for its licensee too."""
    client = only_registry(registry_urls, key)
    told = client.revoke_grant(id_)
    if output == "json":
        emit_json(told)
    else:
        click.echo(f"taken back at {client.url}, event {told['seq']}")
    ctx.exit(CLEAN)


def _handed_out(client: RegistryClient, told: Mapping[str, Any]) -> tuple[Envelope, Grant]:
    """Return the envelope that the registry hands out, and the grant in it, which must be what it told."""
    if told.get("envelope") is None:
        raise GrantError(f"{client.url} is a mirror, and signs no grants", hint="Ask the registry itself.")
    try:
        envelope = Envelope.from_wire(told["envelope"])
        made = open_grant(envelope, keys_at(client, memory_at(None)).keys)
    except ProofError as error:
        raise type(error)(
            f"{client.url} gave a grant that does not hold: {error.message}", hint=error.hint
        ) from error
    if made != _read(told):
        raise RegistryAnswerError(f"{client.url} signed another grant than it told")
    return envelope, made


def _read(told: Mapping[str, Any]) -> Grant:
    try:
        return Grant.from_wire(told.get("grant"))
    except InputError as error:
        raise RegistryAnswerError(
            f"the registry told a grant that cannot be read: {error.message}"
        ) from error


def _unchecked(path: Path) -> Grant:
    try:
        return parse_grant(read_grant_file(path).payload)
    except InputError as error:
        raise type(error)(f"{path}: {error.message}", hint=error.hint) from error


def _print(found: Grant) -> None:
    click.echo(told_of(found))
    facts = {
        "from": utc(found.valid_from),
        "works": "all, those too that are added later" if found.works is None else ", ".join(found.works),
        "licensee at": found.licensee_url,
        "terms": found.terms,
        "contact": found.contact,
        "event": f"{found.seq:,}, of {utc(found.issued_at)}",
    }
    for name, fact in facts.items():
        if fact:
            click.echo(f"  {name:12} {one_line(fact)}")

"""``caveat notice``: a letter to a platform about a model, with the evidence for it. Nothing is sent.

What only the sender knows is asked for on a terminal, and given by options without one. They must say that
they write in good faith; nobody says it for them.
"""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from registry.cli.common import (
    CLEAN,
    INCOMPLETE,
    NOTHING,
    counted,
    log_key_option,
    only_registry,
    progress_bar,
    registry_options,
)
from registry.cli.log import keys_of, memory_at
from registry.cli.publishing import refuse_in_the_way
from registry.client.export import Checked
from registry.client.formats.files import appearing
from registry.client.log import known_keys, origin_of
from registry.client.notices import Found, fetch_found, pack_of
from registry.errors import InputError
from registry.note import Verifier
from registry.paper.notice import GOOD_FAITH, Notice

__all__ = ["notice"]

_ASKED = {
    "platform": "Who offers the model",
    "name": "Your name",
    "email": "Your e-mail address (it will stand in the letter)",
    "reason": "Why you believe that your works were used, in your own words",
}

# What stands for the others while an answer is tried.
_TRIED: Mapping[str, Any] = {
    "platform": "-",
    "models": ("https://model.example/",),
    "name": "-",
    "email": "a@b.example",
    "reason": "-",
}


@click.command()
@click.argument("id_", metavar="RECORD")
@click.option(
    "--model", "models", multiple=True, required=True, metavar="URL", help="Where the model is offered."
)
@click.option("--platform", default="", help="Who offers it.")
@click.option("--name", default="", help="Your name.")
@click.option("--email", default="", help="Your e-mail address.")
@click.option("--reason", default="", help="Why you believe that your works were used.")
@click.option(
    "--work", "works", multiple=True, metavar="NAME", help="Only this work of the record, such as 3.0."
)
@click.option(
    "--good-faith", is_flag=True, help="You say that all in it is accurate and complete, in good faith."
)
@click.option(
    "--to",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write.  [default: notice-RECORD.zip]",
)
@click.option("--replace", is_flag=True, help="Write over the file that is there.")
@click.option(
    "--wait",
    default=60,
    show_default=True,
    type=click.IntRange(0),
    help="Seconds to wait at most until the log covers the last event.",
)
@log_key_option
@registry_options
@click.pass_context
def notice(
    ctx: click.Context,
    /,
    id_: str,
    models: tuple[str, ...],
    works: tuple[str, ...],
    good_faith: bool,
    target: Path | None,
    replace: bool,
    wait: int,
    log_key: str | None,
    registry_urls: tuple[str, ...],
    key: str | None,
    **said: str,
) -> None:
    """Write a letter to a platform about a model that may have been trained on your works.

    RECORD is what you lodged. The zip file has the letter, to be read and changed before you send it, and the
    evidence: what is reserved, since when, and the proof. It sends nothing, says nothing that you did not
    say, and is no legal advice.

    \b
      caveat notice k3… --model https://models.example/ada-style --platform "Models Example"
    """
    place = target or Path(f"notice-{id_}.zip")
    refuse_in_the_way([place], replace=replace)
    client = only_registry(registry_urls, key)
    letter = _letter(said, models, works)
    if not (good_faith or _agreed()):
        click.echo("nothing was written: a notice wants this statement", err=True)
        ctx.exit(NOTHING)
    with progress_bar("waiting for the log", wait) as bar:
        found = fetch_found(client, id_, works, wait, bar.advance)
    verifiers = _verifiers(found, Verifier.parse(log_key) if log_key else None)
    data, checked = pack_of(found, letter, verifiers, int(time.time()))
    with appearing(place) as [temporary]:
        # It has a name and an address in it: for its owner's eyes.
        temporary.touch(mode=0o600)
        temporary.write_bytes(data)
    _tell(place, checked)
    ctx.exit(INCOMPLETE if checked.pending else CLEAN)


def _letter(said: dict[str, str], models: tuple[str, ...], works: tuple[str, ...]) -> Notice:
    """Return what the sender says, asked for where there is a terminal."""
    missing = [name for name in _ASKED if not said[name].strip()]
    if missing and not sys.stdin.isatty():
        options = ", ".join(f"--{name}" for name in missing)
        raise InputError(
            f"a notice wants what only you know: {options}", hint="Give the options, or run it on a terminal."
        )
    for name in missing:
        said[name] = _answer(name)
    return Notice(**{name: said[name].strip() for name in _ASKED}, models=models, works=works)


def _answer(name: str) -> str:
    """Ask until the answer is one that can stand in a letter."""
    while True:
        text: str = click.prompt(_ASKED[name], default="", show_default=False, err=True).strip()
        try:
            Notice(**{**_TRIED, name: text})
        except InputError as error:
            click.echo(f"  {error.message}", err=True)
        else:
            return text


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise InputError(
            "a notice wants a statement that only you can make",
            hint=f"Say --good-faith if it is true: {GOOD_FAITH}",
        )
    return click.confirm(f"{GOOD_FAITH}\nIs that so?", default=False, err=True)


def _verifiers(found: Found, given: Verifier | None) -> tuple[Verifier, ...]:
    """Return the keys by which the evidence is checked: given, kept, or the registry's own, which is said."""
    note = found.evidence["checkpoint"]
    if not isinstance(note, str):
        return ()
    keys = keys_of(memory_at(None), origin_of(note), given)
    if not keys:
        keys = tuple(known_keys({"keys": list(found.keys)})[:1])
        click.echo(
            f"the log's key is not known here: {keys[0].text}\n"
            "To be sure of it: caveat log verify --registry URL --log-key KEY.",
            err=True,
        )
    return keys


def _tell(place: Path, checked: Checked) -> None:
    click.echo(f"{place}: a letter, and the evidence of {counted(len(checked.events), 'event')}")
    click.echo("  read letter.md, and change what is not so; nothing was sent anywhere")
    for event in checked.pending:
        click.echo(
            f"  event {event.leaf.seq:,} {event.leaf.op} is not proven yet; make it again later", err=True
        )

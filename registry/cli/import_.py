"""``caveat import``: a platform lodges lists of works in bulk."""

import os
from dataclasses import asdict
from pathlib import Path

import click

from registry.cli.common import (
    CLEAN,
    config_path,
    counted,
    emit_json,
    only_registry,
    progress_bar,
    registry_options,
    reserve_option,
)
from registry.client.importing import Import, Imported, import_lists, resume_path
from registry.errors import InputError, SettingsError
from registry.note import Signer
from registry.preference import Preference

__all__ = ["import_"]


@click.command("import")
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE…",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option("--partner", required=True, metavar="NAME", help="Your namespace at the registry.")
@reserve_option
@click.option("--label", default="", help="Whose works these are; shown to trainers.")
@click.option("--terms", default="", metavar="URL", help="Where to ask for a licence.")
@click.option("--contact", default="", help="How to reach you; shown to holders of a look-up key.")
@click.option(
    "--signing-key",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File of your signing key; made at the first use.  [default: in the user's configuration]",
)
@click.option(
    "--connections", type=click.IntRange(1, 64), default=4, show_default=True, help="Parts sent at once."
)
@registry_options
@click.option("--output", type=click.Choice(["human", "json"]), default="human", show_default=True)
@click.pass_context
def import_(
    ctx: click.Context,
    files: tuple[Path, ...],
    partner: str,
    uses: tuple[str, ...],
    label: str,
    terms: str,
    contact: str,
    signing_key: Path | None,
    connections: int,
    registry_urls: tuple[str, ...],
    key: str | None,
    output: str,
) -> None:
    """Lodge the works of lists (.csv, .jsonl, .parquet) as one reservation, up to many millions.

    All of them become visible together, at the end. Whatever stops it, the same command goes on where it was.

    \b
      caveat import works.parquet --partner acme --terms https://acme.example/licence
      caveat import 2025.csv 2026.csv --partner acme --reserve genai-train
    """
    client = only_registry(registry_urls, key)
    reservation = {
        "preferences": dict.fromkeys(uses, str(Preference.RESERVED)),
        "label": label,
        "terms": terms,
        "contact": contact,
    }
    wanted = Import(files, partner, reservation, _signer(signing_key, partner), connections)
    try:
        with progress_bar("importing") as bar:
            done = import_lists(client, wanted, bar.advance)
    except BaseException:
        if resume_path(files).exists():
            click.echo("what was acknowledged stands; run the same command again to go on", err=True)
        raise
    _tell(done, output)
    ctx.exit(CLEAN)


def _tell(done: Imported, output: str) -> None:
    if output == "json":
        emit_json({name: value for name, value in asdict(done).items() if name != "hashes"})
        return
    parts = counted(done.parts, "part")
    click.echo(f"imported {counted(done.works, 'work')} in {parts} at {done.registry}, event {done.seq}")
    click.echo(f"digest {done.digest}")
    if done.exact_only:
        click.echo(
            f"  {counted(done.exact_only, 'work')} too plain to be told apart: not found by likeness",
            err=True,
        )
    click.echo(f"to take it back: caveat withdraw {done.id}")


def _signer(path: Path | None, partner: str) -> Signer:
    """Read the signing key; make it if there is none, and say what to do with it.

    Raises :class:`SettingsError` for a new key, which no registry knows yet.
    """
    path = path or config_path().with_name(f"import-{partner}.key")
    try:
        return Signer.parse(path.read_text(encoding="utf-8").removesuffix("\n"))
    except FileNotFoundError:
        pass
    except (OSError, ValueError, InputError) as error:
        raise SettingsError(f"{path} holds no signing key: {error}") from error
    signer = Signer.new(partner)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(signer.text + "\n")
        file.flush()
        os.fsync(file.fileno())
    raise SettingsError(
        f"a signing key was made in {path}; no registry knows it yet, so nothing was sent",
        hint="Send its public half to the registry's operator, who makes your API key with\n"
        f"       caveat api-keys create --name {partner} --scope import:{partner}"
        f" --import-key {signer.verifier.text}\n"
        "       Keep the file, and show it to nobody. Then run the same command again.",
    )

"""Copies of pictures with the words in them: XMP first, the signature last.

A picture that cannot carry the words is told and left out, and the command ends with 2: it never stands in
the folder without them. What is wrong with all of them, a certificate for example, ends the command at once.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

from registry.cli.common import CLEAN, INCOMPLETE, counted, emit_json
from registry.cli.publishing import Target, lost_lines, output_option, refuse_in_the_way, wire, write_all
from registry.client.formats.folder import pictures_below
from registry.client.pictures import MAX_FILE_BYTES
from registry.errors import InputError, PictureError, ProofError, SettingsError
from registry.preference import Use
from registry.signals.c2pa import has_manifest
from registry.signals.iptc import DataMining
from registry.signals.parts import picture_kind
from registry.signals.writing import Choice, Written
from registry.signals.writing.c2pa import MIMES, Credential, carried, sign
from registry.signals.writing.choice import stricter
from registry.signals.writing.pictures import xmp_rights
from registry.signals.writing.xmp import write_preferences

__all__ = ["picture_options", "put_into", "read_credential"]


def read_credential(certificate: Path, key: Path) -> Credential:
    """Read the two PEM files. Raises :class:`ProofError` for what is none."""
    for path in (certificate, key):
        if b"-----BEGIN" not in path.read_bytes():
            raise ProofError(f"{path} is no PEM file", hint="It begins with -----BEGIN.")
    return Credential(certificate.read_bytes(), key.read_bytes())


def picture_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the pictures, ``--out``, ``--replace`` and ``--output``."""
    for option in (
        output_option,
        click.option("--replace", is_flag=True, help="Write over copies that are there."),
        click.option(
            "--out",
            required=True,
            type=click.Path(file_okay=False, path_type=Path),
            help="Folder for the copies.",
        ),
        click.argument(
            "paths",
            nargs=-1,
            required=True,
            metavar="PATH…",
            type=click.Path(exists=True, path_type=Path),
        ),
    ):
        command = option(command)
    return command


def put_into(
    paths: Sequence[Path], target: Target, chosen: Choice, credential: Credential | None = None
) -> int:
    """Copy the pictures with the words in them; return the exit code.

    Raises :class:`InputError` when none of them can carry the words, or when a file is in the way.
    """
    assert target.out is not None  # noqa: S101 - the option is required
    copies = dict(_copies(paths, target.out))
    refuse_in_the_way(list(copies.values()), replace=target.replace)
    _keep_originals(copies)
    written = _written(chosen, signed=credential is not None)
    done, failed = list[Path](), dict[Path, str]()
    for source, copy in copies.items():
        try:
            data = _marked(source, chosen, credential)
        except (ProofError, SettingsError):
            raise
        except InputError as error:
            failed[source] = f"{error.message}{f' ({error.hint})' if error.hint else ''}"
            continue
        except OSError as error:
            failed[source] = f"cannot be read: {error.strerror or error}"
            continue
        write_all({copy: data}, replace=target.replace)
        done.append(copy)
    _tell(written, chosen, target, done, failed)
    if not done:
        raise InputError("none of the pictures can carry it, and nothing was written")
    return INCOMPLETE if failed else CLEAN


def _copies(paths: Sequence[Path], out: Path) -> Iterator[tuple[Path, Path]]:
    """Yield each picture and where its copy goes: below ``out`` as it lies below its folder."""
    for path in paths:
        if path.is_dir():
            yield from ((one, out / one.relative_to(path)) for one in pictures_below(path))
        else:
            yield path, out / path.name


def _keep_originals(copies: dict[Path, Path]) -> None:
    sources = {source.resolve() for source in copies}
    for copy in copies.values():
        if copy.resolve() in sources:
            raise InputError(f"{copy} is an original, and stays as it is", hint="Name another folder: --out.")


def _marked(source: Path, chosen: Choice, credential: Credential | None) -> bytes:
    """Return the picture with the words in it: XMP, unless it is signed already, and then the signature."""
    size = source.stat().st_size
    if size > MAX_FILE_BYTES:
        raise PictureError(f"larger than {MAX_FILE_BYTES // 2**20} MiB")
    data = source.read_bytes()
    kind = picture_kind(data)
    if kind not in MIMES:
        raise PictureError(
            "a file of a kind that carries no such words here",
            hint=f"{', '.join(MIMES)} do; `caveat register` takes others too.",
        )
    if credential is None:
        return write_preferences(data, xmp_rights(chosen)[0])
    if _xmp_says(chosen) and not has_manifest(data):
        data = write_preferences(data, xmp_rights(chosen)[0])
    return sign(data, MIMES[kind], chosen, credential)


def _xmp_says(chosen: Choice) -> bool:
    try:
        xmp_rights(chosen)
    except InputError:
        return False
    return True


def _written(chosen: Choice, *, signed: bool) -> Written:
    place = "your site, and wherever you hand a picture out; whoever saves a picture anew may lose the words"
    if not signed:
        return Written("xmp", "", xmp_rights(chosen)[1], place, _xmp_notes(chosen))
    in_xmp = xmp_rights(chosen)[1] if _xmp_says(chosen) else {}
    return Written("c2pa", "", stricter(carried(chosen), in_xmp), place)


def _xmp_notes(chosen: Choice) -> tuple[str, ...]:
    code = xmp_rights(chosen)[0].data_mining
    if code is DataMining.PROHIBITED_AI_TRAINING and Use.SEARCH not in chosen.preferences:
        return ("IPTC's word is 'no AI training'; with --allow search it is 'nothing but search'",)
    return ()


def _tell(
    written: Written, chosen: Choice, target: Target, done: Sequence[Path], failed: dict[Path, str]
) -> None:
    if target.output == "json":
        told = {key: value for key, value in wire(chosen, written).items() if key != "text"}
        not_written = [{"path": str(path), "reason": why} for path, why in failed.items()]
        emit_json(told | {"files": [str(path) for path in done], "not_written": not_written})
    for path, why in failed.items():
        click.echo(f"not written: {path}: {why}", err=True)
    if target.output == "json" or not done:
        return
    click.echo(f"wrote {counted(len(done), 'picture')} into {target.out}")
    click.echo(f"put them at: {written.place}", err=True)
    for line in lost_lines(chosen, written):
        click.echo(f"  {line}", err=True)

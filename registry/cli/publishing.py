"""What the commands of ``caveat publish`` share: their options, the files they write, and what they tell.

The text goes to standard output or into a file. Where it belongs, and what of the choice it does not carry,
goes to standard error. A file in the way is never written over without ``--replace``.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from registry.cli.common import emit_json
from registry.errors import InputError
from registry.preference import Use
from registry.signals.writing import Choice, Written, choice, losses

__all__ = [
    "Target",
    "choice_options",
    "lost_lines",
    "output_option",
    "refuse_in_the_way",
    "target_options",
    "tell",
    "wire",
    "write_all",
]

Command = TypeVar("Command", bound=Callable[..., Any])
_USES = click.Choice([use.value for use in Use])

output_option = click.option(
    "--output", type=click.Choice(["human", "json"]), default="human", show_default=True
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a text goes: ``out`` is None for standard output; ``replace`` lets it take a file's place."""

    out: Path | None
    replace: bool
    output: str


def choice_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add ``--reserve``, ``--allow``, ``--condition`` and ``--terms``; the command gets ``chosen``."""

    @wraps(command)
    def run(
        *args: Any,
        reserve: tuple[str, ...],
        allow: tuple[str, ...],
        condition: tuple[str, ...],
        terms: str,
        **rest: Any,
    ) -> None:
        reserved, allowed, on_terms = ([Use(one) for one in named] for named in (reserve, allow, condition))
        command(*args, chosen=choice(reserved, allowed, on_terms, terms), **rest)

    for option in (
        click.option("--terms", default="", metavar="URL", help="Where to ask for a licence."),
        click.option(
            "--condition", multiple=True, type=_USES, help="What wants a licence under --terms; repeatable."
        ),
        click.option("--allow", multiple=True, type=_USES, help="What anybody may do; repeatable."),
        click.option(
            "--reserve",
            multiple=True,
            type=_USES,
            help="What nobody may do; repeatable.  [default: all but search that is not named otherwise]",
        ),
    ):
        run = option(run)
    return run


def target_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add ``--out``, ``--replace`` and ``--output``; the command gets a :class:`Target`."""

    @wraps(command)
    def run(*args: Any, out: Path | None, replace: bool, output: str, **rest: Any) -> None:
        command(*args, target=Target(out, replace, output), **rest)

    run = output_option(run)
    run = click.option("--replace", is_flag=True, help="Write over the file that is there.")(run)
    return click.option(
        "--out",
        type=click.Path(dir_okay=False, path_type=Path),
        help="File to write.  [default: standard output]",
    )(run)


def lost_lines(chosen: Choice, written: Written) -> list[str]:
    """Return, a line each, what of the choice is not said, and what else is to be known."""
    return [*(loss.sentence for loss in losses(chosen, written.carried)), *written.notes]


def wire(chosen: Choice, written: Written) -> dict[str, Any]:
    """Return the JSON form of what was written."""
    return {
        "protocol": written.protocol,
        "place": written.place,
        "carried": {str(use): str(value) for use, value in written.carried.items()},
        "lost": [
            {
                "use": str(one.use),
                "meant": None if one.meant is None else str(one.meant),
                "told": None if one.told is None else str(one.told),
            }
            for one in losses(chosen, written.carried)
        ],
        "notes": list(written.notes),
        "text": written.text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
    }


def tell(chosen: Choice, written: Written, target: Target, also: Mapping[Path, str] | None = None) -> None:
    """Write a text where it is wanted, and ``also`` these; say where it belongs and what it does not say."""
    texts = {**(also or {}), **({target.out: written.text} if target.out else {})}
    write_all({path: _bytes(text) for path, text in texts.items()}, replace=target.replace)
    if target.output == "json":
        emit_json(wire(chosen, written) | {"files": [str(path) for path in texts]})
        return
    if target.out is None:
        click.echo(_bytes(written.text), nl=False)
    for path in texts:
        click.echo(f"wrote {path}", err=True)
    click.echo(f"put it at: {written.place}", err=True)
    for line in lost_lines(chosen, written):
        click.echo(f"  {line}", err=True)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def refuse_in_the_way(paths: Sequence[Path], *, replace: bool) -> None:
    """Raise :class:`InputError` for a file that would be written over, and for what is no file at all."""
    doubled = next((path for place, path in enumerate(paths) if path in paths[:place]), None)
    if doubled is not None:
        raise InputError(f"{doubled} would be written twice", hint="Give names that differ.")
    for path in paths:
        if path.is_dir():
            raise InputError(f"{path} is a folder, and a file is to be written there")
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is no file, and none is put in its place", hint="Name another place.")
        if path.exists() and not replace:
            raise InputError(
                f"{path} is there already", hint="Say --replace to write over it, or name another place."
            )


def write_all(files: Mapping[Path, bytes], *, replace: bool) -> None:
    """Write these files, each whole or not at all; none takes its place before all of them are written."""
    refuse_in_the_way(list(files), replace=replace)
    with ExitStack() as leftovers:
        temporary = {}
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary[path] = path.with_name(f".{path.name}.{os.getpid()}.partial")
            leftovers.callback(temporary[path].unlink, missing_ok=True)
            temporary[path].write_bytes(data)
        for path, written in temporary.items():
            os.replace(written, path)

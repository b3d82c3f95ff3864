"""``caveat register`` and ``caveat withdraw``: what artists do."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from registry.cli.common import (
    CLEAN,
    INCOMPLETE,
    counted,
    emit_json,
    only_registry,
    progress_bar,
    registries,
    registry_options,
    reserve_option,
    workers_option,
)
from registry.client.formats.folder import pictures_below
from registry.client.http import RegistryClient
from registry.client.lodging import Lodged, lodge, work_of
from registry.client.pictures import PICTURE_SUFFIXES, default_workers, hash_files
from registry.errors import InputError, RegistryRefusedError
from registry.preference import Preference
from registry.urls import canonicalize_url, registered_domain, url_rule

__all__ = ["register", "withdraw"]


_NAME = re.compile(r"[^\[].*[a-z-].*", re.ASCII)
"""A host name, rather than an address in numbers or in brackets."""


@dataclass(slots=True)
class _Targets:
    """What was named, sorted by what it is."""

    files: list[Path] = field(default_factory=list)
    works: list[dict[str, Any]] = field(default_factory=list)
    rules: list[dict[str, str]] = field(default_factory=list)


@click.command()
@click.argument("targets", nargs=-1, metavar="PATH|URL|DOMAIN…")
@reserve_option
@click.option(
    "--title", default="", help="Whose works these are, or what they are called; shown to trainers."
)
@click.option("--terms", default="", metavar="URL", help="Where to ask for a licence.")
@click.option("--contact", default="", help="How to reach you; shown to holders of a look-up key.")
@click.option(
    "--public", is_flag=True, help="Show title, terms and contact to anybody, on the record's page."
)
@click.option(
    "--csv",
    "csv_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A list: url,title.",
)
@registry_options
@workers_option
@click.option("--output", type=click.Choice(["human", "json"]), default="human", show_default=True)
@click.pass_context
def register(
    ctx: click.Context,
    targets: tuple[str, ...],
    uses: tuple[str, ...],
    title: str,
    terms: str,
    contact: str,
    public: bool,
    csv_file: Path | None,
    registry_urls: tuple[str, ...],
    key: str | None,
    workers: int | None,
    output: str,
) -> None:
    """Lodge works, so that nobody trains on them unheard.

    A PATH is a picture or a folder of pictures: they are hashed here and never sent. A URL is one address,
    or everything below it when it ends in a slash. A DOMAIN is everything under it; another host name is
    that host alone. Folders, hosts and domains want a key that the operator has scoped for them.

    \b
      caveat register paintings/ --title "Ada" --terms https://ada.example/licence
      caveat register https://ada.example/works/sunflower.jpg
      caveat register ada.example
      caveat register --csv portfolio.csv
    """
    if not targets and csv_file is None:
        raise click.UsageError("Name at least one picture, folder, URL or domain, or a list with --csv.")
    clients = registries(registry_urls, key)
    found = _sorted(targets)
    if csv_file is not None:
        found.works += _listed(csv_file)
    errors: list[tuple[Path, str]] = []
    works = [*found.works, *_hashed(found.files, workers or default_workers(), errors)]
    for path, why in errors:
        click.echo(f"not lodged: {path}: {why}", err=True)
    reservation = {
        "preferences": dict.fromkeys(map(str, uses), str(Preference.RESERVED)),
        "label": title,
        "terms": terms,
        "contact": contact,
        "rules": found.rules,
        # A registry that knows no pages of records refuses the member: it is sent only where it is wanted.
        **({"public": True} if public else {}),
    }
    if not works and not found.rules:
        raise InputError("none of the pictures can be read, so nothing was lodged")
    lodged: list[Lodged] = []
    try:
        for client in clients:
            lodged.append(Lodged(client.url))
            lodge(client, reservation, works, lodged[-1])
    finally:
        # What was acknowledged is told whatever comes after it: its name is needed to take it back.
        _tell_all([one for one in lodged if one.id], works, errors, output)
    ctx.exit(INCOMPLETE if errors else CLEAN)


@click.command()
@click.argument("id_", metavar="ID")
@registry_options
def withdraw(id_: str, registry_urls: tuple[str, ...], key: str | None) -> None:
    """Withdraw the reservation or the import ID; the log keeps that it was there."""
    client = only_registry(registry_urls, key)
    try:
        answer = client.withdraw(id_)
    except RegistryRefusedError as error:
        answer = _rolled_back(client, id_, error)
    done = "rolled back, its works destroyed," if answer["state"] == "rolled-back" else "withdrawn"
    click.echo(f"{done} at {client.url}, event {answer['seq']}")


def _rolled_back(client: RegistryClient, id_: str, refused: RegistryRefusedError) -> dict[str, Any]:
    """Roll the import ``id_`` back; if there is none, the refusal of the reservation stands."""
    try:
        return client.tell_import("DELETE", f"/{quote(id_, safe='')}")
    except RegistryRefusedError:
        raise refused from None


def _sorted(targets: Sequence[str]) -> _Targets:
    found = _Targets()
    for target in targets:
        path = Path(target)
        if path.is_dir():
            found.files += pictures_below(path)
        elif path.is_file():
            found.files.append(path)
        elif "://" in target:
            url = canonicalize_url(target)
            if url.endswith("/"):
                found.rules.append({"kind": "prefix", "value": target})
            else:
                found.works.append({"url": target})
        else:
            found.rules.append(_name_rule(target))
    return found


def _name_rule(target: str) -> dict[str, str]:
    # No top-level domain is called .jpg: that is a file which is not here.
    is_file = Path(target).suffix.lower() in PICTURE_SUFFIXES
    if is_file or "." not in target or "/" in target or "\\" in target:
        raise InputError(
            f"{target} is neither a file or folder here, nor a URL, nor a domain",
            hint="Check the path; a URL begins with https://.",
        )
    rule = url_rule("host", target)
    domain = registered_domain(rule.host)
    if domain is None and _NAME.fullmatch(rule.host):
        raise InputError(
            f"{target} is a public suffix: it would cover everybody under it",
            hint="Name your own domain under it.",
        )
    return {"kind": "domain" if domain == rule.host else "host", "value": target}


def _listed(path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: byte {error.start}", hint="Save it as UTF-8.") from error
    with io.StringIO(text, newline="") as lines:
        rows = csv.DictReader(lines)
        if "url" not in (rows.fieldnames or ()):
            raise InputError(f"{path} has no column url", hint="The first line names the columns: url,title.")
        for row in rows:
            try:
                url = canonicalize_url(row["url"] or "")
            except InputError as error:
                raise InputError(
                    f"{path}, line {rows.line_num}: {error.message}; nothing was lodged"
                ) from error
            yield {"url": url, "title": row.get("title") or ""}


def _hashed(files: Sequence[Path], workers: int, errors: list[tuple[Path, str]]) -> list[dict[str, Any]]:
    works = []
    with progress_bar("hashing", len(files)) as bar:
        for hashed in hash_files(files, registered=True, workers=workers, tick=bar.advance):
            if hashed.fingerprint is None:
                errors.append((hashed.path, hashed.error))
            else:
                works.append(work_of(hashed))
    return works


def _tell_all(
    lodged: Sequence[Lodged],
    works: Sequence[dict[str, Any]],
    errors: Sequence[tuple[Path, str]],
    output: str,
) -> None:
    if output == "json":
        wires = [asdict(one) for one in lodged]
        emit_json({"reservations": wires, "not_lodged": [{"path": str(p), "reason": w} for p, w in errors]})
        return
    for one in lodged:
        _tell(one, works)
        if one.works < len(works):
            click.echo(f"  the other {counted(len(works) - one.works, 'work')} are not lodged", err=True)


def _tell(done: Lodged, works: Sequence[dict[str, Any]]) -> None:
    what = [counted(done.works, "work")] if done.works else []
    what += [counted(done.rules, "address rule")] if done.rules else []
    click.echo(f"lodged {' and '.join(what)} at {done.registry}, event {done.seq}")
    for place in done.exact_only:
        title = works[place]["title"]
        click.echo(f"  {title} is too plain to be told apart: only this exact file is covered", err=True)
    click.echo(f"to take it back: caveat withdraw {done.id}")

"""``caveat receipt``: what a filter run did, shown, verified, and put into the model that came of it."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from registry.cli.card import card
from registry.cli.common import CLEAN, FOUND, console, counted, emit_json, workers_option
from registry.cli.signing import known_key, signer_of, signing_key_option
from registry.client.attaching import attach as attach_to
from registry.client.models import read_header, read_model
from registry.client.pictures import default_workers
from registry.client.receipts import check_decisions, check_output, find_receipt
from registry.client.signing import key_of
from registry.dsse import keyid_of
from registry.errors import ProofError
from registry.model_checks import MAX_AGE_DAYS, Check, Policy, Result, check_model, check_receipt, is_ok
from registry.model_receipt import CARRIERS, RECEIPT_KEY, Signed, open_receipt, receipt_line
from registry.note import Verifier
from registry.receipt import Asked, Content, Receipt
from registry.safetensors import auto_v2, auto_v3

__all__ = ["receipt"]

_PATH = click.Path(exists=True, path_type=Path)
_STYLES = {Result.OK: "green", Result.NOT_OK: "red", Result.NOT_TOLD: "yellow"}
_output_option = click.option(
    "--output", "form", type=click.Choice(["human", "json"]), default="human", show_default=True
)


@click.group()
def receipt() -> None:
    """Show, verify and attach the receipts that filter runs leave.

    \b
      caveat receipt show my-set-clean
      caveat receipt attach lora.safetensors --receipt my-set-clean
      caveat receipt verify lora.safetensors --key maker+…
    """


@receipt.command()
@click.argument("path", type=_PATH)
@click.option(
    "--for",
    "trainer",
    type=click.Choice(list(CARRIERS)),
    help="Print what makes this trainer name the receipt in its models, and nothing else.",
)
@_output_option
def show(path: Path, trainer: str | None, form: str) -> None:
    """Show what a receipt says: a file, an account, the output beside it, or a model with one in it.

    Its signature must be right by the key that it names; whose key that is, verify says.
    """
    signed = open_receipt(_receipt_at(path), [])
    if trainer is not None:
        click.echo(CARRIERS[trainer].format(line=receipt_line(signed.sha256)))
    elif form == "json":
        emit_json({"sha256": signed.sha256, "signed_by": signed.signer.text, **_predicate(signed)})
    else:
        _print_receipt(signed)


@receipt.command()
@click.argument("path", type=_PATH)
@click.option("--key", "keys", multiple=True, metavar="KEY", help="Public key of a maker, or a file with it.")
@click.option("--log-key", "log_keys", multiple=True, metavar="KEY", help="Public key of a registry's log.")
@click.option("--output", "output", type=_PATH, help="The output to hold against the receipt.")
@click.option(
    "--max-age",
    type=click.FloatRange(min=0, min_open=True),
    default=MAX_AGE_DAYS,
    show_default=True,
    help="Days that the state may be old.",
)
@workers_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def verify(
    ctx: click.Context,
    path: Path,
    keys: tuple[str, ...],
    log_keys: tuple[str, ...],
    output: Path | None,
    max_age: float,
    workers: int | None,
    as_json: bool,
) -> None:
    """Check a receipt, or a model with one in it, as whoever receives it would.

    Each line is ok, not ok, or not told: the file does not say. Your own key is known; those of others are
    given with --key. Exits with 1 when something is not ok.
    """
    own = known_key(None)
    known = [*map(key_of, keys), *([] if own is None else [own.verifier])]
    policy = Policy(known, int(time.time()), [Verifier.parse(one) for one in log_keys], max_age)
    workers = workers or default_workers()
    if path.suffix.lower() == ".safetensors":
        told, checks = _verified_model(path, policy)
        if output is not None and RECEIPT_KEY in told:
            checks += _output_of(told.pop(RECEIPT_KEY), policy, output, workers)
        told.pop(RECEIPT_KEY, None)
    else:
        told, checks = _verified(path, policy, output, workers)
    if as_json:
        wire = {"path": str(path), "ok": is_ok(checks), **told}
        emit_json({**wire, "checks": [one.to_wire() for one in checks]})
    else:
        _print_checks(path, checks)
    ctx.exit(CLEAN if is_ok(checks) else FOUND)


@receipt.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--receipt", "source", type=_PATH, required=True, help="The receipt: a file, or as for show.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write a copy in place of MODEL."
)
@signing_key_option
@_output_option
@click.pass_context
def attach(
    ctx: click.Context, model: Path, source: Path, out: Path | None, signing_key: Path | None, form: str
) -> None:
    """Put a receipt into the header of MODEL, a safetensors file, bound to its tensors.

    The tensors stay as they are. The hash of the file changes, so attach before you upload. It is your word
    that the model was trained on what the receipt names; the key must be the one of the run.
    """
    done = attach_to(model, _receipt_at(source), signer_of(signing_key), out)
    if form == "json":
        emit_json(done.to_wire())
    else:
        _print_checks(done.path, done.checks)
        out_ = console()
        out_.print(f"tensor hash {done.tensors}, as before (AutoV3 {auto_v3(done.tensors)})", soft_wrap=True)
        out_.print(f"file hash   AutoV2 {auto_v2(done.after)}, before {auto_v2(done.before)}", soft_wrap=True)
    ctx.exit(CLEAN if is_ok(done.checks) else FOUND)


@receipt.command("key")
@signing_key_option
def key_(signing_key: Path | None) -> None:
    """Print the public key that your receipts are signed with; it is made the first time."""
    click.echo(signer_of(signing_key).verifier.text)


receipt.add_command(card)


def _receipt_at(path: Path) -> bytes:
    """Return a receipt as it was written, from wherever one may lie."""
    if path.suffix.lower() != ".safetensors":
        return find_receipt(path)[0]
    metadata = read_header(path).metadata or {}
    if RECEIPT_KEY not in metadata:
        raise ProofError(f"{path} has no receipt in its header", hint="Attach one: caveat receipt attach.")
    return metadata[RECEIPT_KEY].encode() + b"\n"


def _verified_model(path: Path, policy: Policy) -> tuple[dict[str, Any], list[Check]]:
    model = read_model(path)
    said = f"{counted(len(model.header.tensors), 'tensor')}, as it describes them"
    checks = [Check("header", Result.OK, said)]
    told = {"tensor_hash": model.tensors, "auto_v3": auto_v3(model.tensors)}
    given = {name: value for name, value in model.metadata.items() if name == RECEIPT_KEY}
    return {**told, **given}, [*checks, *check_model(model.metadata, model.tensors, policy)]


def _output_of(text: str, policy: Policy, output: Path, workers: int) -> list[Check]:
    signed, _ = check_receipt(text.encode() + b"\n", policy)
    return [] if signed is None else [check_output(signed.receipt, output, None, workers)]


def _verified(
    path: Path, policy: Policy, output: Path | None, workers: int
) -> tuple[dict[str, Any], list[Check]]:
    data, account = find_receipt(path)
    signed, checks = check_receipt(data, policy)
    if signed is None:
        return {}, checks
    if account is not None:
        checks.append(check_decisions(signed.receipt, account))
        beside = account.with_name(account.name.removesuffix(".caveat"))
        output = output or (beside if beside != account and beside.exists() else None)
    if output is None:
        checks.append(Check("output", Result.NOT_TOLD, "it is not here: give --output"))
    else:
        checks.append(check_output(signed.receipt, output, account, workers))
    return {"sha256": signed.sha256}, checks


def _predicate(signed: Signed) -> dict[str, Any]:
    wire: dict[str, Any] = json.loads(signed.receipt.to_statement())
    return {"subject": wire["subject"], **wire["predicate"]}


def _print_checks(path: Path, checks: Sequence[Check]) -> None:
    out = console()
    table = Table(box=None, pad_edge=False, show_header=False)
    for one in checks:
        table.add_row(f"[{_STYLES[one.result]}]{one.result}[/]", escape(one.name), escape(one.text))
    out.print(table)
    wrong = sum(one.result is Result.NOT_OK for one in checks)
    said = f"[red]{counted(wrong, 'check')} failed[/]" if wrong else "[green]nothing is wrong with it[/]"
    out.print(f"{escape(str(path))}: {said}", soft_wrap=True)


def _print_receipt(signed: Signed) -> None:
    said, out = signed.receipt, console()
    out.print(escape(said.about))
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, text in _rows(said):
        table.add_row(name, escape(text))
    table.add_row("signed by", escape(f"{keyid_of(signed.signer)} (verify says whether it is known)"))
    table.add_row("receipt", f"sha256:{signed.sha256}")
    out.print(table)


def _rows(said: Receipt) -> list[tuple[str, str]]:
    counts, how = said.counts, said.configuration
    removed = ", ".join(f"{cause} {count:,}" for cause, count in sorted(counts.removed_by.items()))
    terms = f", min evidence {how.min_evidence}" if how.min_evidence else ""
    terms += f", {counted(how.own_works_count, 'own key')} declared" if how.own_works else ""
    return [
        ("finished", f"{said.finished} (started {said.started}), by {said.tool.name} {said.tool.version}"),
        ("asked", f"for {how.use} in the mode {how.mode}, as {how.format}{terms}"),
        *(("registry", _asked(one)) for one in said.registries),
        ("samples", f"{counts.samples:,}: {counts.kept:,} kept, of these {counts.review:,} to look at"),
        ("removed", f"{counts.removed:,}" + (f" ({removed})" if removed else "")),
        ("set aside", f"{counts.errors:,} that could not be checked or read"),
        ("unspoken of", f"{counts.unknown:,}"),
        ("input", _content(said.input)),
        ("output", _content(said.output)),
        ("decisions", f"{said.decisions.count:,} {said.decisions.leaves}, root {said.decisions.root}"),
    ]


def _asked(one: Asked) -> str:
    state = "asked about nothing" if one.as_of_seq is None else f"as of event {one.as_of_seq:,}"
    log = f", log {one.origin}" if one.origin else ""
    return f"{one.url or 'a snapshot'}{log}: {state} ({one.asked})"


def _content(content: Content) -> str:
    [(name, digest)] = content.digest.items()
    return f"{counted(content.files, 'file')}, {content.bytes:,} bytes, {name} {digest}"

"""``caveat receipt verify``: a receipt, a model or a folder, as whoever receives it would check it."""

import time
from contextlib import ExitStack
from pathlib import Path

import click

from registry.cli.checks import print_checks
from registry.cli.common import CLEAN, FOUND, emit_json, registries, workers_option
from registry.cli.log import memory_at
from registry.cli.places import PlaceType
from registry.cli.signing import known_key, known_model_key
from registry.client.folders import is_folder
from registry.client.model_key import load_public
from registry.client.pictures import default_workers
from registry.client.signing import key_of
from registry.client.store_accounts import at_hand
from registry.client.stores import Address
from registry.client.verifying import Against, Told, ask_logs, verify_at
from registry.errors import InputError
from registry.model_checks import MAX_AGE_DAYS, Policy, is_ok
from registry.note import Verifier
from registry.receipt_checks import Registries
from registry.safetensors import auto_v3

__all__ = ["verify"]


@click.command()
@click.argument("path", type=PlaceType(exists=True))
@click.option("--key", "keys", multiple=True, metavar="KEY", help="Public key of a maker, or a file with it.")
@click.option("--log-key", "log_keys", multiple=True, metavar="KEY", help="Public key of a registry's log.")
@click.option(
    "--registry",
    "urls",
    multiple=True,
    metavar="URL",
    help="Registry whose log is asked now; may be given several times.  [default: nobody is asked]",
)
@click.option(
    "--model-key",
    "model_keys",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Public key, PEM, that signs folders of models.",
)
@click.option(
    "--output",
    "output",
    type=click.Path(exists=True, path_type=Path),
    help="The output to hold against the receipt.",
)
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
    path: Path | Address,
    keys: tuple[str, ...],
    log_keys: tuple[str, ...],
    urls: tuple[str, ...],
    model_keys: tuple[Path, ...],
    output: Path | None,
    max_age: float,
    workers: int | None,
    as_json: bool,
) -> None:
    """Check a receipt, or a model with one in it, as whoever receives it would.

    PATH is a receipt or a bundle, the account of a run, the output beside it, a safetensors file, or a folder
    with a receipt attached; all but the last two may be at an object store, s3://bucket/prefix. Each line is
    ok, not ok, or not told: the file does not say. Your own keys are known; those of others are given with
    --key and --model-key. With --registry the states that it names are held against the log as it is now.
    Exits with 1 when something is not ok.
    """
    is_signed = isinstance(path, Path) and is_folder(path)
    if model_keys and not is_signed:
        raise InputError(
            f"--model-key is for folders with a receipt attached, and {path} is none", hint="Leave it out."
        )
    own, own_model = known_key(None), known_model_key() if is_signed else None
    known = [*map(key_of, keys), *([] if own is None else [own.verifier])]
    given = [Verifier.parse(one) for one in log_keys]
    with ExitStack() as stack:
        clients = [stack.enter_context(one) for one in (registries(urls, None) if urls else [])]
        logs, asked = ask_logs(clients, memory_at(None), given)
        by = [*given, *(key for log in logs for key in log.keys)]
        against = Against(
            Policy(known, int(time.time()), by, max_age),
            Registries(logs),
            asked,
            output,
            [*map(load_public, model_keys), *([] if own_model is None else [own_model])],
            workers or default_workers(),
        )
        told = verify_at(stack.enter_context(at_hand(path, decisions=True)), against)
    if as_json:
        emit_json(_wire(path, told))
    else:
        print_checks(path, told.checks)
    ctx.exit(CLEAN if is_ok(told.checks) else FOUND)


def _wire(path: Path | Address, told: Told) -> dict[str, object]:
    wire: dict[str, object] = {"path": str(path), "ok": is_ok(told.checks)}
    if told.tensors is not None:
        wire |= {"tensor_hash": told.tensors, "auto_v3": auto_v3(told.tensors)}
    elif told.signed is not None:
        wire["sha256"] = told.signed.sha256
    return wire | {"checks": [one.to_wire() for one in told.checks]}

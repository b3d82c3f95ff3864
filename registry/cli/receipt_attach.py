"""``caveat receipt attach``: a receipt put into a model file, or into a folder, which is signed then."""

import time
from pathlib import Path

import click

from registry.cli.checks import print_checks
from registry.cli.common import CLEAN, FOUND, console, emit_json
from registry.cli.signing import model_signer_of, signer_of, signing_key_option
from registry.client.attaching import attach as attach_to
from registry.client.bundles import Found, find_bundle
from registry.client.folders import attach_folder
from registry.client.verifying import Against, verify_at
from registry.errors import InputError
from registry.model_checks import Policy, is_ok
from registry.note import Signer
from registry.receipt_checks import Registries
from registry.safetensors import auto_v2, auto_v3

__all__ = ["attach"]


@click.command()
@click.argument("model", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--receipt",
    "source",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    help="The receipt: a file, or as for show.",
)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write a copy in place of MODEL, a file."
)
@click.option(
    "--model-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Private key, PEM, that signs a folder.  [default: your own, made the first time]",
)
@signing_key_option
@click.option("--output", "form", type=click.Choice(["human", "json"]), default="human", show_default=True)
@click.pass_context
def attach(
    ctx: click.Context,
    model: Path,
    source: Path,
    out: Path | None,
    model_key: Path | None,
    signing_key: Path | None,
    form: str,
) -> None:
    """Put a receipt into MODEL, with what registries countersigned of it.

    Of a safetensors file into the header, bound to its tensors: they stay as they are. The hash of the file
    changes, so attach before you upload. A folder gets files beside the model, and is signed as OpenSSF's
    model-signing does, with the key model-signing.pem beside your maker.key.

    It is your word that the model was trained on what the receipt names; the signing key must be that of the
    run.
    """
    found, signer = find_bundle(source), signer_of(signing_key)
    if model.is_dir():
        if out is not None:
            raise InputError("--out is for files: a folder is signed where it is")
        ctx.exit(_folder(model, found, signer, model_key, as_json=form == "json"))
    if model_key is not None:
        raise InputError("--model-key signs folders, and this is a file", hint="Leave it out.")
    done = attach_to(model, found, signer, out)
    if form == "json":
        emit_json(done.to_wire())
    else:
        print_checks(done.path, done.checks)
        out_ = console()
        out_.print(f"tensor hash {done.tensors}, as before (AutoV3 {auto_v3(done.tensors)})", soft_wrap=True)
        out_.print(f"file hash   AutoV2 {auto_v2(done.after)}, before {auto_v2(done.before)}", soft_wrap=True)
    ctx.exit(CLEAN if is_ok(done.checks) else FOUND)


def _folder(folder: Path, found: Found, signer: Signer, model_key: Path | None, *, as_json: bool) -> int:
    key = model_signer_of(model_key)
    attach_folder(folder, found, signer, key)
    policy = Policy([signer.verifier], int(time.time()))
    checks = verify_at(folder, Against(policy, Registries(), model_keys=[key])).checks
    if as_json:
        wire = {"model": str(folder), "model_key": key.pem.decode(), "model_key_sha256": key.sha256}
        emit_json({**wire, "checks": [one.to_wire() for one in checks]})
    else:
        print_checks(folder, checks)
        console().print(f"signed by the model key of SHA-256 {key.sha256}", soft_wrap=True, markup=False)
    return CLEAN if is_ok(checks) else FOUND

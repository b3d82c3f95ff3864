"""A receipt checked where it lies, as whoever receives it would: alone, in a bundle, in a model.

What registries know is asked of them, where some are named: their log as it is now, held against what was
kept of it from earlier visits, and by it the states that the receipt and its countersignatures name. A
registry that cannot be asked is ``not ok``, by name: whoever names one wants to know.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from registry.client.bundles import bundle_from, is_model, read_bundle
from registry.client.folders import check_folder, is_folder
from registry.client.http import RegistryClient
from registry.client.log import Trust, known_keys, origin_of
from registry.client.log_memory import LogMemory, look, visit
from registry.client.model_key import ModelKey
from registry.client.models import read_model
from registry.client.receipts import check_decisions, check_output
from registry.errors import CaveatError, ProofError
from registry.jsontext import strict_json
from registry.model_checks import Check, Policy, Result
from registry.model_receipt import Signed
from registry.note import Verifier
from registry.receipt_checks import KnownLog, Registries, verify_metadata, verify_receipt
from registry.tiles import TileReader

__all__ = ["Against", "Told", "ask_logs", "verify_at"]

_TILES_HELD = 4096
_NEVER = 2**53
_LARGEST_ANSWER = 1_000_000


@dataclass(frozen=True, slots=True)
class Against:
    """What a receipt is held against: by which policy, what registries know, and the output of its run.

    ``asked`` is what was found when the registries were asked. ``model_keys`` are those whose folders are
    believed. ``workers`` threads read the output.
    """

    policy: Policy
    registries: Registries
    asked: Sequence[Check] = ()
    output: Path | None = None
    model_keys: Sequence[ModelKey] = ()
    workers: int = 1


@dataclass(frozen=True, slots=True)
class Told:
    """What was found: ``signed`` is the receipt where its signature is right, ``tensors`` a model's hash."""

    checks: Sequence[Check]
    signed: Signed | None = None
    tensors: str | None = None


def verify_at(path: Path, against: Against) -> Told:
    """Check the receipt at ``path``: a file, an account, the output of a run beside it, or a model.

    Raises :class:`ProofError` where there is none, :class:`ModelError` for a model that cannot be read.
    """
    if is_model(path):
        told = _model(path, against)
    else:
        told = _alone(path, against)
        if is_folder(path) and told.signed is not None:
            found = check_folder(path, told.signed, against.model_keys, against.policy.now)
            told = replace(told, checks=[*told.checks, *found])
    return replace(told, checks=[*told.checks, *against.asked])


def ask_logs(
    clients: Sequence[RegistryClient], memory: LogMemory, given: Sequence[Verifier]
) -> tuple[list[KnownLog], list[Check]]:
    """Visit the logs of registries; returns those that hold, and what is to be said of each.

    The keys are those ``given``, else those kept from an earlier visit, else the registry's own.
    """
    logs, checks = [], []
    for client in clients:
        name = f"registry {client.url}"
        try:
            log, trust = _visited(client, memory, given)
        except (CaveatError, OSError) as error:
            text = error.message if isinstance(error, CaveatError) else str(error)
            checks.append(Check(name, Result.NOT_OK, f"its log cannot be relied upon: {text}"))
            continue
        logs.append(log)
        checks.append(Check(name, Result.OK, f"its log has {log.size:,} events; {_TRUSTED[trust]}"))
    return logs, checks


_TRUSTED = {
    Trust.GIVEN: "its key is the one given",
    Trust.KEPT: "it goes on from what was kept of it here",
    Trust.FIRST: "its key was met for the first time, and is kept now",
}


def _visited(client: RegistryClient, memory: LogMemory, given: Sequence[Verifier]) -> tuple[KnownLog, Trust]:
    seen = look(client)
    shown = known_keys(seen.keys)
    own = [one for one in given if one.name == origin_of(seen.note)]
    trusted = next((one for one in shown if one in own), own[0] if own else None)
    found, _ = visit(seen, memory, trusted)
    # Who trusts a registry for its key the first time trusts it for those before that too.
    keys = {*own, *found.kept.keys, *(shown if found.trust is Trust.FIRST else ())}
    state = found.checkpoint
    reader = TileReader(state.size, lru_cache(_TILES_HELD)(seen.fetch))
    head = max(_head(client), state.size)
    return KnownLog(state.origin, head, state.size, state.root, reader, tuple(keys)), found.trust


def _head(client: RegistryClient) -> int:
    """Return the number of a registry's last event, whether it is published or not."""
    wire = strict_json(client.fetch(f"/api/v1/changes?after={_NEVER}", _LARGEST_ANSWER))
    head = wire.get("head") if isinstance(wire, dict) else None
    if type(head) is not int or head < 0:
        raise ProofError(f"{client.url} does not say how many events it has had")
    return head


def _model(path: Path, against: Against) -> Told:
    model = read_model(path)
    count = len(model.header.tensors)
    said = f"{count:,} tensor{'' if count == 1 else 's'}, as it describes them"
    found = verify_metadata(model.metadata, model.tensors, against.policy, against.registries)
    checks = [Check("header", Result.OK, said), *found.checks]
    if found.signed is not None and against.output is not None:
        checks.append(check_output(found.signed.receipt, against.output, None, against.workers))
    return Told(checks, found.signed, model.tensors)


def _alone(path: Path, against: Against) -> Told:
    data, account = read_bundle(path)
    try:
        receipt, given = bundle_from(data)
    except ProofError as error:
        return Told([Check("receipt", Result.NOT_OK, error.message)])
    found = verify_receipt(receipt, against.policy, against.registries, given)
    if found.signed is None:
        return Told(found.checks)
    checks = [*found.checks, *_by_files(found.signed, account, against)]
    return Told(checks, found.signed)


def _by_files(signed: Signed, account: Path | None, against: Against) -> Iterator[Check]:
    output = against.output
    if account is not None:
        yield check_decisions(signed.receipt, account)
        beside = account.with_name(account.name.removesuffix(".caveat"))
        output = output or (beside if beside != account and beside.exists() else None)
    if output is None:
        yield Check("output", Result.NOT_TOLD, "it is not here: give --output")
    else:
        yield check_output(signed.receipt, output, account, against.workers)

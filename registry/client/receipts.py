"""The receipt of a filter run on the disk: written into its account, found again, held against what is there.

``receipt.dsse.json`` in the account is the one file of it that is made to be published. ``input.sha256`` and
``output.sha256`` beside it name the files and stay with the maker; by the latter a folder is checked file by
file, here or with ``sha256sum -c``.
"""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import registry
from registry.client.contents import (
    Digested,
    Measured,
    content_of,
    decided,
    left_out_of,
    source_content,
)
from registry.client.countersigning import public_url, write_countersigned
from registry.client.documents import write_card
from registry.client.http import RegistryClient
from registry.client.making import account_folder
from registry.client.private import PrivateRegistry
from registry.client.snapshot import Snapshot
from registry.client.summary import FilterSummary
from registry.client.verdicts import Registry, Rules
from registry.errors import CaveatError, ProofError, RegistryError
from registry.fingerprint import PHASH_RADIUS, REVIEW_RADIUS, STRICT_RADIUS, VERSION
from registry.model_checks import Check, Result
from registry.note import Signer, parse_checkpoint
from registry.oneline import one_line
from registry.preference import Action
from registry.receipt import (
    MAPPING_VERSION,
    Asked,
    Configuration,
    Content,
    Counts,
    Decisions,
    Receipt,
    Tool,
    digest_of,
    sign_receipt,
    timestamp,
)
from registry.strictly import LONGEST
from registry.sums import parse_sums

__all__ = [
    "INPUT_SUMS",
    "OUTPUT_SUMS",
    "RECEIPT",
    "ReceiptOf",
    "check_decisions",
    "check_output",
    "find_receipt",
    "this_tool",
    "write_input",
    "write_measured",
    "write_receipt",
]

RECEIPT = "receipt.dsse.json"
INPUT_SUMS = "input.sha256"
OUTPUT_SUMS = "output.sha256"

_NAMED = 3
_NOT_WANTED = "none was asked for (--no-countersign)"
_LARGEST_CHECKPOINT = 100_000
_LARGEST = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ReceiptOf:
    """What a run that is to have a receipt knows from the start: who signs, who is asked, when it began.

    ``subset`` and ``in_marks`` are as the run has them; ``workers`` threads read what is digested. Without
    ``countersign`` no registry is asked for a countersignature.
    """

    signer: Signer
    registries: Sequence[Registry]
    subset: bool = False
    in_marks: bool = False
    workers: int = 1
    countersign: bool = True
    started: int = field(default_factory=lambda: int(time.time()))


def this_tool() -> Tool:
    """Return what this program is."""
    return Tool(name="caveat", version=registry.__version__)


def write_input(account: Path, summary: FilterSummary, workers: int) -> Content:
    """Digest what a run reads, and write the list of it into the account in the making."""
    found = source_content(Path(str(summary.source)), summary.format, workers)
    (account / INPUT_SUMS).write_bytes(found.sums)
    return found.content


def write_receipt(
    account: Path, output: Path, summary: FilterSummary, run: ReceiptOf, given: Content | None = None
) -> None:
    """Write the receipt of a run whose ``output`` is complete into its ``account``, both in the making.

    ``given`` is the input where it was digested before; without, it is now. Raises :class:`DatasetError` when
    something cannot be digested any more, and OSError.
    """
    given = given or write_input(account, summary, run.workers)
    name = "" if summary.target is None else Path(str(summary.target)).name
    made = content_of(output, run.workers, name)
    (account / OUTPUT_SUMS).write_bytes(made.sums)
    write_measured(
        account, summary, run, Measured(given, made.content, decided(account), left_out_of(account))
    )


def write_measured(account: Path, summary: FilterSummary, run: ReceiptOf, measured: Measured) -> None:
    """Write the receipt of a run whose files were digested before, as :func:`write_receipt` does.

    The lists of the files are not written.
    """
    configuration = _configuration(summary, subset=run.subset)
    receipt = Receipt(
        maker=run.signer.verifier.text,
        tool=this_tool(),
        configuration=configuration,
        configuration_sha256=configuration.sha256,
        input=measured.input,
        output=measured.output,
        decisions=measured.decisions,
        counts=_counts(summary, measured),
        registries=_asked(summary, run, measured.decisions),
        started=timestamp(run.started),
        finished=timestamp(max(int(time.time()), run.started)),
        resumed=summary.resumed,
    )
    signed = sign_receipt(receipt, run.signer).to_json()
    (account / RECEIPT).write_bytes(signed)
    summary.countersigned = dict.fromkeys(summary.registries, _NOT_WANTED)
    if run.countersign:
        summary.countersigned = write_countersigned(account, run.registries, summary.tickets, signed)
    write_card(account, signed)


def find_receipt(path: Path) -> tuple[bytes, Path | None]:
    """Return the receipt at ``path``, and the account that it lies in, None where that is not known.

    ``path`` is the file, an account, or the output of a run with the account beside it. Raises
    :class:`ProofError`.
    """
    places = (path / RECEIPT, account_folder(path.absolute()) / RECEIPT)
    file = (
        path if path.is_file() and path.suffix == ".json" else next((p for p in places if p.is_file()), None)
    )
    if file is None:
        raise ProofError(
            f"no receipt at {path}",
            hint=f"Give {RECEIPT}, its folder, or the output of a run with its account beside it.",
        )
    try:
        if file.stat().st_size > _LARGEST:
            raise ProofError(f"{file} is larger than {_LARGEST >> 20} MiB, and no receipt")
        data = file.read_bytes()
    except OSError as error:
        raise ProofError(f"{file} cannot be read: {error.strerror}") from error
    return data, file.parent if file.name == RECEIPT else None


def check_decisions(receipt: Receipt, account: Path) -> Check:
    """Hold the decisions in an account against a receipt."""
    name = "decisions"
    try:
        found = decided(account)
    except (CaveatError, OSError) as error:
        return Check(name, Result.NOT_TOLD, f"they are not here: {error}")
    if found != receipt.decisions:
        text = f"{found.count:,} with the root {found.root}, and the receipt has {receipt.decisions.count:,}"
        return Check(name, Result.NOT_OK, f"{text} with {receipt.decisions.root}")
    return Check(name, Result.OK, f"{found.count:,} {found.leaves}, with the root of the receipt")


def check_output(receipt: Receipt, output: Path, account: Path | None, workers: int = 1) -> Check:
    """Hold the output of a run against its receipt, file by file where the account has their list."""
    name = "output"
    try:
        found = content_of(output, workers)
    except (CaveatError, OSError) as error:
        return Check(name, Result.NOT_OK, f"{output} cannot be read: {error}")
    if found.content == receipt.output:
        return Check(name, Result.OK, f"{found.content.files:,} files of {output}, each as it was written")
    return Check(name, Result.NOT_OK, f"{output} is another: {_difference(receipt, found, account)}")


def _difference(receipt: Receipt, found: Digested, account: Path | None) -> str:
    [(_, expected)] = receipt.output.digest.items()
    [(_, digest)] = found.content.digest.items()
    plain = f"its digest is {digest}, and the receipt has {expected}"
    try:
        before = None if account is None else parse_sums((account / OUTPUT_SUMS).read_bytes())
    except (OSError, ProofError):
        before = None
    if before is None or "dirHash" not in receipt.output.digest:
        return plain
    now = parse_sums(found.sums)
    told = {
        "changed": [one for one in before if one in now and now[one] != before[one]],
        "missing": [one for one in before if one not in now],
        "added": [one for one in now if one not in before],
    }
    said = [f"{len(names):,} {what} ({_some(names)})" for what, names in told.items() if names]
    return "; ".join(said) or plain


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")


def _configuration(summary: FilterSummary, *, subset: bool) -> Configuration:
    rules: Rules = summary.rules
    return Configuration(
        format=summary.format,
        use=str(rules.use),
        mode=str(rules.mode),
        mapping=MAPPING_VERSION,
        fingerprint=VERSION,
        strict_bits=STRICT_RADIUS,
        review_bits=REVIEW_RADIUS,
        phash_bits=PHASH_RADIUS,
        possible_copies=rules.review,
        site_signals=summary.sites_asked,
        licences=tuple(map(one_line, sorted(rules.met))),
        min_evidence=rules.min_evidence,
        own_works=rules.own.digest or None,
        own_works_count=len(rules.own.sha256s) + len(rules.own.pdqs),
        grants=tuple(sorted(digest_of(one.encode()) for one in rules.grants.ids)),
        organisation=one_line(rules.organisation),
        purpose=one_line(rules.purpose),
        subset=subset,
    )


def _counts(summary: FilterSummary, measured: Measured) -> Counts:
    status, preference = measured.gone
    return Counts(
        samples=summary.samples,
        kept=summary.kept,
        removed=summary.counts[Action.REMOVE],
        review=summary.counts[Action.REVIEW],
        errors=summary.errors,
        unknown=summary.counts["unknown"],
        own=summary.counts["own"],
        granted=summary.counts["granted"],
        below_evidence=summary.counts["below_evidence"],
        removed_by={name: count for name, count in sorted(summary.reasons.items()) if count},
        status=dict(status),
        preference=dict(preference),
    )


def _asked(summary: FilterSummary, run: ReceiptOf, decisions: Decisions) -> tuple[Asked, ...]:
    in_marks = run.in_marks and decisions.leaves == "files" and not summary.sites_asked
    return tuple(
        replace(
            _asked_of(one, summary.as_of_seq.get(one.url), "marks" if in_marks else "full"),
            runs=summary.tickets.roots(one.url),
        )
        for one in run.registries
    )


def _asked_of(registry: Registry, as_of_seq: int | None, how: str) -> Asked:
    if isinstance(registry, Snapshot):
        manifest = registry.manifest
        return Asked(
            url=None,
            origin=manifest.origin,
            as_of_seq=as_of_seq,
            asked="snapshot",
            checkpoint=manifest.checkpoint,
        )
    if isinstance(registry, PrivateRegistry):
        registry, how = registry.client, "private"
    origin, checkpoint = _log_of(registry) if isinstance(registry, RegistryClient) else (None, None)
    return Asked(
        url=public_url(registry.url), origin=origin, as_of_seq=as_of_seq, asked=how, checkpoint=checkpoint
    )


def _log_of(client: RegistryClient) -> tuple[str | None, str | None]:
    """Return the name of a registry's log and its signed state, as it gives them; None where it does not."""
    with contextlib.suppress(RegistryError, ProofError, ValueError):
        note = client.fetch("/checkpoint", _LARGEST_CHECKPOINT).decode()
        origin = parse_checkpoint(note[: note.index("\n\n") + 1]).origin
        if len(note) <= LONGEST:
            return origin, note
    return None, None

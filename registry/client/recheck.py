"""An earlier run looked at again: what it kept and is reserved now, and what it removed and is free now.

Of files nothing is read but the decisions: they have the keys of each sample, its fingerprint, its addresses
and what it says itself, and the registries are asked anew with these. Of tables the output is read, or the
source (:mod:`registry.client.table_recheck`). Where no registry has an event since the run, nothing can have
changed, and nobody is asked. A sample that was set aside then was never checked, and one that went with
another follows that one: neither is asked about. What was declared as the maker's own stays so.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from registry.client.formats import Sample
from registry.client.granted import HeldGrants
from registry.client.making import account_folder
from registry.client.noted import verdict_of
from registry.client.pictures import Hashed
from registry.client.place import Place
from registry.client.rechecked import Rechecked, stands_still
from registry.client.run_file import Run, has_run, read_run
from registry.client.table_recheck import Asking, recheck_tables
from registry.client.verdicts import Judges, Registry, Rules, Verdict, judge
from registry.errors import CaveatError, DatasetError, InputError
from registry.jsontext import strict_json
from registry.preference import Action, Mode

__all__ = ["Rechecked", "decided_lines", "recheck"]

_BATCH = 2000


def recheck(
    target: Path | str,
    registries: Sequence[Registry],
    *,
    met: frozenset[str] = frozenset(),
    min_evidence: int = 0,
    grants: HeldGrants = HeldGrants(),  # noqa: B008 - frozen
    source: Path | str | None = None,
    tick: Callable[[int], None] = lambda _: None,
) -> Rechecked:
    """Ask ``registries`` again about the samples of the run whose output is ``target``.

    Use and mode are those of the run; ``met``, ``min_evidence`` and ``grants`` as in :class:`Rules`.
    ``source`` is what the run read, to be asked about in place of the output: for tables only. ``tick`` is
    told how many samples are done. Raises :class:`DatasetError` when there are no decisions that can be read
    or they do not fit, and :class:`registry.errors.RegistryError` when a registry cannot be asked.
    """
    found = Rechecked(Path(target))
    shown = Judges(registries, Rules(met=met, min_evidence=min_evidence, grants=grants))
    account = account_folder(found.target.absolute())
    in_marks = all(["max_marks" in one.check_parameters() for one in registries])
    if (account / "decisions").is_dir():
        found.read = found.target if source is None else Path(source)
        _recheck_rows(found, account, Asking(shown, in_marks, tick))
    elif source is not None:
        raise InputError(
            f"{target} is not of tables, and a source is read for these only", hint="Leave it out."
        )
    else:
        _recheck_files(found, account / "decisions.jsonl", shown, tick)
    return found


def _can_stand(found: Rechecked, shown: Judges, run: Run) -> bool:
    """Say whether nothing can have changed since the run."""
    # A grant ends with the time, and no event says so; what else eased the run may not be shown now.
    return shown.rules == Rules() and not run.was_eased and stands_still(found, shown.registries)


def _recheck_rows(found: Rechecked, account: Path, asking: Asking) -> None:
    run, shown = read_run(account), asking.judges
    rules = shown.rules
    found.since = dict(run.as_of_seq)
    if _can_stand(found, shown, run):
        return
    if found.read is None or not found.read.exists():
        raise DatasetError(
            f"{found.read} is not there, and the decisions on tables do not have the rows that were kept",
            hint="Put it back, or give what the run read: --source SRC.",
        )
    rules = replace(run.rules, met=rules.met, min_evidence=rules.min_evidence, grants=rules.grants)
    asking = replace(asking, judges=replace(shown, rules=rules))
    recheck_tables(found, run, account / "decisions", asking)


def _recheck_files(found: Rechecked, path: Path, shown: Judges, tick: Callable[[int], None]) -> None:
    if not path.exists():
        raise DatasetError(
            f"{path} is not there",
            hint="Give the output of a run of caveat filter, with its account beside it.",
        )
    for before in decided_lines(path):
        for url, seq in before.as_of_seq.items():
            found.since[url] = min(seq, found.since.get(url, seq))
    if has_run(path.parent) and _can_stand(found, shown, read_run(path.parent)):
        return
    asked = (before for before in decided_lines(path) if _is_asked(before))
    while batch := list(islice(asked, _BATCH)):
        for before, now in _again(batch, shown):
            found.asked += 1
            found.add(before.action, replace(now, sample=before.sample))
        tick(len(batch))


def decided_lines(path: Path) -> Iterator[Verdict]:
    """Yield the decisions on files, in their order. Raises :class:`DatasetError` for a line that is none."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield verdict_of(strict_json(line))
            except (CaveatError, KeyError, TypeError, ValueError) as error:
                raise DatasetError(
                    f"{path}, line {number}: it cannot be read ({error!r})",
                    hint="It was damaged, or written by another version: filter the dataset again.",
                ) from error


def _is_asked(before: Verdict) -> bool:
    return before.action is not Action.ERROR and before.cause != "another" and not before.own


def _again(batch: Sequence[Verdict], shown: Judges) -> Iterator[tuple[Verdict, Verdict]]:
    """Yield the verdicts with what would be decided now, by the keys and the signals of then."""
    judges = replace(shown, rules=_rules(batch[0], shown.rules))
    samples, pictures = [], []
    for before in batch:
        key = before.sample.key
        path = None if before.fingerprint is None else Path(key)
        samples.append(Sample(key, path, before.sample.urls))
        if path is not None:
            pictures.append(Hashed(Place(path), before.fingerprint, "", before.reading))
    yield from zip(batch, judge(samples, pictures, judges), strict=True)


def _rules(before: Verdict, shown: Rules) -> Rules:
    decision = before.decision
    if decision is None:
        raise DatasetError(f"{before.sample.key}: a decision without use and mode")
    # Who did the research, and what for, is in the report of the run, and decides nothing.
    who = "as before" if decision.mode is Mode.RESEARCH_ART3 else ""
    return replace(shown, use=decision.use, mode=decision.mode, organisation=who, purpose=who)

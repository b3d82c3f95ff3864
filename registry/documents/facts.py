"""What there is to tell of a filtered set, line by line, before it is told in any format.

A receipt gives what the tool measured. It also repeats words of the maker (whose own works, which licences
are met, research for whom); they stay the maker's. :class:`~registry.documents.declared.Declared` gives the
rest, its upstream as inherited. The order is that of the reader: who refused and who allowed, what was done,
where it came from, who says so.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from registry.documents.declared import CREDITED, Artist, Conveyed, Declared, Upstream
from registry.dsse import keyid_of
from registry.errors import InputError
from registry.model_receipt import Signed
from registry.oneline import one_line
from registry.preference import Mode
from registry.reasons import protocol_name
from registry.receipt import Asked, Content, Counts, Receipt

__all__ = [
    "NOT_STATED",
    "Fact",
    "Section",
    "Source",
    "Told",
    "are_pictures",
    "digest_text",
    "name_of",
    "sections_of",
]

NOT_STATED = "not stated"
"""What stands where nobody said anything."""

_CAUSES = {
    "url": "by address",
    "prefix": "by folder address",
    "host": "by host",
    "domain": "by domain",
    "sha256": "as the same file",
    "pdq": "as copies",
    "phash": "as possible copies",
    "unknown": "of which nobody has said anything, the mode being strict",
    "another": "that went with another",
}
_TABLES = ("csv", "tsv", "parquet", "lance")
_NO_REFUSALS = ("unknown", "another")
_WAYS = {
    "full": "asked about each sample",
    "marks": "asked which keys it knows, and about those",
    "private": "asked by the beginnings of keys",
    "snapshot": "a copy on the maker’s machine",
}


class Source(StrEnum):
    """Who vouches for a line."""

    MEASURED = "measured"
    DECLARED = "declared"
    INHERITED = "inherited"


@dataclass(frozen=True, slots=True)
class Fact:
    """A line: what it is about, what is said, by whom. ``text`` is one line."""

    name: str
    text: str
    source: Source

    @property
    def labelled(self) -> str:
        """The line as it stands where there are no columns: ``measured: Kept: 3 of 6 samples``."""
        return f"{self.source}: {self.name}: {self.text}"


@dataclass(frozen=True, slots=True)
class Section:
    """Lines under one title."""

    title: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """What a document is made of: a receipt whose signature is right, and what its maker declares.

    Raises :class:`InputError` for a grant that is declared and that the run did not have.
    """

    signed: Signed
    declared: Declared = Declared()  # noqa: RUF009 - frozen

    def __post_init__(self) -> None:
        for artist in self.declared.artists:
            if artist.grant and artist.grant not in self.receipt.configuration.grants:
                raise InputError(
                    f"grant of {artist.name[:80]}: not among those that the receipt names",
                    hint="Filter with it, caveat filter --grant, or leave it out.",
                )

    @property
    def receipt(self) -> Receipt:
        """The receipt."""
        return self.signed.receipt


def sections_of(told: Told) -> tuple[Section, ...]:
    """Return everything that is told, in the order of the reader."""
    return (
        Section("Refusals and consents", tuple(_consents(told))),
        Section("What was filtered", tuple(_run(told))),
        Section("Where it comes from", tuple(_origins(told.declared))),
        Section("What the maker says", tuple(_maker(told.declared))),
    )


def name_of(told: Told) -> str:
    """Return what the filtered set is called: by its title, else by its digest."""
    title = told.declared.title
    if title:
        return f"Training data of {title}" if told.declared.kind == "model" else title
    [digest] = told.receipt.output.digest.values()
    return f"Filtered dataset {digest[:12]}"


def are_pictures(receipt: Receipt) -> bool:
    """Say whether each sample that was kept was read as a picture; of a table only addresses may be."""
    return receipt.configuration.format not in _TABLES


def digest_text(content: Content) -> str:
    """Return a digest with its algorithm before it."""
    [(algorithm, digest)] = content.digest.items()
    return f"{algorithm}:{digest}"


def _consents(told: Told) -> Iterator[Fact]:
    yield from _refusals(told.receipt)
    if told.receipt.configuration.grants:
        number, kept = len(told.receipt.configuration.grants), told.receipt.counts.granted
        yield _measured("Grants", f"{number:,} from those who had refused, by which {kept:,} are kept")
    if told.receipt.configuration.licences:
        met = ", ".join(map(one_line, told.receipt.configuration.licences))
        yield Fact("Conditions the maker meets", met, Source.DECLARED)
    for artist in sorted(told.declared.artists, key=lambda one: one.says == CREDITED):
        yield Fact("Credited" if artist.says == CREDITED else "Consent", _artist(artist), Source.DECLARED)
    if not told.declared.artists:
        yield Fact("Consents and credits", NOT_STATED, Source.DECLARED)


def _refusals(receipt: Receipt) -> Iterator[Fact]:
    by, counts = receipt.counts.removed_by, receipt.counts
    besides = {name: by[name] for name in _NO_REFUSALS if name in by}
    refused = {name: count for name, count in sorted(by.items()) if name not in besides}
    said = f"{_of(sum(refused.values()), counts)} left out{_causes(refused)}"
    if receipt.configuration.mode == Mode.RESEARCH_ART3:
        said = f"recorded and not obeyed, as research under Article 3; {said}"
    yield _measured("Refusals", said)
    if besides:
        yield _measured("Left out besides", f"{_of(sum(besides.values()), counts)}{_causes(besides)}")


def _causes(by: Mapping[str, int]) -> str:
    told = ", ".join(f"{count:,} {_cause(name)}" for name, count in by.items())
    return f" ({told})" if told else ""


def _cause(name: str) -> str:
    return _CAUSES.get(name) or f"by {protocol_name(one_line(name))}"


def _artist(artist: Artist) -> str:
    what = {"conditional": "allowed on a condition", CREDITED: ""}.get(artist.says, artist.says)
    use = f" for {artist.use}" if artist.use and what else ""
    terms = artist.terms or (NOT_STATED if what else "")
    contact = artist.contact or (NOT_STATED if what else "")
    parts = (
        *(f"{what}{use}", terms and f"terms: {terms}", contact and f"contact: {contact}"),
        artist.record and f"record: {artist.record}",
        artist.grant and f"by a grant that the run had: sha256:{artist.grant}",
    )
    said = "; ".join(filter(None, parts))
    return f"{artist.name}: {said}" if said else artist.name


def _run(told: Told) -> Iterator[Fact]:
    receipt, counts, how = told.receipt, told.receipt.counts, told.receipt.configuration
    tool = f"{one_line(receipt.tool.name)} {one_line(receipt.tool.version)}"
    asked = f"for {one_line(how.use)}, mode {one_line(how.mode)}"
    yield _measured("Filtered", f"{receipt.finished[:10]} by {tool}, {asked}")
    yield from (_measured("Registry", _registry(one)) for one in receipt.registries)
    yield _measured("Sites of the works", "asked too" if how.site_signals else "not asked")
    yield _measured("Kept", _of(counts.kept, counts))
    yield _measured("Nobody has said anything", f"{_of(counts.unknown, counts)}; that is no consent")
    if counts.review:
        yield _measured("Possible copies", f"{counts.review:,} kept, for the maker to look at")
    if counts.errors:
        yield _measured("Set aside", f"{counts.errors:,} that could not be checked; not in the set")
    if how.min_evidence:
        few = f"those below level {how.min_evidence} did not count, for {_of(counts.below_evidence, counts)}"
        yield _measured("Records", few)
    yield from _words_of_the_maker(receipt)
    yield _measured("Output", f"{receipt.output.files:,} files, {digest_text(receipt.output)}")
    yield _measured("Receipt", f"sha256:{told.signed.sha256}, signed by {keyid_of(told.signed.signer)}")


def _words_of_the_maker(receipt: Receipt) -> Iterator[Fact]:
    how = receipt.configuration
    if how.own_works:
        yield Fact("The maker’s own works", f"{receipt.counts.own:,} kept, not proven", Source.DECLARED)
    if how.organisation:
        yield Fact("Research by", one_line(how.organisation), Source.DECLARED)
    if how.purpose:
        yield Fact("Research for", one_line(how.purpose), Source.DECLARED)


def _registry(one: Asked) -> str:
    names = [one_line(name) for name in (one.url, one.origin) if name and one_line(name)] or [NOT_STATED]
    state = "asked about nothing" if one.as_of_seq is None else f"as of event {one.as_of_seq:,}"
    return f"{' · '.join(names)}, {state} ({_WAYS[one.asked]})"


def _origins(declared: Declared) -> Iterator[Fact]:
    if declared.kind != "dataset":
        yield _inherited("Base model", _upstream(declared.base_model))
    yield from (_inherited("Made from", _upstream(one)) for one in declared.upstream or (None,))
    yield from (_inherited("Preference that came with it", _conveyed(one)) for one in declared.conveyed)
    if not declared.conveyed:
        yield _inherited("Preferences that came with it", NOT_STATED)


def _upstream(one: Upstream | None) -> str:
    if one is None:
        return NOT_STATED
    licence = f"licence: {one.licence or NOT_STATED}"
    return "; ".join(filter(None, (one.name, one.url, licence)))


def _conveyed(one: Conveyed) -> str:
    parts = (f"{one.preference} for {one.use}", one.terms and f"terms: {one.terms}", one.carrier)
    return f"{one.of}: {'; '.join(filter(None, parts))}"


def _maker(declared: Declared) -> Iterator[Fact]:
    title = declared.title and f"{declared.title}{f' ({declared.kind})' if declared.kind else ''}"
    yield _declared("Title", title)
    yield _declared("Author", declared.author)
    yield _declared("Contact", declared.contact)
    yield _declared("Licence", declared.licence)
    yield _declared("Published", " ".join(filter(None, (declared.published, declared.url))))
    yield from (_declared("Made for", one) for one in declared.purposes or ("",))
    yield from (_declared("Limits", one) for one in declared.limits or ("",))


def _of(count: int, counts: Counts) -> str:
    return f"{count:,} of {counts.samples:,}"


def _measured(name: str, text: str) -> Fact:
    return Fact(name, text, Source.MEASURED)


def _inherited(name: str, text: str) -> Fact:
    return Fact(name, text, Source.INHERITED)


def _declared(name: str, text: str) -> Fact:
    return Fact(name, text or NOT_STATED, Source.DECLARED)

"""A letter to a platform about a model: what is reserved, since when, by which proof, and what is asked for.

It has the elements of a notice under Article 16 of Regulation (EU) 2022/2065 (Digital Services Act): why the
sender holds the content to be unlawful, where exactly it is, who sends it, and that they believe it in good
faith. What only the sender knows is theirs to say. It never says that a model was trained on a work: whoever
trained it knows that, and nobody else.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from registry.errors import InputError
from registry.oneline import one_line
from registry.paper.sheet import Facts, Lines, Part, Points, Section, Sheet, Text, time_of
from registry.paper.standing import Standing, rule_text, said_rows, standing_of, work_rows
from registry.urls import canonicalize_url

__all__ = ["GOOD_FAITH", "LISTED", "Enclosed", "Notice", "notice_sheet", "proof_lines"]

GOOD_FAITH = (
    "I believe in good faith that the information and the allegations in this notice are accurate "
    "and complete."
)
"""The statement that Article 16(2)(d) asks for."""
LISTED = 20
"""Works that stand in the letter; the evidence has all of them."""

_LONGEST = {"platform": 200, "name": 200, "email": 254, "reason": 5_000}
_MAILBOX = re.compile(r"[^@\s<>\"]+@[^@\s<>\"]+\.[^@\s<>\".]+")
_MOST_MODELS = 50
_CODES = frozenset({"address", "SHA-256", "record", "work", "key"})


@dataclass(frozen=True, slots=True)
class Notice:
    """What the sender says: to whom, about what at which addresses, why, and who they are.

    ``works`` names those of the record that it is about, all if empty. Raises :class:`InputError` that names
    what cannot stand in a letter.
    """

    platform: str
    models: tuple[str, ...]
    name: str
    email: str
    reason: str
    works: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name in _LONGEST:
                _require_text(field.name, getattr(self, field.name))
        if not _MAILBOX.fullmatch(self.email):
            raise InputError(f"e-mail: {self.email[:80]!r} is no address", hint="Give it as ada@ada.example.")
        if not self.models or len(self.models) > _MOST_MODELS:
            raise InputError(
                f"{len(self.models)} addresses of models; one to {_MOST_MODELS} go into a notice"
            )
        for url in self.models:
            canonicalize_url(url)
            _require_text("model", url, 2_000)


@dataclass(frozen=True, slots=True)
class Enclosed:
    """What goes along with the letter: the evidence, who keeps the record, and the files by their SHA-256."""

    evidence: Mapping[str, Any]
    registry: str
    keys: tuple[str, ...]
    files: tuple[tuple[str, str], ...]
    made: int


def notice_sheet(notice: Notice, enclosed: Enclosed) -> Sheet:
    """Return the letter. Raises :class:`InputError` for a work that is not in the record."""
    standing = standing_of(enclosed.evidence)
    return Sheet(
        title="Notice about a model and works that are reserved",
        subtitle=f"To {notice.platform}",
        made=enclosed.made,
        foot=f"Record {enclosed.evidence['record']} at {enclosed.registry}",
        sections=(
            Section("Who sends this", (Facts((("name", notice.name), ("e-mail", notice.email))),)),
            _where(notice),
            _works(notice, enclosed.evidence, standing),
            _said(enclosed, standing),
            _why(notice, standing),
            _asked(),
            Section("Statement", (Text(GOOD_FAITH), Text(notice.name))),
            _enclosed(enclosed),
            _elements(),
        ),
    )


def _require_text(name: str, text: str, longest: int | None = None) -> None:
    longest = longest or _LONGEST[name]
    lines = text.split("\n") if name == "reason" else [text]
    if not one_line(text) or len(text) > longest or not all(line.isprintable() for line in lines):
        raise InputError(f"{name}: expected text of at most {longest:,} characters, got {text[:40]!r}")


def _where(notice: Notice) -> Section:
    told = "The model is offered here:" if len(notice.models) == 1 else "The models are offered here:"
    return Section("Where it is", (Text(told), Lines(notice.models)))


def _works(notice: Notice, evidence: Mapping[str, Any], standing: Standing) -> Section:
    listed = _chosen(notice.works, evidence, standing)
    parts: list[Part] = []
    if listed:
        count = len(listed) if notice.works else len(listed) + standing.imported
        parts.append(Text(_counted(count, len(listed[:LISTED]))))
        parts += [Facts((("work", name), *work_rows(row)), _CODES) for name, row in listed[:LISTED]]
    elif standing.imported:
        parts.append(Text(f"{standing.imported:,} works, lodged in one import; the registry names each."))
    if standing.rules and not notice.works:
        told = tuple((rule["kind"], rule_text(rule)) for rule in standing.rules[:LISTED])
        parts += [Text("All works at these addresses:"), Facts(told, frozenset(name for name, _ in told))]
    return Section("Which works", tuple(parts))


def _chosen(
    named: Sequence[str], evidence: Mapping[str, Any], standing: Standing
) -> list[tuple[str, Mapping[str, Any]]]:
    known = dict(standing.works)
    known |= {work["work"]: work["row"] for work in evidence.get("works", ())}
    missing = [name for name in named if name not in known]
    if missing:
        raise InputError(
            f"work {missing[0][:40]!r} is not in record {evidence['record']}",
            hint="caveat export tells the names of its works, such as 3.0.",
        )
    return [(name, known[name]) for name in named or known]


def _counted(count: int, listed: int) -> str:
    works = "1 work" if count == 1 else f"{count:,} works"
    return f"{works}:" if count == listed else f"{works}, of which these are {listed}; the evidence has all:"


def _said(enclosed: Enclosed, standing: Standing) -> Section:
    first = enclosed.evidence["events"][0]
    are = "are" if standing.withdrawn_at is None else "were"
    rows = [
        ("record", enclosed.evidence["record"]),
        ("registry", enclosed.registry),
        ("since", f"{time_of(first['at'])}, event {first['seq']:,} of its log"),
        *said_rows(standing.version),
    ]
    if standing.withdrawn_at is not None:
        rows.append(("until", f"{time_of(standing.withdrawn_at)}, when it was withdrawn"))
    told = (
        f"The works {are} reserved in a public registry that machines read. What was said of them, in "
        "every version, "
        "and the proof that it stands in the registry's log, are enclosed."
    )
    return Section("What is said of them, and since when", (Text(told), Facts(tuple(rows), _CODES)))


def _why(notice: Notice, standing: Standing) -> Section:
    own = tuple(Text(line) for line in notice.reason.split("\n") if one_line(line))
    uses = ", ".join(_restricted(standing))
    stand = "are" if standing.withdrawn_at is None else "were, until they were withdrawn,"
    law = (
        f"The uses {uses} {stand} reserved, or under conditions. Article 4(3) of Directive (EU) 2019/790 "
        "lets rightsholders reserve text and data mining of what is online by machine-readable means. I have "
        "not permitted this use, and found no receipt with the model that shows that its training data were "
        "filtered against such reservations."
    )
    limit = (
        "What I cannot know: whether the model was trained on these works. A record shows what was "
        "reserved, and "
        "since when; what a model was trained on is known to whoever trained it."
    )
    return Section("Why I write", (*own, Text(law), Text(limit)))


def _restricted(standing: Standing) -> list[str]:
    """Return the uses that are not free. Raises :class:`InputError` when nothing is reserved."""
    uses = [use for use, said in standing.preferences.items() if said in ("reserved", "conditional")]
    if not uses:
        raise InputError("the record reserves nothing", hint="A notice is about works that are reserved.")
    return uses


def _asked() -> Section:
    items = (
        "Confirm that this notice has arrived.",
        "Ask whoever offers the model whether these works were in its training data, and when it was "
        "trained; ask "
        "for the receipt of its filtering, or the list of what it was trained on.",
        "If the works were used after they were reserved and without permission, or if no answer "
        "comes, remove the "
        "model or disable access to it at the addresses above.",
        "Tell me what you decided, why, and how that can be contested.",
    )
    return Section("What I ask", (Points(items, numbered=True),))


def _enclosed(enclosed: Enclosed) -> Section:
    key = enclosed.keys[0] if enclosed.keys else "KEY"
    told = (
        "Anybody can check the evidence without asking me or the registry, once they know the public "
        "key of its log "
        "from elsewhere:"
    )
    command = f"caveat log verify evidence.json --log-key '{key}'"
    codes = frozenset(name for name, _ in enclosed.files)
    return Section("Enclosed", (Facts(enclosed.files, codes), Text(told), Lines((command,))))


def _elements() -> Section:
    rows = (
        ("16(2)(a)", "why the content is held to be unlawful: “Why I write”"),
        ("16(2)(b)", "its exact location: “Where it is”; what identifies the works: “Which works”"),
        ("16(2)(c)", "name and e-mail: “Who sends this”"),
        ("16(2)(d)", "good faith: “Statement”"),
    )
    told = (
        "The form follows Article 16 of Regulation (EU) 2022/2065 (Digital Services Act). A program put it "
        "together from a public record and from what the sender said. It is no legal advice."
    )
    return Section("About this form", (Text(told), Facts(rows)))


def proof_lines(evidence: Mapping[str, Any], keys: Sequence[str]) -> Iterator[str]:
    """Yield the proof of each event as text, for those who check it by hand."""
    yield from (f"key {key}" for key in keys)
    for event in evidence["events"]:
        yield ""
        yield f"event {event['seq']} {event['op']}, {time_of(event['at'])}"
        yield f"leaf {event['leaf']}"
        yield f"place {event['seq'] - 1}, counted from 0"
        if event["proof"] is None:
            yield "not under the signed state yet"
        else:
            yield from (f"hash {one}" for one in event["proof"])
    for work in evidence.get("works", ()):
        yield ""
        yield f"work {work['work']} of {work['of']}, salt {work['salt']}"
        yield from (f"hash {one}" for one in work["proof"])

"""What a person filled in to lodge works: read field by field, so that each fault stands at its field.

Addresses are lodged one by one, as works. A whole website wants a proof that it is one's own; without one it
is told what to publish there. Pictures are hashed here only where that was chosen, and forgotten; one that
cannot be hashed is named with its reason, and the others are lodged.
"""

import csv
import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from werkzeug.exceptions import ServiceUnavailable

from api.state import state
from api.web.pictures import hashed_to_register
from api.web.sending import Form
from registry.errors import CaveatError, InputError, PayloadTooLargeError
from registry.oneline import one_line
from registry.preference import Preference, Use
from registry.registrar import Draft, WorkDraft
from registry.signals.writing.choice import address
from registry.urls import canonicalize_url, url_rule

__all__ = ["MOST_PICTURES", "Filled", "NotLodged", "faults_of_terms", "filled", "hashed_pictures"]

MOST_PICTURES = 25
"""Pictures that are hashed for one form: each takes a second or so, one after the other."""
_MOST_FAULTS = 20
_LENGTHS = {"label": 200, "terms": 2000, "contact": 500}
_TITLE = 200


@dataclass(frozen=True, slots=True)
class NotLodged:
    """A file or an address that was not lodged, and why."""

    name: str
    reason: str


@dataclass(slots=True)
class Filled:
    """What was filled in; ``faults`` has what is wrong, by field."""

    draft: Draft
    website: str = ""
    faults: dict[str, CaveatError] = field(default_factory=dict)

    def with_works(self, works: list[WorkDraft]) -> "Filled":
        """Return the same with more works."""
        return replace(self, draft=replace(self.draft, works=(*self.draft.works, *works)))

    def digest(self) -> str:
        """Return what tells these works and words from others, so that a form that is sent again is known."""
        draft = self.draft
        words = [
            draft.label,
            draft.terms,
            draft.contact,
            str(draft.public),
            str(sorted(draft.preferences.items())),
        ]
        works = [f"{one.title}\0{one.url}\0{(one.sha256 or b'').hex()}" for one in draft.works]
        return hashlib.sha256("\n".join([*words, *works]).encode()).hexdigest()


def filled(form: Form, *, words: bool = True) -> Filled:
    """Read a form; without ``words`` only works, to be added to what was said before."""
    fields, faults = form.fields, dict[str, CaveatError]()
    preferences: Mapping[Use, Preference] = {}
    texts = dict.fromkeys(_LENGTHS, "")
    if words:
        preferences = _preferences(fields, faults)
        texts = {name: _text(fields, name, faults) for name in _LENGTHS}
        faults |= {} if "terms" in faults else faults_of_terms(preferences, texts["terms"])
    works = _addresses(fields.get("addresses", ""), faults) | _list(form, faults)
    most = state().settings.max_items
    if len(works) > most:
        faults["addresses"] = PayloadTooLargeError(f"{len(works):,} addresses; at most {most:,} at once")
    website = _website(fields.get("website", "").strip(), faults)
    draft = Draft(preferences, tuple(works.values()), (), **texts, public="public" in fields)
    return Filled(draft, website, faults)


def hashed_pictures(form: Form, faults: dict[str, CaveatError]) -> tuple[list[WorkDraft], list[NotLodged]]:
    """Hash what was sent to be hashed here, and forget it; say what could not be."""
    sent = list(form.every("pictures"))
    if sent and "upload" not in form.fields:
        faults["pictures"] = InputError(
            "pictures were sent, and the box below was not ticked",
            hint="They were forgotten unread. Tick it to have this server hash them.",
        )
    elif len(sent) > MOST_PICTURES:
        faults["pictures"] = PayloadTooLargeError(
            f"{len(sent)} pictures; at most {MOST_PICTURES} at once",
            hint="Send the others afterwards, under the same code.",
        )
    if "pictures" in faults:
        return [], []
    works: dict[bytes, WorkDraft] = {}
    failed = []
    for data, name in sent:
        try:
            work = _hashed(data, name)
            works.setdefault(work.sha256 or b"", work)
        except CaveatError as error:
            failed.append(NotLodged(name, f"{error.message}. {error.hint}".strip()))
        except ServiceUnavailable:
            failed.append(NotLodged(name, "too many pictures are being hashed just now. Send it again."))
    return list(works.values()), failed


def _hashed(data: bytes, name: str) -> WorkDraft:
    most = state().settings.max_picture_bytes
    if len(data) > most:
        raise PayloadTooLargeError(
            f"larger than {most / 2**20:,.0f} MiB", hint="Send a smaller version of it."
        )
    print_ = hashed_to_register(data)
    return WorkDraft(one_line(name)[:_TITLE], None, print_.sha256, print_)


def _preferences(fields: Mapping[str, str], faults: dict[str, CaveatError]) -> dict[Use, Preference]:
    words = {use: fields[use] for use in Use if fields.get(use)}
    known = {Preference.RESERVED, Preference.CONDITIONAL, Preference.ALLOWED}
    wrong = [use for use, word in words.items() if word not in known]
    for use in wrong:
        faults[use] = InputError(f"{words[use][:40]!r} is no answer", hint="Choose one of the list.")
    if not words:
        faults[Use.GENAI_TRAIN] = InputError("nothing is said of any use", hint="Choose what may be done.")
    return {use: Preference(word) for use, word in words.items() if use not in wrong}


def _text(fields: Mapping[str, str], name: str, faults: dict[str, CaveatError]) -> str:
    text = fields.get(name, "").strip()
    if len(text) > _LENGTHS[name] or "\0" in text:
        faults[name] = InputError(f"longer than {_LENGTHS[name]:,} characters, or with characters of no text")
        return ""
    return text


def faults_of_terms(preferences: Mapping[Use, Preference], terms: str) -> dict[str, CaveatError]:
    """Return what is wrong with the terms, under which some uses may be: they are an address."""
    if not terms and Preference.CONDITIONAL in preferences.values():
        hint = "Give the address of a page with your terms."
        return {"terms": InputError("“ask me” needs a place to ask", hint=hint)}
    try:
        if terms:
            address(terms)
    except InputError as error:
        return {"terms": error}
    return {}


def _addresses(text: str, faults: dict[str, CaveatError]) -> dict[str, WorkDraft]:
    rows = ((number, line.strip(), "") for number, line in enumerate(text.splitlines(), 1))
    return _works(rows, "addresses", faults)


def _list(form: Form, faults: dict[str, CaveatError]) -> dict[str, WorkDraft]:
    data, _ = form.file("list")
    try:
        return _works(_rows(data), "list", faults)
    except (UnicodeDecodeError, csv.Error) as error:
        faults["list"] = InputError(f"not a list in UTF-8: {error}", hint="Save it as CSV, in UTF-8.")
        return {}


def _rows(data: bytes) -> Iterator[tuple[int, str, str]]:
    """Yield line, address and title; without a column ``url`` the first column has the addresses."""
    rows = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
    url, title = 0, None
    for number, row in enumerate(rows, 1):
        names = [one.strip().lower() for one in row]
        if number == 1 and "url" in names:
            url, title = names.index("url"), names.index("title") if "title" in names else None
        elif len(row) > url:
            yield number, row[url].strip(), row[title] if title is not None and len(row) > title else ""


def _works(
    rows: Iterator[tuple[int, str, str]], place: str, faults: dict[str, CaveatError]
) -> dict[str, WorkDraft]:
    """Return the works by their addresses, each once; one wrong line refuses them all, and each is named."""
    works: dict[str, WorkDraft] = {}
    wrong = []
    for number, text, title in rows:
        try:
            if text:
                url = canonicalize_url(_spelled(text))
                works.setdefault(url, WorkDraft(one_line(title)[:_TITLE], url))
        except InputError as error:
            wrong.append(f"line {number}: {error.message}")
    if wrong:
        more = f", and {len(wrong) - _MOST_FAULTS:,} more" if len(wrong) > _MOST_FAULTS else ""
        faults[place] = InputError("; ".join(wrong[:_MOST_FAULTS]) + more, hint="Mend or delete them.")
    return works


def _spelled(text: str) -> str:
    """Return an address with its scheme. Raises :class:`InputError` for a website without a page."""
    if "://" in text:
        return text
    if "/" not in text:
        raise InputError(f"{text[:120]!r} is no address of one work")
    return f"https://{text}"


def _website(text: str, faults: dict[str, CaveatError]) -> str:
    try:
        return url_rule("domain", text).text if text else ""
    except InputError as error:
        faults["website"] = error
        return ""

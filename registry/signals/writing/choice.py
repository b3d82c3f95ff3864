"""What a publisher chose, said once, and what of it a protocol can carry.

Each protocol has words for some uses only, or one word for several. Two rules hold for every writer here:

1. a word that permits is written only if every use that it speaks about is allowed;
2. a word that restricts is written as soon as one of its uses is restricted: no reservation is left out
   because the protocol cannot say it of that use alone.

So what is written never permits more than was meant. :func:`losses` tells the rest.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import ada_url

from registry.errors import InputError, InvalidUrlError
from registry.preference import Preference, Use
from registry.urls import MAX_URL_LENGTH

__all__ = [
    "DEFAULT_RESERVED",
    "Choice",
    "Loss",
    "Written",
    "address",
    "choice",
    "losses",
    "origin",
    "stricter",
    "told",
    "worded",
]

DEFAULT_RESERVED = tuple(use for use in Use if use is not Use.SEARCH)
"""What is reserved by who says nothing else."""

_RESERVED, _CONDITIONAL, _ALLOWED = Preference.RESERVED, Preference.CONDITIONAL, Preference.ALLOWED

# Characters that a URL may hold and that the files in which it is written give a meaning of their own.
_ESCAPED = str.maketrans({one: f"%{ord(one):02X}" for one in "\"'$\\`<>{}|^,"})


@dataclass(frozen=True, slots=True)
class Choice:
    """Use → reserved, conditional or allowed; of other uses nothing is said.

    ``terms`` is where a licence is to be had. :func:`choice` makes one that holds together.
    """

    preferences: Mapping[Use, Preference]
    terms: str = ""

    def of(self, uses: Iterable[Use]) -> list[Preference | None]:
        """Return what was said of these uses, None where nothing was."""
        return [self.preferences.get(use) for use in uses]


@dataclass(frozen=True, slots=True)
class Loss:
    """A use of which a protocol says something else than was meant; None is nothing."""

    use: Use
    meant: Preference | None
    told: Preference | None

    @property
    def sentence(self) -> str:
        """What happened to it, in words."""
        return _SENTENCES[self.meant, self.told].format(self.use)


@dataclass(frozen=True, slots=True)
class Written:
    """A text in one protocol's words: where it belongs, what it carries, and what else is to be known."""

    protocol: str
    text: str
    carried: Mapping[Use, Preference]
    place: str
    notes: tuple[str, ...] = field(default=())


_SENTENCES = {
    (_RESERVED, None): "{}: reserved, and not said: there is no word for it",
    (_CONDITIONAL, None): "{}: on your terms, and not said: there is no word for it",
    (_ALLOWED, None): "{}: allowed, and not said: there is no word for it alone",
    (_CONDITIONAL, _RESERVED): "{}: on your terms, and said to be reserved: there is no word for terms",
    (_ALLOWED, _RESERVED): "{}: allowed, and said to be reserved: one word stands for it and for what is not",
    (_ALLOWED, _CONDITIONAL): "{}: allowed, and said to be on your terms: one word stands for all uses",
    (None, _RESERVED): "{}: said to be reserved too: one word stands for it and for what you reserve",
    (None, _CONDITIONAL): "{}: said to be on your terms too: one word stands for all uses",
}


def choice(
    reserve: Sequence[Use] = (),
    allow: Sequence[Use] = (),
    condition: Sequence[Use] = (),
    terms: str = "",
) -> Choice:
    """Return what was chosen; without ``reserve`` all but search that is not named otherwise is reserved.

    ``condition`` are the uses that want a licence under ``terms``. Raises :class:`InputError` for a use that
    is named twice and for a condition without terms, :class:`InvalidUrlError` for terms that are no address.
    """
    named = [*reserve, *allow, *condition]
    doubled = sorted({str(use) for use in named if named.count(use) > 1 and not _same(use, named, reserve)})
    if doubled:
        raise InputError(
            f"{', '.join(doubled)}: reserved, allowed or on terms, and more than one of these was named",
            hint="Name each use once.",
        )
    if condition and not terms:
        raise InputError(
            "a use on terms, and no terms", hint="Say where a licence is to be had: --terms URL."
        )
    reserved = reserve or [use for use in DEFAULT_RESERVED if use not in named]
    said = {
        **dict.fromkeys(reserved, _RESERVED),
        **dict.fromkeys(condition, _CONDITIONAL),
        **dict.fromkeys(allow, _ALLOWED),
    }
    return Choice({use: said[use] for use in Use if use in said}, address(terms) if terms else "")


def _same(use: Use, named: Sequence[Use], reserve: Sequence[Use]) -> bool:
    """Say whether a use that stands several times always says that it is reserved."""
    return named.count(use) == list(reserve).count(use)


def losses(choice: Choice, carried: Mapping[Use, Preference]) -> list[Loss]:
    """Return each use of which ``carried`` says something else than was meant, in the order of uses."""
    every = ((use, choice.preferences.get(use), carried.get(use)) for use in Use)
    return [Loss(use, meant, told) for use, meant, told in every if meant is not told]


def worded(choice: Choice, words: Mapping[str, Sequence[Use]]) -> dict[str, Preference]:
    """Return word → reserved or allowed, for protocols whose words say yes or no; others are left out."""
    return {word: said for word, uses in words.items() if (said := _word(choice.of(uses))) is not None}


def _word(meant: Sequence[Preference | None]) -> Preference | None:
    if _RESERVED in meant or _CONDITIONAL in meant:
        return _RESERVED
    return _ALLOWED if meant and all(one is _ALLOWED for one in meant) else None


def told(said: Mapping[str, Preference], words: Mapping[str, Sequence[Use]]) -> dict[Use, Preference]:
    """Return what these words say of each use."""
    return stricter(*(dict.fromkeys(words[word], value) for word, value in said.items()))


def stricter(*every: Mapping[Use, Preference]) -> dict[Use, Preference]:
    """Return, for each use, the most restrictive of what is said."""
    found: dict[Use, Preference] = {}
    for said in every:
        for use, value in said.items():
            found[use] = max(found.get(use, value), value, key=lambda one: one.restriction)
    return found


def address(text: str) -> str:
    """Return an http(s) address in a spelling that no file in which it is written takes for its own signs.

    Raises :class:`InvalidUrlError` for anything else, for one with a user name, and for one that is too long.
    """
    try:
        url = ada_url.URL(text)
    except ValueError as error:
        raise InvalidUrlError(f"not a URL: {text[:120]!r}", hint="It begins with https://.") from error
    if url.protocol not in ("http:", "https:") or url.username or url.password:
        raise InvalidUrlError(
            f"not an http or https address without a user name: {text[:120]!r}",
            hint="It begins with https://.",
        )
    spelled: str = url.href.translate(_ESCAPED)
    if len(spelled) > MAX_URL_LENGTH:
        raise InvalidUrlError(f"an address of {len(spelled)} characters; at most {MAX_URL_LENGTH} are taken")
    return spelled


def origin(text: str) -> str:
    """Return the address of a site, ``https://host``, without a slash at its end.

    Raises :class:`InvalidUrlError` for an address below it: these files speak for a whole host.
    """
    url = address(text)
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    if path:
        raise InvalidUrlError(
            f"{text[:120]!r} is an address below a site; robots.txt and its kind speak for a whole host",
            hint=f"Give the site alone: {scheme}://{host}.",
        )
    return f"{scheme}://{host}"

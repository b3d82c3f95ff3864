"""What a picture is to say itself, in XMP: which of IPTC's words, and of TDMRep's, stand for a choice.

IPTC's Data Mining property has one value for the whole: the narrowest is taken that leaves no reservation of
training out. TDMRep stands beside it where that value says less than was meant, and where it adds nothing.
"""

from collections.abc import Mapping

from registry.errors import InputError
from registry.preference import Preference, Use
from registry.signals.iptc import USES, DataMining
from registry.signals.writing.choice import Choice, stricter
from registry.signals.writing.site import TDM_USES, tdm_reservation
from registry.signals.writing.xmp import XmpRights

__all__ = ["xmp_rights"]

_RESERVED, _CONDITIONAL, _ALLOWED = Preference.RESERVED, Preference.CONDITIONAL, Preference.ALLOWED
_TRAINING = frozenset({Use.TRAIN, Use.GENAI_TRAIN})
_PERMITS = frozenset({Use.TDM, *_TRAINING})


def xmp_rights(choice: Choice) -> tuple[XmpRights, dict[Use, Preference]]:
    """Return what is to stand in the XMP of a picture, and what that says of each use.

    Raises :class:`InputError` when it would say nothing.
    """
    code = _data_mining(choice)
    tdm = _tdm(choice, USES[code])
    carried = stricter(USES[code], tdm)
    if not carried:
        raise InputError(
            "XMP would say nothing of what you chose",
            hint="What is allowed it says of tdm, train and genai-train together.",
        )
    value = next(iter(tdm.values()), None)
    rights = XmpRights(
        code,
        constraints=choice.terms if code is DataMining.SEE_CONSTRAINT else "",
        web_statement=choice.terms,
        reservation=None if value is None else value is not _ALLOWED,
        policy=choice.terms if value is _CONDITIONAL else "",
    )
    return rights, carried


def _data_mining(choice: Choice) -> DataMining:
    restricted = _restricted(choice)
    if not restricted:
        is_allowed = all(one is _ALLOWED for one in choice.of(_PERMITS))
        return DataMining.ALLOWED if is_allowed else DataMining.UNSPECIFIED
    if _RESERVED not in choice.preferences.values():
        return DataMining.SEE_CONSTRAINT
    if Use.SEARCH in restricted:
        return DataMining.PROHIBITED
    if restricted - _TRAINING and choice.preferences.get(Use.SEARCH) is _ALLOWED:
        return DataMining.PROHIBITED_EXCEPT_SEARCH
    if Use.TRAIN in restricted:
        return DataMining.PROHIBITED_AI_TRAINING
    return DataMining.PROHIBITED_GENAI_TRAINING if restricted & _TRAINING else DataMining.UNSPECIFIED


def _restricted(choice: Choice) -> frozenset[Use]:
    restricting = (_RESERVED, _CONDITIONAL)
    return frozenset(use for use, value in choice.preferences.items() if value in restricting)


def _tdm(choice: Choice, said: Mapping[Use, Preference]) -> dict[Use, Preference]:
    """Return what TDMRep says beside ``said``; nothing where it would only say more than was meant."""
    try:
        _, carried = tdm_reservation(choice)
    except InputError:
        return {}
    restricted = _restricted(choice)
    if not restricted:
        return carried
    is_needed = not restricted <= said.keys()
    return carried if is_needed or restricted >= set(TDM_USES) else {}

"""Which state of a registry's log shows what it knew at a moment, told to people and machines."""

from dataclasses import dataclass
from typing import Any

from registry.cli.common import counted
from registry.cli.log import keys_of, memory_at
from registry.client.past import Moment
from registry.errors import ProofError

__all__ = ["State", "state_of"]


@dataclass(frozen=True, slots=True)
class State:
    """A moment as it is told: in lines, and as JSON with ``shown``.

    ``shown`` is ``exactly`` or ``by a later state``, ``key not known`` or ``not yet``.
    """

    text: str
    wire: dict[str, Any]


def state_of(moment: Moment) -> State:
    """Check what shows a moment by the keys that are kept. Raises :class:`ProofError` for what is wrong.

    No key for it, or no signed state that covers the event, is told, and is no error.
    """
    shown, told = _shown(moment)
    following = f"; the next came {moment.next_at}" if moment.next_at else "; none came since"
    lines = [
        f"as of {moment.time}: event {moment.as_of_seq:,} of {moment.registry} ({moment.at}{following})",
        f"  {told}",
    ]
    if moment.erased_since:
        erased = counted(moment.erased_since, "record")
        lines.append(f"  {erased} that stood then cannot be read any more: erased since")
    return State("\n".join(lines), {**moment.to_wire(), "shown": shown})


def _shown(moment: Moment) -> tuple[str, str]:
    if moment.note is None or moment.root is None:
        return "not yet", "shown by nothing yet: no state that was signed covers this event"
    keys = keys_of(memory_at(None), moment.origin, None)
    if not keys:
        hint = f"caveat log verify --registry {moment.registry}"
        return "key not known", f"not checked: the key of {moment.origin} is not known here. Visit it: {hint}"
    try:
        checkpoint = moment.check(keys)
    except ProofError as error:
        raise ProofError(
            f"{moment.registry}: what it shows of event {moment.as_of_seq:,} does not hold: {error.message}",
            hint="Nothing follows from its answer. caveat log verify says more.",
        ) from error
    state = f"{checkpoint.origin}, {counted(moment.as_of_seq, 'event')}, root {moment.root.hex()}"
    if checkpoint.size == moment.as_of_seq:
        return "exactly", f"shown by the signed state of {state}"
    later = f"no state signed then is kept; {state}, is the beginning of the {checkpoint.size:,} signed since"
    return "by a later state", later

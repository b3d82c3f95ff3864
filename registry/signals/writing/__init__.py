"""Signals as a publisher writes them: one file a protocol, from the same words as the readers take.

Values in, text or bytes out. What of a choice a protocol cannot carry is told by
:func:`~registry.signals.writing.choice.losses`; nothing that is written permits more than was meant.
"""

from registry.signals.writing.choice import Choice, Loss, Written, choice, losses

__all__ = ["Choice", "Loss", "Written", "choice", "losses"]

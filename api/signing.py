"""The key of the log where the service signs with it: grants and countersignatures."""

from api.state import state
from registry.errors import LogError, ProofError
from registry.note import Signer

__all__ = ["log_signer", "no_log_key"]


def log_signer() -> Signer:
    """Return the key that the log is signed with. Raises :class:`LogError` when there is none to be read."""
    log = state().log
    try:
        signer = None if log is None else log.signer()
    except ProofError as error:
        raise LogError(f"the log's keys cannot be read: {error.message}") from error
    if signer is None:
        raise no_log_key()
    return signer


def no_log_key() -> LogError:
    """Return the error of a registry that has no key to sign with."""
    return LogError(
        "this registry has no key to sign with",
        hint="Its operator publishes the log: caveat log publish makes the key. A mirror has none.",
    )

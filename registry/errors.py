"""The errors of Caveat, one tree.

    CaveatError
    ├── InputError                  what was given cannot be used
    │   ├── InvalidUrlError         not an absolute http(s) URL
    │   ├── InvalidRuleError        a URL rule that would cover nothing, or everybody
    │   ├── InvalidFingerprintError a fingerprint that we would not have written
    │   ├── PictureError            bytes that do not decode to a picture
    │   │   └── PictureTooLargeError  more pixels than are decoded
    │   ├── DatasetError            a dataset that cannot be read or written
    │   │   └── FormatError         no format fits, or more than one does
    │   ├── ModelError              a model file that cannot be read or written
    │   ├── ProofError              a proof, a checkpoint or a signature that does not hold
    │   ├── GrantError              a grant that does not hold here and now
    │   ├── SnapshotError           a snapshot that is damaged, incomplete or of another kind
    │   │   └── StaleSnapshotError  older than it may be
    │   └── SettingsError           a setting that is missing or contradicts another
    ├── FetchError                  another host gave no answer
    │   └── RefusedAddressError     an address that is not called
    ├── StoreError                  an object store could not be read or written, after every retry
    ├── RegistryError               a registry could not be asked, or did not answer properly
    │   ├── RegistryUnreachableError  no connection, a time-out, or 5xx to the end
    │   ├── RegistryRefusedError    it answered 4xx
    │   └── RegistryAnswerError     short, reordered, doubled, or not of the contract's form
    └── ServiceError                what the service answers its callers
        ├── UnauthenticatedError    no key, or one that is not known
        ├── ForbiddenError          a key that may not do this
        ├── NotFoundError           no such record, or not yours
        ├── ConflictError           it contradicts what is already there
        ├── PayloadTooLargeError    more than a request may hold
        ├── UnsupportedMediaTypeError  a body of another kind than is read
        ├── TooManyRequestsError    more than one may ask for in this time
        ├── StaleIndexError         the read model could not catch up with the head
        ├── LogError                the log would have to contradict what was signed
        ├── SegmentError            an index file that is damaged, cut off or of another kind
        └── StorageError            the database cannot take the write now
            └── StorageFullError    no space left

Each says what was got, what was expected, and, as ``hint``, what to do.
"""

__all__ = [
    "CaveatError",
    "ConflictError",
    "DatasetError",
    "FetchError",
    "ForbiddenError",
    "FormatError",
    "GrantError",
    "InputError",
    "InvalidFingerprintError",
    "InvalidRuleError",
    "InvalidUrlError",
    "LogError",
    "ModelError",
    "NotFoundError",
    "PayloadTooLargeError",
    "PictureError",
    "PictureTooLargeError",
    "ProofError",
    "RefusedAddressError",
    "RegistryAnswerError",
    "RegistryError",
    "RegistryRefusedError",
    "RegistryUnreachableError",
    "SegmentError",
    "ServiceError",
    "SettingsError",
    "SnapshotError",
    "StaleIndexError",
    "StaleSnapshotError",
    "StorageError",
    "StorageFullError",
    "StoreError",
    "TooManyRequestsError",
    "UnauthenticatedError",
    "UnsupportedMediaTypeError",
]


class CaveatError(Exception):
    """Base of all errors that Caveat raises on purpose.

    ``hint`` is one sentence on what the reader can do; empty when there is nothing to say.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process boundaries (worker pools); the default would lose the keyword.
        return (_rebuild, (type(self), self.message, self.hint))


def _rebuild(kind: type[CaveatError], message: str, hint: str) -> CaveatError:
    return kind(message, hint=hint)


class InputError(CaveatError):
    """What was given cannot be used."""


class InvalidUrlError(InputError):
    """Not an absolute http(s) URL."""


class InvalidRuleError(InputError):
    """A URL rule that would cover nothing, or everybody."""


class InvalidFingerprintError(InputError):
    """A fingerprint that we would not have written."""


class PictureError(InputError):
    """Bytes that do not decode to a picture."""


class PictureTooLargeError(PictureError):
    """More pixels than are decoded."""


class DatasetError(InputError):
    """A dataset that cannot be read or written."""


class FormatError(DatasetError):
    """No dataset format fits, or more than one does."""


class ModelError(InputError):
    """A model file that cannot be read or written: not whole, or not of the form that it should have."""


class ProofError(InputError):
    """A proof, a checkpoint or a signature that does not hold, or that we would not have written."""


class GrantError(InputError):
    """A grant that does not hold here and now: expired, taken back, of another use or of another registry."""


class SnapshotError(InputError):
    """A snapshot that is damaged, incomplete, or of another kind; nothing is answered from it."""


class StaleSnapshotError(SnapshotError):
    """A snapshot that was built longer ago than is allowed."""


class SettingsError(InputError):
    """A setting that is missing or contradicts another."""


class FetchError(CaveatError):
    """Another host gave no answer, or not all of it in time."""


class RefusedAddressError(FetchError):
    """An address that is not called: not public, of another port, or not of the web."""


class StoreError(CaveatError):
    """An object store could not be read or written, after every retry; what counted before still does."""


class RegistryError(CaveatError):
    """A registry could not be asked, or did not answer properly."""


class RegistryUnreachableError(RegistryError):
    """No connection, a time-out, or an error status to the end of the retries."""


class RegistryRefusedError(RegistryError):
    """The registry refused the request."""


class RegistryAnswerError(RegistryError):
    """An answer that is short, doubled, or not of the contract's form."""


class ServiceError(CaveatError):
    """What the service answers its callers."""


class UnauthenticatedError(ServiceError):
    """No key, or one that is not known."""


class ForbiddenError(ServiceError):
    """A key that may not do this."""


class NotFoundError(ServiceError):
    """No such record, or not the caller's."""


class ConflictError(ServiceError):
    """It contradicts what is already there."""


class PayloadTooLargeError(ServiceError):
    """More than a request may hold."""


class UnsupportedMediaTypeError(ServiceError):
    """A body of another kind than is read."""


class TooManyRequestsError(ServiceError):
    """More than one may ask for in this time; nothing was done."""


class StaleIndexError(ServiceError):
    """The read model could not catch up with the head, so nothing can be answered."""


class LogError(ServiceError):
    """The events are not those that the log was signed with; nothing is published."""


class SegmentError(ServiceError):
    """An index file that is damaged, cut off, or of another kind; it is refused and rebuilt."""


class StorageError(ServiceError):
    """The database cannot take the write now."""


class StorageFullError(StorageError):
    """No space left for the write."""

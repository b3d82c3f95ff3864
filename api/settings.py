"""The service's settings: one frozen value, read from the environment, checked at the start."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from registry.dataset_index.listing import LIST
from registry.errors import InvalidUrlError, SettingsError
from registry.store.engine import database_url
from registry.urls import canonicalize_url

__all__ = ["Settings", "settings_from"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that an operator can choose; the environment variable is ``CAVEAT_`` and the name."""

    database: str
    """Address of the database: ``sqlite:///…`` or ``postgresql://…`` (``CAVEAT_DATABASE``)."""
    index: Path | None = None
    """Folder of the index files, on a local disk; without one, each worker holds the whole index itself."""
    index_check_seconds: int = 600
    """Within how many seconds a bit that turned in an index file is found."""
    log: Path | None = None
    """Folder of the transparency log and its key; without one nothing is published (``CAVEAT_LOG``)."""
    snapshots: Path | None = None
    """Folder of the snapshots; without one none are built or served (``CAVEAT_SNAPSHOTS``)."""
    snapshot_keep: int = 3
    """How many snapshots are kept; older ones are deleted when one is built."""
    snapshot_hours: int = 24
    """Hours after which a snapshot is followed by the next, where the registry builds them by itself."""
    log_origin: str = ""
    """Name of the log when its key is made, such as ``log.example``."""
    mirror: str = ""
    """Address of the registry that this one follows; it is then only read (``CAVEAT_MIRROR``)."""
    mirror_key: str = ""
    """API key with the scope ``mirror`` there."""
    mirror_log_key: str = ""
    """Public key of its log; without one the first that it shows is trusted."""
    mirror_max_lag: int = 60
    """Seconds that a mirror may lag before it answers nothing."""
    calibration: Path | None = None
    """Another calibration than the shipped one, for new records (``CAVEAT_CALIBRATION``)."""
    key_environment: str = "live"
    """The middle of new API keys, ``cav_live_…``; ``test`` for trial installations."""
    max_items: int = 10_000
    """Most items in one look-up, works in one reservation, or URLs in one submission."""
    max_marks: int = 200_000
    """Most keys in one request for marks."""
    max_urls: int = 100_000
    """Most lines in one request of the compatible look-up."""
    max_body_bytes: int = 64 * 1024 * 1024
    """Largest request body, in bytes."""
    max_header_bytes: int = 8 * 1024 * 1024
    """Longest header of a model that is checked, in bytes; the format permits 100,000,000."""
    max_picture_bytes: int = 33_554_432
    """Largest picture that the check page takes, in bytes."""
    codes_per_hour: int = 30
    """Most recovery codes that one network begins to lodge under, an hour and process; 0: only keys lodge."""
    timestamp_url: str = ""
    """Address of an authority that stamps the evidence for people (RFC 3161); without one none is asked."""
    timestamp_private: bool = False
    """Whether that authority is in one's own network: only then an address that is not public is called."""
    max_subscriptions: int = 100
    """Most subscriptions of one key."""
    max_watched_items: int = 1_000_000
    """Most items that all subscriptions of one key hold together."""
    subscription_seconds: int = 60
    """Seconds after which the items of subscriptions are held against what is new, if anything is."""
    webhook_loopback: bool = False
    """Whether webhooks may go to this machine, at any port and without TLS: for development (``1``)."""
    dataset_indexes: tuple[Path, ...] = field(default_factory=tuple)
    """Indexes of datasets in which the check page looks, each a folder that ``caveat index`` made."""


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Read the settings; ``CAVEAT_DATA`` names the folder of the embedded database.

    Raises :class:`SettingsError` that names the variable.
    """
    database = environment.get("CAVEAT_DATABASE", "")
    folder = environment.get("CAVEAT_DATA", "")
    if bool(database) == bool(folder):
        raise SettingsError(
            "expected exactly one of CAVEAT_DATABASE and CAVEAT_DATA",
            hint="Set CAVEAT_DATA to a folder for the embedded database, or CAVEAT_DATABASE to postgresql://…",
        )
    key_environment = environment.get("CAVEAT_KEY_ENVIRONMENT", "live")
    if not (key_environment.isascii() and key_environment.isalpha()):
        raise SettingsError(f"CAVEAT_KEY_ENVIRONMENT: expected letters, got {key_environment!r}")
    return Settings(
        database=database or database_url(Path(folder)),
        index=_folder(environment, "CAVEAT_INDEX", folder, "index"),
        index_check_seconds=_positive(environment, "CAVEAT_INDEX_CHECK_SECONDS", 600),
        log=_folder(environment, "CAVEAT_LOG", folder, "log"),
        snapshots=_folder(environment, "CAVEAT_SNAPSHOTS", folder, "snapshots"),
        snapshot_keep=_positive(environment, "CAVEAT_SNAPSHOT_KEEP", 3),
        snapshot_hours=_positive(environment, "CAVEAT_SNAPSHOT_HOURS", 24),
        log_origin=environment.get("CAVEAT_LOG_ORIGIN", ""),
        mirror=environment.get("CAVEAT_MIRROR", ""),
        mirror_key=environment.get("CAVEAT_MIRROR_KEY", ""),
        mirror_log_key=environment.get("CAVEAT_MIRROR_LOG_KEY", ""),
        mirror_max_lag=_positive(environment, "CAVEAT_MIRROR_MAX_LAG", 60),
        calibration=Path(environment["CAVEAT_CALIBRATION"])
        if environment.get("CAVEAT_CALIBRATION")
        else None,
        key_environment=key_environment,
        max_items=_positive(environment, "CAVEAT_MAX_ITEMS", 10_000),
        max_marks=_positive(environment, "CAVEAT_MAX_MARKS", 200_000),
        max_urls=_positive(environment, "CAVEAT_MAX_URLS", 100_000),
        max_body_bytes=_positive(environment, "CAVEAT_MAX_BODY_BYTES", 64 * 1024 * 1024),
        max_header_bytes=_positive(environment, "CAVEAT_MAX_HEADER_BYTES", 8 * 1024 * 1024),
        max_picture_bytes=_positive(environment, "CAVEAT_MAX_PICTURE_BYTES", 33_554_432),
        codes_per_hour=_count(environment, "CAVEAT_CODES_PER_HOUR", 30),
        timestamp_url=_address(environment, "CAVEAT_TIMESTAMP_URL"),
        timestamp_private=_flag(environment, "CAVEAT_TIMESTAMP_PRIVATE"),
        max_subscriptions=_positive(environment, "CAVEAT_MAX_SUBSCRIPTIONS", 100),
        max_watched_items=_positive(environment, "CAVEAT_MAX_WATCHED_ITEMS", 1_000_000),
        subscription_seconds=_positive(environment, "CAVEAT_SUBSCRIPTION_SECONDS", 60),
        webhook_loopback=_flag(environment, "CAVEAT_WEBHOOK_LOOPBACK"),
        dataset_indexes=_indexes(environment.get("CAVEAT_DATASET_INDEXES", "")),
    )


def _folder(environment: Mapping[str, str], name: str, data: str, inside: str) -> Path | None:
    """Return the folder that is named; beside an embedded database there is always one."""
    named = environment.get(name, "")
    if named:
        return Path(named)
    return Path(data) / inside if data else None


def _positive(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise SettingsError(f"{name}: expected a positive integer, got {text!r}")
    return int(text)


def _count(environment: Mapping[str, str], name: str, default: int) -> int:
    return 0 if environment.get(name) == "0" else _positive(environment, name, default)


def _address(environment: Mapping[str, str], name: str) -> str:
    text = environment.get(name, "")
    try:
        return text and canonicalize_url(text) and text
    except InvalidUrlError as error:
        raise SettingsError(f"{name}: expected an address of the web, got {text!r}") from error


def _flag(environment: Mapping[str, str], name: str) -> bool:
    text = environment.get(name, "")
    if text not in ("", "0", "1"):
        raise SettingsError(f"{name}: expected 1 or 0, got {text!r}")
    return text == "1"


def _indexes(text: str) -> tuple[Path, ...]:
    """Return the folders that are named, one behind the other as in PATH.

    A folder that is no index is a mistake of the operator; one that is damaged or not complete is told to
    those who ask.
    """
    if not text:
        return ()
    folders = tuple(Path(one) for one in text.split(os.pathsep))
    for folder in folders:
        if not (folder / LIST).is_file():
            raise SettingsError(
                f"CAVEAT_DATASET_INDEXES: {str(folder)!r} is no index of a dataset: it has no {LIST}",
                hint="Make it: caveat index DATASET --to FOLDER; or take it out of the setting.",
            )
    names = [folder.name for folder in folders]
    if len(set(names)) != len(names):
        raise SettingsError(
            f"CAVEAT_DATASET_INDEXES: two folders have one name among {', '.join(names)}",
            hint="A dataset is called what its folder is called: rename one of them.",
        )
    return folders

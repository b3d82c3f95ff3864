"""Run a command against a PostgreSQL of its own: ``python tests/with_postgres.py CMD…``.

CAVEAT_TEST_POSTGRES, when it is set, names the server. Otherwise Debian's PostgreSQL is used (installed
when we may), with a private cluster in a temporary folder: loopback only, a free port, removed at the end.
Exits with the command's code, or 2 when there is no PostgreSQL to be had.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

VARIABLE = "CAVEAT_TEST_POSTGRES"
DEBIAN = Path("/usr/lib/postgresql")
POLICY = Path("/usr/sbin/policy-rc.d")
# The cluster dies with the test run, so waiting for its disk shows nothing.
OPTIONS = "-c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off -c max_connections=200"


class NoPostgresError(Exception):
    """There is none, and none can be installed; says why."""


def main(command: list[str]) -> int:
    if not command:
        sys.stderr.write("usage: python tests/with_postgres.py CMD…\n")
        return 2
    if os.environ.get(VARIABLE):
        return subprocess.run(command, check=False).returncode
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with ExitStack() as stack:
        try:
            url = stack.enter_context(cluster(binaries()))
        except (NoPostgresError, subprocess.CalledProcessError, OSError, KeyError) as error:
            sys.stderr.write(
                f"no PostgreSQL to test with: {error}\n"
                f"Set {VARIABLE}=postgresql://user@host/postgres (a server where databases can be made),\n"
                "or install one: apt-get install postgresql\n"
            )
            return 2
        return subprocess.run(command, check=False, env={**os.environ, VARIABLE: url}).returncode


def binaries() -> Path:
    found = _newest()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        install()
        found = _newest()
    if found is None:
        raise NoPostgresError(f"neither initdb nor pg_ctl in {DEBIAN}/*/bin, and no right to install them")
    return found


def install() -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with _no_services():
        for arguments in (["update"], ["install", "-y", "--no-install-recommends", "postgresql"]):
            subprocess.run(["apt-get", "-q", *arguments], check=True, env=environment, stdout=sys.stderr)


@contextmanager
def cluster(programs: Path) -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="caveat-postgres-"))
    data, log = folder / "data", folder / "log"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", pwd.getpwnam("postgres").pw_gid)
        _run(programs, "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        try:
            _run(programs, "pg_ctl", "-D", data, "-l", log, "-w", "-o", f"{OPTIONS} -p {port}", "start")
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            if (data / "postmaster.pid").exists():
                _run(programs, "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(programs: Path, name: str, *arguments: object) -> None:
    # PostgreSQL refuses to run as root.
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    command = [*prefix, str(programs / name), *map(str, arguments)]
    # Its output goes to a file: the server would keep a pipe open for ever.
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(command, check=False, cwd="/", stdout=output, stderr=subprocess.STDOUT)
        output.seek(0)
        if done.returncode:
            raise NoPostgresError(f"{name} failed: {output.read().strip()}")


def _newest() -> Path | None:
    folders = [path.parent for path in DEBIAN.glob("*/bin/initdb") if path.with_name("pg_ctl").exists()]
    return max(folders, key=lambda path: float(path.parent.name), default=None)


@contextmanager
def _no_services() -> Iterator[None]:
    """Let apt start no cluster of its own: that is what policy-rc.d is for."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

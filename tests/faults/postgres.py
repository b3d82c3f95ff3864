"""A PostgreSQL of our own that is stopped, killed and started again; it waits for its disk, as a real one."""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.faults.outcome import CannotRunError
from tests.faults.service import free_port
from tests.with_postgres import NoPostgresError, binaries

__all__ = ["Cluster", "cluster"]

_INITDB = ("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "--data-checksums")
_OPTIONS = "-c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=100"


@dataclass(frozen=True)
class Cluster:
    """A server on loopback; ``start`` and ``stop`` may be called again and again."""

    programs: Path
    folder: Path
    port: int

    def url(self, name: str = "postgres") -> str:
        """Return the address of a database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def database(self) -> str:
        """Make an empty database; returns its address."""
        name = f"faults_{secrets.token_hex(4)}"
        with psycopg.connect(self.url(), autocommit=True) as server:
            server.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        return self.url(name)

    def start(self) -> None:
        """Start, and wait until it takes connections."""
        options = f"{_OPTIONS} -p {self.port}"
        log = str(self.folder / "log")
        self.run("pg_ctl", "-D", self.data, "-l", log, "-w", "-t", "60", "-o", options, "start")

    def stop(self, mode: str) -> None:
        """Stop: ``fast`` closes all connections, ``immediate`` is a crash."""
        self.run("pg_ctl", "-D", self.data, "-w", "-m", mode, "stop")

    @property
    def data(self) -> str:
        return str(self.folder / "data")

    def run(self, name: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs, which refuse to run as root. Raises CannotRunError."""
        prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        command = [*prefix, str(self.programs / name), *arguments]
        # Its output goes to a file: the server would keep a pipe open for ever.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(command, check=False, cwd="/", stdout=output, stderr=subprocess.STDOUT)
            output.seek(0)
            if done.returncode:
                raise CannotRunError(f"{name} failed: {output.read().strip()}")


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Yield a server while the block lasts. Raises CannotRunError when there is no PostgreSQL."""
    try:
        programs = binaries()
    except (NoPostgresError, subprocess.CalledProcessError, OSError) as error:
        raise CannotRunError(f"no PostgreSQL: {error} (apt-get install postgresql)") from error
    folder = Path(tempfile.mkdtemp(prefix="caveat-faults-postgres-"))
    made = Cluster(programs, folder, free_port())
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", pwd.getpwnam("postgres").pw_gid)
        made.run(*_INITDB, "-D", made.data)
        made.start()
        yield made
    finally:
        if (Path(made.data) / "postmaster.pid").exists():
            made.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)

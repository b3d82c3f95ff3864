"""The files in deploy/ are the ones that run."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def check(**settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gunicorn", "--check-config", "-c", "deploy/gunicorn.conf.py"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CAVEAT_")}
    return subprocess.run(
        [*command, "api:create_app()"],
        cwd=ROOT,
        env=environment | settings,
        capture_output=True,
        text=True,
        check=False,
    )


def test_gunicorn_takes_its_configuration_and_finds_the_application(tmp_path: Path) -> None:
    done = check(CAVEAT_DATA=str(tmp_path))
    assert done.returncode == 0, done.stderr


def test_without_a_database_it_says_what_to_set() -> None:
    done = check()
    assert done.returncode != 0
    assert "CAVEAT_DATABASE" in done.stderr

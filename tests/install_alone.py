"""Install the wheel in environments of its own, plain and with each extra in use, and try each.

Not a pytest module: it needs the package registry and a minute, so it is a chore (`make test-install`).
"""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
HEAVY = ("flask", "sqlmodel", "sqlalchemy", "alembic", "gunicorn", "numba", "pyarrow", "datasets", "lance")
TRIALS = {
    "": "import registry, registry.client, registry.cli",
    "server": "import api.wiring, api.commands.serve",
    "fast": "from registry import fast; assert fast.kernels",
    "parquet": "import registry.client.formats.table as t; t.pyarrow_modules()",
    "lance": "import registry.client.formats.lance_files as f; f.lance_module()",
    "pdf": "from registry.paper.fonts import Fonts; Fonts.open('ひまわり')",
    "hf": "from registry.client.huggingface import _datasets; _datasets()",
    "index": "from registry.dataset_index.part import outside; outside()",
    "s3": "from registry.client.stores import Address, _opened; _opened(Address('s3://bucket/data'))",
    "model-signing": "from registry.client.folders import model_signing; model_signing()",
    "c2pa": "from registry.signals import c2pa; c2pa.c2pa_module().sdk_version()",
}


def run(*command: str | Path) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"failed: {' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", folder, ROOT)
        [wheel] = Path(folder).glob("*.whl")
        for extra, trial in TRIALS.items():
            place = Path(folder, f"venv-{extra or 'plain'}")
            venv.create(place, with_pip=True)
            python = place / "bin" / "python"
            wanted = f"{wheel}[{extra}]" if extra else str(wheel)
            run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wanted)
            run(python, "-W", "error::DeprecationWarning:registry", "-c", trial)
            if not extra:
                present = run(python, "-c", _WHICH).split()
                if present:
                    sys.exit(f"the light client installs {', '.join(present)}")
                if "[server]" not in _refusal(place / "bin" / "caveat"):
                    sys.exit("caveat serve without the server does not say what to install")
            print(f"{extra or 'plain'}: installs and imports")


_WHICH = f"import importlib.util as u; print(*[n for n in {HEAVY!r} if u.find_spec(n)])"


def _refusal(caveat: Path) -> str:
    done = subprocess.run([str(caveat), "serve"], capture_output=True, text=True, check=False)
    return done.stderr if done.returncode == 3 else ""


if __name__ == "__main__":
    main()

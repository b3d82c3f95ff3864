"""Install the wheel in environments of its own, plain and with each extra in use, and try each.

The plain one, which has no more than the client, verifies a model that was uploaded, as a platform would.

Not a pytest module: it needs the package registry and a minute, so it is a chore (`make test-install`).
"""

import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import replace
from pathlib import Path

import numpy as np
import safetensors.numpy

from registry.client.attaching import attach
from registry.client.bundles import Found
from registry.client.folders import attach_folder
from registry.client.model_key import own_model_key
from registry.receipt import sign_receipt, timestamp
from tests.runs import MAKER, RUN

ROOT = Path(__file__).parent.parent
HEAVY = (
    "flask",
    "sqlmodel",
    "sqlalchemy",
    "alembic",
    "gunicorn",
    "numba",
    "pyarrow",
    "datasets",
    "lance",
    "model_signing",
)
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
                if "[server]" not in _refusal(place / "bin" / "caveat", "serve"):
                    sys.exit("caveat serve without the server does not say what to install")
            if extra in ("", "model-signing"):
                _verify_an_upload(place / "bin" / "caveat", Path(folder), signing=bool(extra))
            print(f"{extra or 'plain'}: installs and imports")


_WHICH = f"import importlib.util as u; print(*[n for n in {HEAVY!r} if u.find_spec(n)])"


def _refusal(caveat: Path, *words: str | Path) -> str:
    done = subprocess.run([caveat, *words], capture_output=True, text=True, check=False)
    return done.stderr if done.returncode == 3 else ""


def _verify_an_upload(caveat: Path, folder: Path, *, signing: bool) -> None:
    """Verify what a maker uploads as a platform would: with this installation, and the public keys alone."""
    key = ("--key", MAKER.verifier.text)
    model, whole, public = _upload(folder / f"upload-{'with' if signing else 'without'}-signing")
    print(run(caveat, "receipt", "verify", model, *key).splitlines()[-1])
    if subprocess.run([caveat, "receipt", "verify", model], capture_output=True, check=False).returncode != 1:
        sys.exit("a receipt by an unknown key passes")
    if signing:
        print(run(caveat, "receipt", "verify", whole, *key, "--model-key", public).splitlines()[-1])
    elif "[model-signing]" not in _refusal(caveat, "receipt", "verify", whole, *key):
        sys.exit("a signed folder without model-signing does not say what to install")


def _upload(folder: Path) -> tuple[Path, Path, Path]:
    """Make a model, and a folder with one, as their maker would; returns both, and the public model key."""
    now = int(time.time())
    run_ = replace(RUN, started=timestamp(now - 60), finished=timestamp(now))
    found = Found(sign_receipt(run_, MAKER).to_json(), (), None)
    key, whole = own_model_key(folder / "maker"), folder / "model"
    whole.mkdir()
    kohya = {"ss_training_comment": "None", "ss_training_started_at": str(now + 1)}
    for path in (folder / "lora.safetensors", whole / "unet.safetensors"):
        safetensors.numpy.save_file({"up": np.arange(9, dtype=np.float16)}, path, kohya)
    attach(folder / "lora.safetensors", found, MAKER)
    attach_folder(whole, found, MAKER, key)
    (folder / "ada.pub").write_bytes(key.pem)
    return folder / "lora.safetensors", whole, folder / "ada.pub"


if __name__ == "__main__":
    main()

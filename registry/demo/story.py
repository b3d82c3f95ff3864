"""Running the demo: a registry of its own on loopback, three lodgings, one filtered folder.

Each step goes through the same API and the same functions as ``caveat register``, ``filter`` and ``check``.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from registry.client import FilterSummary, Options, RegistryClient, Rules, Verdict, filter_dataset
from registry.client.formats import Sample
from registry.client.lodging import Lodged, lodge, work_of
from registry.client.pictures import hash_files
from registry.client.verdicts import Judges, judge
from registry.demo.training_set import PICTURES, Ingredient, make_training_set
from registry.errors import CaveatError, InputError
from registry.preference import Use

__all__ = ["URLS", "Story", "tell"]

DOMAIN = "gallery.example"
URLS = (
    "https://images.gallery.example/2024/harbour.jpg",
    "http://gallery.example/about/portrait.png?utm_source=feed",
    "https://elsewhere.example.org/harbour.jpg",
)
_MARK = ".caveat-demo"
_RESERVED = {str(Use.TRAIN): "reserved", str(Use.GENAI_TRAIN): "reserved"}
_Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Story:
    """What happened: the folder's ingredients, what the filter did, and what was said of the URLs."""

    ingredients: list[Ingredient]
    summary: FilterSummary
    urls: list[Verdict]

    def fate(self, ingredient: Ingredient) -> Verdict | None:
        """Return what was noted of one file; None when it stayed and nobody had said anything of it."""
        return next((v for v in self.summary.notable if v.sample.key == ingredient.name), None)


def tell(folder: Path, say: _Say = lambda _: None) -> Story:
    """Run the demo in ``folder``, which is made anew; ``say`` hears what is going on.

    Raises :class:`InputError` when ``folder`` holds something else.
    """
    _clear(folder)
    with _registry(folder / "registry") as (url, keys):
        say(f"a registry runs on {url}, its database in {folder / 'registry'}")
        for name, artist in (("Ada", "ada"), ("Ben", "ben")):
            with RegistryClient(url, keys[name]) as client:
                done = _lodge_pictures(client, name, PICTURES / artist)
            say(f"{name} lodged {done.works} works by fingerprint: event {done.seq}, no picture was sent")
        with RegistryClient(url, keys["Gallery"]) as client:
            rule = {"kind": "domain", "value": DOMAIN}
            reservation = {"preferences": _RESERVED, "label": "The Gallery", "rules": [rule]}
            done = lodge(client, reservation, [], Lodged(url))
        say(f"The Gallery lodged everything under {DOMAIN}: event {done.seq}")
        ingredients = make_training_set(folder / "lora-set")
        copies = sum(ingredient.is_copy for ingredient in ingredients)
        where = folder / "lora-set"
        say(
            f"a LoRA maker has {len(ingredients)} pictures in {where}, {copies} of them copies of those works"
        )
        with RegistryClient(url, keys["Maker"]) as client:
            summary = filter_dataset(where, folder / "lora-set-clean", [client], options=Options(workers=1))
            addresses = [Sample(address, urls=(address,)) for address in URLS]
            urls = list(judge(addresses, (), Judges([client], Rules())))
    return Story(ingredients, summary, urls)


def _lodge_pictures(client: RegistryClient, name: str, folder: Path) -> Lodged:
    files = sorted(folder.glob("*.jpg"))
    works = [work_of(hashed) for hashed in hash_files(files, registered=True)]
    reservation = {
        "preferences": _RESERVED,
        "label": name,
        "terms": f"https://{name.lower()}.example/licence",
    }
    return lodge(client, reservation, works, Lodged(client.url))


def _clear(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        if not (folder / _MARK).exists():
            raise InputError(
                f"{folder} holds something that the demo did not make", hint="Give another --out folder."
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARK).touch()


@contextmanager
def _registry(data: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Run ``caveat serve`` on a free port of loopback; yields its address and a key for each person."""
    keys = {
        "Ada": _new_key(data, "Ada", "register"),
        "Ben": _new_key(data, "Ben", "register"),
        "Gallery": _new_key(data, "The Gallery", "register", f"domain:{DOMAIN}", level=1),
        "Maker": _new_key(data, "A LoRA maker", "lookup"),
    }
    command = [*_COMMANDS, "serve", "--threaded", "--port", "0", "--data", str(data)]
    environment = {**os.environ, "CAVEAT_STOP_WITH_PARENT": str(os.getpid())}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:  # noqa: S603
        try:
            line = server.stdout.readline() if server.stdout else ""
            if "http" not in line:
                raise CaveatError("the demo's registry did not start", hint="Its message stands above.")
            yield line.split()[-1], keys
        finally:
            server.terminate()


_COMMANDS = (sys.executable, "-m", "api.commands")


def _new_key(data: Path, name: str, *scopes: str, level: int = 0) -> str:
    options = [word for scope in scopes for word in ("--scope", scope)]
    command = [*_COMMANDS, "api-keys", "create", "--data", str(data), "--name", name, "--json", *options]
    made = subprocess.run(  # noqa: S603 - our own command
        [*command, "--evidence-level", str(level)], check=False, capture_output=True, text=True
    )
    if made.returncode:
        raise CaveatError(
            f"the demo needs the registry's own parts: {made.stderr.strip().splitlines()[-1]}",
            hint="pip install 'caveat-registry[server]'",
        )
    return str(json.loads(made.stdout)["key"])

"""A served registry with works in it, a fake one that lies, pictures, and datasets filtered once for all."""

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image, ImageOps

from api.keys import create_key
from registry.cli import main
from registry.client import FilterSummary, Options, RegistryClient, filter_dataset
from registry.client.lodging import Lodged, lodge, work_of
from registry.client.pictures import PICTURE_SUFFIXES, hash_files
from registry.demo.training_set import PICTURES
from registry.fingerprint import query_fingerprint
from registry.migrations import migrate
from registry.picture import decode_picture
from registry.store import Store
from registry.store import engine as engines

DOMAIN = "gallery.example"
RESERVED = {"train": "reserved", "genai-train": "reserved"}
CAVEAT = Path(sys.executable).with_name("caveat")
LEAVES_FILES_OPEN = [
    # datasets leaves files of its streaming reader open until they are collected.
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


# The served registry.


@dataclass(frozen=True)
class Live:
    """A registry by the real command, the keys to it, and what was lodged there."""

    url: str
    keys: dict[str, str]
    windows: NDArray[np.uint8]
    sha256s: frozenset[bytes]
    data: Path
    """The folder of its database."""

    def client(self, key: str = "maker") -> RegistryClient:
        return RegistryClient(self.url, self.keys[key], timeout=30)

    def reserved_in(self, folder: Path) -> set[str]:
        """Compare every form of every picture with every window, one by one."""
        found = set()
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() not in PICTURE_SUFFIXES:
                continue
            data = path.read_bytes()
            forms = query_fingerprint(decode_picture(data), data).pdq.values()
            asked = np.array([np.frombuffer(form, np.uint8) for form in forms]).reshape(-1, 1, 32)
            near = np.bitwise_count(asked ^ self.windows).sum(axis=2) <= 31
            if near.any() or hashlib.sha256(data).digest() in self.sha256s:
                found.add(path.relative_to(folder).as_posix())
        return found


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    data = tmp_path_factory.mktemp("registry")
    keys = _keys(data)
    command = [
        sys.executable,
        "-m",
        "api.commands",
        "serve",
        "--threaded",
        "--port",
        "0",
        "--data",
        str(data),
    ]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CAVEAT_")}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env={**environment, "CAVEAT_STOP_WITH_PARENT": str(os.getpid())},
    ) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().split()[-1]
            yield _lodged(url, keys, data)
        finally:
            server.terminate()


def _keys(data: Path) -> dict[str, str]:
    wanted: dict[str, tuple[str, ...]] = {
        "ada": ("register",),
        "ben": ("register",),
        "gallery": ("register", f"domain:{DOMAIN}"),
        "maker": ("lookup",),
    }
    store = Store.open(engines.database_url(data))
    migrate(store)
    made = {
        name: create_key(
            store, name=name, scopes=frozenset(scopes), evidence_level=0, environment="test", at=0
        ).secret
        for name, scopes in wanted.items()
    }
    store.close()
    return made


def _lodged(url: str, keys: dict[str, str], data: Path) -> Live:
    hashed = {
        artist: list(hash_files(sorted((PICTURES / artist).glob("*.jpg")), registered=True))
        for artist in ("ada", "ben")
    }
    for artist, files in hashed.items():
        with RegistryClient(url, keys[artist]) as client:
            works = [work_of(one) for one in files]
            lodge(client, {"preferences": RESERVED, "label": artist.title()}, works, Lodged(url))
    with RegistryClient(url, keys["gallery"]) as client:
        rule = {"kind": "domain", "value": DOMAIN}
        lodge(client, {"preferences": RESERVED, "label": "The Gallery", "rules": [rule]}, [], Lodged(url))
    prints = [one.fingerprint for files in hashed.values() for one in files if one.fingerprint]
    windows = [np.frombuffer(value, np.uint8) for one in prints for value in one.pdq.values()]
    found = frozenset(one.sha256 for one in prints if one.sha256)
    return Live(url, keys, np.array(windows), found, data)


# A registry that answers what it is told to.

Reply = tuple[int, Any, dict[str, str]]
Script = Callable[[dict[str, Any]], Reply | str]
"""Body of a look-up → status, body (JSON, or bytes as they are), headers; or "cut", or "hang"."""


def said(**changed: Any) -> dict[str, Any]:
    """A statement as a registry tells it: one work, reserved by its address, by whomever."""
    return {
        "preferences": {"genai-train": "reserved"},
        "scope": "work",
        "evidence_level": 0,
        "state": "asserted",
        "seq": 3,
        "at": "2026-01-01T00:00:00Z",
        "match": {"kind": "url", "certain": True},
        **changed,
    }


def alike_to_all(preference: str, reason: str = "", *statements: dict[str, Any]) -> Script:
    """Answer every item alike."""

    def answer(body: dict[str, Any]) -> Reply:
        alike = {"status": "ok", "preference": preference, "reason": reason, "statements": statements}
        return 200, {"as_of_seq": 7, "results": [{"id": item["id"], **alike} for item in body["items"]]}, {}

    return answer


unknown_to_all = alike_to_all("unknown", "Nobody.")


@dataclass
class Fake:
    """Speaks HTTP on loopback; ``scripts`` are used up in turn by the look-ups, the last one for good."""

    url: str
    scripts: list[Script]
    seen: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    """The Idempotency-Key of each request."""

    def answer(self, method: str, path: str, body: dict[str, Any]) -> Reply | str:
        self.seen.append((method, path, body))
        if path == "/api/v1/parameters":
            return 200, {"fingerprint_versions": [1]}, {}
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        return script(body)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def _any(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length) or b"{}")
        self.server.fake.keys.append(self.headers.get("Idempotency-Key"))
        reply = self.server.fake.answer(self.command, self.path, body)
        if reply == "hang":
            self.server.over.wait(20)
            self.close_connection = True
            return
        if reply == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b'{"as_of_seq": 7, "results": [')
            self.close_connection = True
            return
        status, content, headers = reply
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = _any  # noqa: N815 - the names that http.server calls

    def log_message(self, *_: Any) -> None:
        return


class _Server(ThreadingHTTPServer):
    fake: Fake
    over: threading.Event

    def handle_error(self, *_: Any) -> None:
        return


@pytest.fixture
def fake() -> Iterator[Callable[..., Fake]]:
    servers = []

    def start(*scripts: Script) -> Fake:
        server = _Server(("127.0.0.1", 0), _Handler)
        server.over = threading.Event()
        server.fake = Fake(f"http://127.0.0.1:{server.server_port}", list(scripts) or [unknown_to_all])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        servers.append((server, thread))
        return server.fake

    yield start
    for server, thread in servers:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def unknown() -> Script:
    return unknown_to_all


@pytest.fixture
def client_of() -> Iterator[Callable[..., RegistryClient]]:
    """Open clients without retries, and close them."""
    opened: list[RegistryClient] = []

    def open_(url: str, **options: Any) -> RegistryClient:
        opened.append(RegistryClient(url, **{"retries": 0, "timeout": 10, **options}))
        return opened[-1]

    yield open_
    for client in opened:
        client.close()


# Pictures and folders of them.


def free(seed: int, size: int = 160) -> bytes:
    """A picture of nobody: coloured clouds, each seed its own."""
    clouds = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return packed(Image.fromarray(clouds).resize((size, size), Image.Resampling.BICUBIC))


def packed(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _work(name: str, width: int = 300) -> Image.Image:
    with Image.open(PICTURES / f"{name}.jpg") as image:
        return image.convert("RGB").resize((width, round(image.height * width / image.width)))


@pytest.fixture(scope="session")
def copies() -> dict[str, bytes]:
    """Copies of lodged works, each another way of hiding one, that the hashes must find."""
    return {
        "same": (PICTURES / "ben/tuxedo-cat.jpg").read_bytes(),
        "jpeg": packed(_work("ada/sunflower"), "JPEG", quality=40),
        "mirror": packed(ImageOps.mirror(_work("ada/sailboats-at-sunset"))),
        "framed": packed(ImageOps.expand(_work("ben/tractor"), border=30, fill="black"), "JPEG", quality=85),
        "square": packed(ImageOps.fit(_work("ada/xylophone"), (240, 240)), "WEBP", quality=85),
    }


Content = bytes | str


def plant(root: Path, files: dict[str, Content]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def tree(root: Path) -> dict[str, bytes]:
    """Every file below ``root``, or the one file, with its bytes."""
    if root.is_file():
        return {root.name: root.read_bytes()}
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.fixture(scope="session")
def kit() -> Any:
    """What the test modules share, since they cannot import one another."""

    class Kit:
        free, packed, plant, tree = (
            staticmethod(free),
            staticmethod(packed),
            staticmethod(plant),
            staticmethod(tree),
        )
        leftovers = staticmethod(leftovers)

    return Kit


def leftovers(folder: Path, *known: str) -> set[str]:
    """What stands in ``folder``, hidden files among it, besides the names that are known."""
    return {path.name for path in folder.iterdir()} - set(known)


# The command line.


Ran = subprocess.CompletedProcess[str]


@pytest.fixture
def settings(tmp_path: Path) -> Callable[[dict[str, str]], dict[str, str]]:
    """The environment without the settings of whoever runs the tests, and with some."""

    def of(more: dict[str, str]) -> dict[str, str]:
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("CAVEAT_", "XDG_"))}
        return environment | {"HOME": str(home), "COLUMNS": "200", **more}

    return of


@pytest.fixture
def command(tmp_path: Path, settings: Callable[[dict[str, str]], dict[str, str]]) -> Callable[..., Any]:
    """Start ``caveat`` in a process of its own."""

    def start(*words: object, **options: Any) -> subprocess.Popen[str]:
        environment = settings(options.pop("env", {}))
        return subprocess.Popen(
            [CAVEAT, *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=environment,
            **{"cwd": tmp_path, "stdin": subprocess.DEVNULL, **options},
        )

    return start


@pytest.fixture
def started(command: Callable[..., Any]) -> Callable[..., Ran]:
    """Run ``caveat`` to its end in a process of its own; it never shows a traceback."""

    def run(*words: object, **options: Any) -> Ran:
        with command(*words, **options) as process:
            out, err = process.communicate(timeout=180)
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    return run


@pytest.fixture
def caveat(tmp_path: Path, settings: Callable[[dict[str, str]], dict[str, str]]) -> Callable[..., Ran]:
    """Run ``caveat`` to its end as ``started`` does, but here: two seconds of imports less."""

    def run(*words: object, cwd: Path = tmp_path, env: dict[str, str] = {}) -> Ran:  # noqa: B006 - read only
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(cwd)
            patch.setattr(sys, "argv", ["caveat", *map(str, words)])
            wanted = settings(env)
            gone = dict.fromkeys(os.environ.keys() - wanted.keys())
            with CliRunner().isolation(env=wanted | gone) as (out, err, _):
                with pytest.raises(SystemExit) as ended:
                    main()
                code, texts = ended.value.code, [one.getvalue().decode() for one in (out, err)]
        assert "Traceback" not in texts[1], texts[1]
        return subprocess.CompletedProcess(words, code, *texts)

    return run


# Datasets, each filtered once.


@dataclass(frozen=True)
class Case:
    """A dataset and what must come of it.

    ``kept`` are the files that stay as they were; ``rewritten`` those that stay with other content.
    ``loaded`` maps the pictures that a loader must find to their captions (None: it has none).
    """

    files: dict[str, Content]
    kept: set[str]
    rewritten: dict[str, Content] = field(default_factory=dict)
    loaded: dict[str, str | None] = field(default_factory=dict)
    errors: int = 0
    missed: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Run:
    case: Case
    source: Path
    target: Path
    summary: FilterSummary
    before: dict[str, bytes]

    @property
    def account(self) -> Path:
        return self.target.with_name(f"{self.target.name}.caveat")


@pytest.fixture(scope="session")
def run_of(
    live: Live, copies: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Run]:
    cases, done = _cases(copies), {}

    def run(name: str) -> Run:
        if name not in done:
            case, folder = cases[name], tmp_path_factory.mktemp(name)
            plant(folder, {f"set/{path}": content for path, content in case.files.items()})
            source, target = folder / "set", folder / "clean"
            if len(case.files) == 1:
                [only] = case.files
                source, target = source / only, folder / only
            before = tree(source)
            with live.client() as client:
                summary = filter_dataset(source, target, [client], options=Options(workers=1))
            done[name] = Run(case, source, target, summary, before)
        return done[name]

    return run


@pytest.fixture
def filter_planted(live: Live, tmp_path: Path) -> Callable[[dict[str, Content]], tuple[Path, FilterSummary]]:
    """Plant files, filter them, and return where the output is and what was told."""

    def run(files: dict[str, Content]) -> tuple[Path, FilterSummary]:
        source, target = plant(tmp_path / "set", files), tmp_path / "clean"
        with live.client() as client:
            return target, filter_dataset(source, target, [client], options=Options(workers=1))

    return run


@pytest.fixture(scope="session")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The library, kept off the network, with its cache in a folder of the test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_DATASETS_OFFLINE", "1")
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hf")))
        import datasets

        datasets.disable_progress_bars()
        yield datasets


FOLDERS = ("folder", "kohya", "jsonl", "csv_metadata", "control_from_another_row", "emptied_metadata")
TABLES = ("table_csv", "table_tsv", "table_parquet")


def _cases(copies: dict[str, bytes]) -> dict[str, Case]:
    return {
        "folder": _folder(copies),
        "kohya": _kohya(copies),
        "jsonl": _jsonl(copies),
        "csv_metadata": _csv_metadata(copies),
        "control_from_another_row": _control(copies),
        "emptied_metadata": _emptied(copies),
        **_tables(),
    }


def _folder(copies: dict[str, bytes]) -> Case:
    off_centre = _work("ben/elephant", 580)
    width, height = (round(side * 0.8**0.5) for side in off_centre.size)
    missed = packed(off_centre.crop((off_centre.width - width, 0, off_centre.width, height)))
    files: dict[str, Content] = {
        "a.png": free(1), "a.txt": "clouds",
        "b.jpg": copies["jpeg"], "b.txt": "a sunflower",
        "c.png": free(2), "c.jpg": copies["same"], "c.txt": "read by both",
        "deep/d.e.png": free(3), "deep/d.e.caption": "dots",
        "deep/d.webp": copies["square"], "deep/d.txt": "xylophone",
        "E.PNG": copies["mirror"], "E.TXT": "boats",
        "elephant.png": missed, "elephant.txt": "cropped off centre: the hashes miss it",
        "README.md": "about this set", "Thumbs.db": "junk", "set.zip": "who knows",
    }  # fmt: skip
    kept = {
        "a.png", "a.txt", "c.png", "c.txt", "deep/d.e.png", "deep/d.e.caption", "README.md",
        "elephant.png", "elephant.txt",
    }  # fmt: skip
    pictures = {"a.png", "c.png", "deep/d.e.png", "elephant.png"}
    return Case(files, kept, loaded=dict.fromkeys(pictures), errors=1, missed={"elephant.png"})


def _kohya(copies: dict[str, bytes]) -> Case:
    caches = (
        "{}.npz",
        "{}_0512x0640_sdxl.npz",
        "{}_0064x0064_flux.npz",
        "{}_te_outputs.npz",
        "{}_sd3_te.npz",
    )
    caches += (
        "_latent_cache/{}_Zm9vYmFy.safetensors",
        "{}_0512x0512_wan.safetensors",
        "{}_wan_te.safetensors",
    )

    def with_caches(folder: str, stem: str) -> dict[str, Content]:
        return {f"{folder}/{cache.format(stem)}": f"derived from {stem}" for cache in caches}

    files: dict[str, Content] = {
        "10_cat/img.png": free(11), "10_cat/img.txt": "cat, clouds", **with_caches("10_cat", "img"),
        "10_cat/img2.jpg": copies["same"], "10_cat/img2.txt": "tuxedo", **with_caches("10_cat", "img2"),
        "10_cat/img2-masklabel.png": free(12),
        "10_cat/img-masklabel.png": free(13),
        "10_cat/metadata_cache.json": "{}",
        "10_cat/gone_0512x0640_sdxl.npz": "latents of a picture that was deleted",
        "1_dog/face.png": free(14), "1_dog/face_10_20_30_40.png": copies["framed"], "1_dog/face.txt": "dog",
        "1_dog/crop_1_2_3_4.jpg": copies["jpeg"], "1_dog/crop.txt": "only that crop reads it",
        "config.toml": "[general]",
    }  # fmt: skip
    kept = {
        "10_cat/img.png", "10_cat/img.txt", "10_cat/img-masklabel.png", *with_caches("10_cat", "img"),
        "1_dog/face.png", "1_dog/face.txt", "config.toml",
    }  # fmt: skip
    pictures = {"10_cat/img.png", "10_cat/img-masklabel.png", "1_dog/face.png"}
    return Case(files, kept, loaded=dict.fromkeys(pictures))


def _lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _jsonl(copies: dict[str, bytes]) -> Case:
    a = {"file_name": "a.png", "url": "https://free.example/a.png", "text": "A — ä"}
    b = {"file_name": "b.jpg", "url": None, "text": "B"}
    c = {"file_name": "sub/c.png", "url": f"https://images.{DOMAIN}/c.png", "text": "C"}
    d = {"file_name": "./sub/d.png", "url": None, "text": "D"}
    e = {"file_name": "missing.png", "url": None, "text": "E"}
    files: dict[str, Content] = {
        "metadata.jsonl": _lines(a, b, c, d, e),
        "a.png": free(21), "b.jpg": copies["jpeg"], "sub/c.png": free(22), "sub/d.png": free(23),
    }  # fmt: skip
    return Case(
        files,
        {"a.png", "sub/d.png"},
        {"metadata.jsonl": _lines(a, d)},
        {"a.png": "A — ä", "sub/d.png": "D"},
        errors=1,
    )


def _csv_metadata(copies: dict[str, bytes]) -> Case:
    head, a = "file_name,text,url\r\n", 'a.png,"one, with\r\na line",https://free.example/\r\n'
    b, c = "b.webp,two,\r\n", f"c.png,three,http://{DOMAIN}/c.png\r\n"
    files: dict[str, Content] = {
        "train/metadata.csv": head + b + a + c,
        "train/a.png": free(31), "train/b.webp": copies["square"], "train/c.png": free(32),
    }  # fmt: skip
    return Case(
        files, {"train/a.png"}, {"train/metadata.csv": head + a}, {"train/a.png": "one, with\r\na line"}
    )


def _control(copies: dict[str, bytes]) -> Case:
    a = {"file_name": "a.png", "control_file_name": "control/a.png", "text": "A"}
    b = {"file_name": "b.png", "control_file_name": "work.jpg", "text": "its control picture is reserved"}
    c = {"file_name": "work.jpg", "control_file_name": "control/c.png", "text": "reserved itself"}
    d = {"file_name": "d.png", "control_file_name": "control/a.png", "text": "D"}
    files: dict[str, Content] = {
        "metadata.jsonl": _lines(a, b, c, d), "work.jpg": copies["same"],
        "a.png": free(41), "b.png": free(42), "d.png": free(43),
        "control/a.png": free(44), "control/c.png": free(45),
    }  # fmt: skip
    return Case(
        files,
        {"a.png", "d.png", "control/a.png"},
        {"metadata.jsonl": _lines(a, d)},
        {"a.png": "A", "d.png": "D"},
    )


def _emptied(copies: dict[str, bytes]) -> Case:
    files: dict[str, Content] = {
        "one/metadata.jsonl": _lines({"file_name": "a.jpg", "text": "A"}), "one/a.jpg": copies["jpeg"],
        "two/metadata.jsonl": _lines({"file_name": "b.png", "text": "B"}), "two/b.png": free(51),
    }  # fmt: skip
    return Case(files, {"two/b.png", "two/metadata.jsonl"}, loaded={"two/b.png": "B"})


def _tables() -> dict[str, Case]:
    head = "\ufeffurl,caption\r\n"
    rows = [
        'https://free.example/1.jpg,"two\r\nlines, and ""quotes"""\r\n',
        f"https://images.{DOMAIN}/2.jpg,reserved\r\n",
        '"https://free.example/3.jpg",plain\r\n',
        f'"http://{DOMAIN}:80/4.jpg?utm_source=x","also\r\nreserved"\r\n',
        "not a url,malformed\r\n",
        "https://free.example/5.jpg,the last without an end",
    ]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows(
        [["TEXT", "URL"], ["one", "https://free.example/1"], ["two\tx", f"https://{DOMAIN}/2"]]
    )
    tsv = text.getvalue()
    return {
        "table_csv": Case(
            {"urls.csv": head + "".join(rows)},
            set(),
            {"urls.csv": head + rows[0] + rows[2] + rows[5]},
            errors=1,
        ),
        "table_tsv": Case({"urls.tsv": tsv}, set(), {"urls.tsv": "".join(tsv.splitlines(True)[:2])}),
        "table_parquet": Case({"urls.parquet": _parquet()}, set(), errors=1),
    }


def _parquet() -> bytes:
    hosts = ["free.example", DOMAIN, "free.example", "free.example", f"a.{DOMAIN}", "free.example", ""]
    urls = [f"https://{host}/{n}.jpg" if host else None for n, host in enumerate(hosts)]
    features = {"url": {"dtype": "string", "_type": "Value"}, "n": {"dtype": "int32", "_type": "Value"}}
    table = pa.table({"url": urls, "n": pa.array(range(len(urls)), pa.int32())}).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}}), "mine": "kept"}
    )
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=3)
    return out.getvalue()

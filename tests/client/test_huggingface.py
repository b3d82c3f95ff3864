"""Datasets and streams of rows: what stays is what no registry and no picture says anything against."""

import io
import json
import pickle

import pyarrow as pa
import pytest
from PIL import Image

from registry.client import Rules
from registry.client.huggingface import filter_hf
from registry.client.row_pictures import hash_picture, pictures_of
from registry.client.streaming import FilteredStream, StreamOptions
from registry.errors import (
    DatasetError,
    FormatError,
    InputError,
    RegistryAnswerError,
    RegistryUnreachableError,
)
from registry.preference import Action, Mode
from registry.signals.iptc import DataMining
from registry.signals.writing.xmp import XmpRights, write_packet, write_preferences

from .conftest import DOMAIN, LEAVES_FILES_OPEN

pytestmark = LEAVES_FILES_OPEN

HERS, FREE = f"https://{DOMAIN}/1.jpg", "https://free.example/1.jpg"

NO_MINING = XmpRights(DataMining.PROHIBITED)


@pytest.fixture
def client(live, client_of):
    return client_of(live.url)


@pytest.fixture
def pictures(kit, copies):
    """Name → bytes of a picture, and whether it stays."""
    silent = kit.free(5)
    return {
        "free": (kit.free(1), True),
        "a copy": (copies["jpeg"], False),
        "the same file": (copies["same"], False),
        "mirrored": (copies["mirror"], False),
        "free too": (kit.free(2), True),
        "says so itself": (write_preferences(silent, NO_MINING), False),
        "no picture": (b"not a picture", False),
    }


STAYING = ["free", "free too"]


def opened(data):
    return Image.open(io.BytesIO(data))


# A Dataset.


def made(datasets, pictures, **more):
    images = [None if data is None else {"bytes": data, "path": None} for data, _ in pictures.values()]
    rows = {"name": list(pictures), "image": images}
    features = {"name": datasets.Value("string"), "image": datasets.Image()}
    for name in more:
        features[name] = datasets.Value("string")
    return datasets.Dataset.from_dict({**rows, **more}, features=datasets.Features(features))


@pytest.mark.parametrize("workers", [1, 2])
def test_pictures_are_hashed_and_read_from_their_bytes(datasets, client, pictures, workers):
    dataset = made(datasets, pictures)
    clean, summary = filter_hf(dataset, [client], workers=workers)
    assert clean["name"][:] == STAYING
    assert clean.features == dataset.features
    assert all(row["image"].size == (160, 160) for row in clean)
    assert (summary.kept, summary.counts[Action.REMOVE], summary.errors) == (2, 4, 1)
    assert summary.reasons == {"pdq": 2, "sha256": 1, "iptc": 1}
    assert [one.sample.key for one in summary.notable] == ["1", "2", "3", "5", "6"]
    assert summary.to_wire()["image_columns"] == ["image"]
    assert json.dumps(summary.to_wire())


def test_what_is_saved_has_nothing_of_the_removed_rows(datasets, client, pictures, copies, tmp_path):
    clean, _ = filter_hf(made(datasets, pictures), [client])
    clean.save_to_disk(tmp_path / "clean")
    written = b"".join(path.read_bytes() for path in (tmp_path / "clean").glob("*.arrow"))
    assert pictures["free"][0] in written
    assert not [name for name, (data, stays) in pictures.items() if not stays and data in written]
    assert datasets.load_from_disk(tmp_path / "clean")["name"][:] == STAYING


def test_addresses_and_pictures_of_a_row_are_both_looked_up(datasets, client, kit, copies):
    free = kit.free(3)
    rows = {
        "free": (free, FREE, True),
        "hers by address": (free, HERS, False),
        "hers by picture": (copies["jpeg"], FREE, False),
        "no address": (free, None, True),
        "no picture": (None, FREE, True),
        "neither": (None, None, False),
        "no URL": (free, "nothing", False),
    }
    pictures = {name: (data, stays) for name, (data, _, stays) in rows.items()}
    dataset = made(datasets, pictures, url=[url for _, url, _ in rows.values()])
    clean, summary = filter_hf(dataset, [client])
    assert clean["name"][:] == [name for name, (_, _, stays) in rows.items() if stays]
    assert (summary.columns.urls, summary.columns.images) == (("url",), ("image",))
    assert summary.errors == 2
    named, _ = filter_hf(dataset, [client], image_column=(), url_columns="url")
    assert "hers by picture" in named["name"][:]
    assert "hers by address" not in named["name"][:]


def test_rows_of_addresses_in_every_mode(datasets, client):
    dataset = datasets.Dataset.from_dict({"URL": [FREE, HERS, None, ""], "n": [0, 1, 2, 3]})
    clean, summary = filter_hf(dataset, [client])
    assert clean["n"][:] == [0]
    assert (summary.counts["unknown"], summary.errors, summary.reasons) == (1, 2, {"domain": 1})
    strict, summary = filter_hf(dataset, [client], rules=Rules(mode=Mode.STRICT))
    assert len(strict) == 0
    assert summary.counts[Action.REMOVE] == 2


def test_a_list_of_pictures_stays_if_all_of_them_do(datasets, client, kit, copies):
    def image(data):
        return {"bytes": data, "path": None}

    rows = [[image(kit.free(1)), image(kit.free(2))], [image(kit.free(1)), image(copies["jpeg"])], []]
    features = datasets.Features({"images": datasets.List(datasets.Image())})
    dataset = datasets.Dataset.from_dict({"images": rows}, features=features)
    clean, summary = filter_hf(dataset, [client])
    assert len(clean) == 1
    assert [one.size for one in clean[0]["images"]] == [(160, 160)] * 2
    assert (summary.kept, summary.counts[Action.REMOVE], summary.errors) == (1, 1, 1)


def test_formats_indices_and_files_make_no_difference(datasets, client, pictures, tmp_path):
    dataset = made(datasets, pictures).with_format("numpy").select([4, 3, 1, 0])
    clean, _ = filter_hf(dataset, [client])
    assert clean.format["type"] == "numpy"
    assert clean.with_format(None)["name"][:] == ["free too", "free"]
    for name, (data, _) in pictures.items():
        (tmp_path / name).write_bytes(data)
    paths = [str(tmp_path / name) for name in pictures]
    by_path = datasets.Dataset.from_dict({"name": list(pictures), "image": paths})
    clean, summary = filter_hf(by_path.cast_column("image", datasets.Image()), [client])
    assert clean["name"][:] == STAYING
    assert summary.errors == 1
    # A file beside a picture speaks of it.
    (tmp_path / "free.xmp").write_bytes(write_packet(b"", NO_MINING))
    clean, _ = filter_hf(by_path.cast_column("image", datasets.Image()), [client])
    assert clean["name"][:] == ["free too"]


@pytest.mark.parametrize("name", ["splits", "no columns", "a name", "deep", "registries", "list"])
def test_what_cannot_be_looked_up_is_refused_by_name(datasets, client, name):
    def image():
        return datasets.Features({"turn": {"image": datasets.Image()}, "url": datasets.Value("string")})

    dataset = datasets.Dataset.from_dict({"url": [FREE]})
    deep = datasets.Dataset.from_dict({"turn": [{"image": None}], "url": [FREE]}, features=image())
    given, more, registries, error, message = {
        "splits": (datasets.DatasetDict(train=dataset), {}, [client], InputError, "a DatasetDict, not"),
        "no columns": (dataset.rename_column("url", "x"), {}, [client], FormatError, "neither .* are x"),
        "a name": (dataset, {"url_columns": "URL"}, [client], DatasetError, "no column 'URL'"),
        "deep": (deep, {}, [client], FormatError, "deeper in the column 'turn'"),
        "registries": (dataset, {}, [], InputError, "no registry"),
        "list": ([{"url": FREE}], {}, [client], InputError, "a list, not"),
    }[name]
    with pytest.raises(error, match=message):
        filter_hf(given, registries, **more)
    if name == "deep":
        assert len(filter_hf(deep, [client], image_column=())[0]) == 1


def test_a_registry_that_does_not_answer_is_an_error(datasets, client, client_of, pictures):
    dataset = made(datasets, pictures)
    with pytest.raises(RegistryUnreachableError):
        filter_hf(dataset, [client, client_of("http://127.0.0.1:9")])


def test_nothing_comes_from_the_cache_of_datasets(datasets, live, client):
    dataset = datasets.Dataset.from_dict({"url": [FREE, "https://late.example/a.jpg"]})
    assert len(filter_hf(dataset, [client])[0]) == 2
    reserve(live, "https://late.example/a.jpg")
    assert len(filter_hf(dataset, [client])[0]) == 1


def reserve(live, url):
    with live.client("ada") as client:
        client.register({"preferences": {"genai-train": "reserved"}, "works": [{"url": url}]})


# Streams.


def rows_of(pictures, form):
    for name, (data, _) in pictures.items():
        yield {"name": name, "picture": form(data)}


FORMS = {
    "bytes and path": lambda data: {"bytes": data, "path": None},
    "Pillow": opened,
    "a list": lambda data: [{"bytes": data, "path": "a"}],
}


@pytest.mark.parametrize("batch_size", [1, 2, None])
@pytest.mark.parametrize("form", FORMS)
def test_a_stream_hands_on_what_stays(client, pictures, form, batch_size):
    if form == "Pillow":
        pictures = {name: one for name, one in pictures.items() if name != "no picture"}
    gone = []
    options = StreamOptions(batch_size=batch_size, gone=lambda row, verdict: gone.append(row["name"]))
    stream = FilteredStream(list(rows_of(pictures, FORMS[form])), [client], Rules(), options)
    staying = [*STAYING, "says so itself"] if form == "Pillow" else STAYING
    # Of a picture that Pillow has opened the pixels are left, and what the file said is lost.
    assert [row["name"] for row in stream] == [one for one in pictures if one in staying]
    assert sorted([*gone, *staying]) == sorted(pictures)
    assert stream.summary.samples == len(pictures)
    assert stream.summary.kept == len(staying)
    assert stream.summary.columns.images == ("picture",)
    again = [row["name"] for row in stream]
    assert sorted(again) == sorted(staying)
    assert stream.summary.samples == len(pictures)


def test_rows_of_addresses_are_streamed(client):
    rows = [{"url": url, "n": n} for n, url in enumerate([FREE, HERS, "no", None] * 700)]
    stream = FilteredStream(iter(rows), [client])
    assert [row["n"] for row in stream] == list(range(0, 2800, 4))
    assert (stream.summary.samples, stream.summary.errors) == (2800, 1400)
    # It was an iterator, and is used up.
    assert list(stream) == []
    assert stream.summary.samples == 0


def test_an_error_in_the_middle_ends_the_stream_by_name(client, client_of, fake, unknown):
    def refusing(_):
        return 503, {}, {}

    def rows():
        for number in range(9):
            yield {"n": number, "image": opened_free(number)}

    there = fake(unknown, refusing)
    stream = FilteredStream(rows(), [client_of(there.url)], Rules(), StreamOptions(batch_size=3))
    seen = []
    with pytest.raises(RegistryUnreachableError):
        seen.extend(row["n"] for row in stream)
    assert seen == [0, 1, 2]
    assert stream.summary.kept == 3


def opened_free(number):
    return Image.effect_mandelbrot((64, 64), (-2 + number / 9, -1, 1, 1), 9).convert("RGB")


def short(body):
    return 200, {"as_of_seq": 7, "results": []}, {}


def test_an_answer_that_is_none_lets_no_row_through(client_of, fake):
    rows = [{"image": opened_free(0)}]
    with pytest.raises(RegistryAnswerError):
        list(FilteredStream(rows, [client_of(fake(short).url)]))


def test_a_column_that_shows_later_is_looked_at_too(client, kit, copies):
    def image(data):
        return {"bytes": data, "path": None}

    rows = [{"url": FREE}, {"url": FREE, "a": image(copies["jpeg"])}, {"url": FREE, "a": image(kit.free(1))}]
    stream = FilteredStream(rows, [client], Rules(), StreamOptions(batch_size=1))
    assert [row.get("a") for row in stream] == [None, image(kit.free(1))]


WRONG = {
    "nothing to look up": ([{"x": 1}], StreamOptions(), DatasetError, "neither pictures .* have x"),
    "a name": ([{"url": FREE}], StreamOptions(url_columns=["b"]), DatasetError, "no column 'b'"),
    "a name of pictures": (
        [{"url": FREE}],
        StreamOptions(image_columns=["b"]),
        DatasetError,
        "no column 'b'",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_stream_without_anything_to_look_up_is_refused(client, name):
    rows, options, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        list(FilteredStream(rows, [client], Rules(), options))


def test_a_stream_without_a_registry_is_refused_at_once():
    with pytest.raises(InputError, match="no registry"):
        FilteredStream([], [])


@pytest.mark.parametrize("value", [3, "text", {"a": 1}, {"bytes": None, "path": None}], ids=repr)
def test_a_value_that_is_no_picture_is_an_error_of_its_row(client, value):
    stream = FilteredStream([{"image": value}], [client], Rules(), StreamOptions(image_columns=["image"]))
    assert list(stream) == []
    assert stream.summary.errors == 1


def test_pictures_that_are_elsewhere_are_not_fetched(client):
    verdicts = []
    rows = [{"image": {"bytes": None, "path": "hf://datasets/a/b.jpg"}}]
    options = StreamOptions(gone=lambda _, verdict: verdicts.append(verdict.reason))
    assert list(FilteredStream(rows, [client], Rules(), options)) == []
    assert verdicts == ["its bytes are not here: hf://datasets/a/b.jpg"]


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "F", "I", "LAB", "PA", "1", "P", "RGBA", "LA", "I;16"])
def test_pictures_of_every_mode_are_hashed_or_a_fault(mode):
    image = Image.effect_mandelbrot((64, 64), (-2, -1, 1, 1), 9).convert("RGB")
    image = image.convert("L").convert("I").convert(mode) if mode == "I;16" else converted(image, mode)
    [picture] = pictures_of(image, "a")
    hashed = hash_picture(picture)
    assert (hashed.fingerprint is None) != (hashed.error == "")
    assert hashed.fingerprint is None or hashed.fingerprint.sha256 is None


def converted(image, mode):
    if mode == "LAB":
        return Image.merge("LAB", image.split())
    return image.convert("P").convert("PA") if mode == "PA" else image.convert(mode)


def test_a_turned_picture_is_hashed_as_it_is_seen(client, copies):
    image = opened(copies["jpeg"]).convert("RGB").rotate(90, expand=True)
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # It is to be turned by 90 degrees clockwise.
    image.save(out, "JPEG", exif=exif)
    assert list(FilteredStream([{"image": opened(out.getvalue())}], [client])) == []


@pytest.mark.parametrize("made_by", ["generator", "parquet"])
def test_a_stream_of_datasets_comes_decoded(datasets, client, pictures, made_by, tmp_path):
    whole = made(datasets, pictures)
    if made_by == "parquet":
        whole.to_parquet(tmp_path / "a.parquet")
        rows = datasets.load_dataset(
            "parquet", data_files=str(tmp_path / "a.parquet"), split="train", streaming=True
        )
    else:
        rows = whole.to_iterable_dataset()
    stream = FilteredStream(rows, [client])
    kept = list(stream)
    assert [row["name"] for row in kept] == STAYING
    assert all(row["image"].convert("RGB").size == (160, 160) for row in kept)
    assert stream.summary.reasons == {"pdq": 2, "sha256": 1, "iptc": 1}
    assert [row["name"] for row in stream.__class__(rows.shuffle(seed=1), [client])] != []


def test_a_stream_becomes_a_dataset_again(datasets, client, pictures):
    stream = FilteredStream(made(datasets, pictures).to_iterable_dataset(), [client])
    again = datasets.IterableDataset.from_generator(lambda: iter(stream))
    assert [row["name"] for row in again] == STAYING


def test_a_stream_goes_to_another_process(client):
    stream = FilteredStream([{"url": FREE}, {"url": HERS}], [client], Rules(), StreamOptions(gone=ignored))
    there = pickle.loads(pickle.dumps(stream))  # noqa: S301 - made a line before
    assert list(there) == [{"url": FREE}]


def ignored(*_):
    return


def test_pyarrow_s_own_rows_are_dicts_too(client):
    rows = pa.table({"url": [FREE, HERS]}).to_pylist()
    assert list(FilteredStream(rows, [client])) == [{"url": FREE}]

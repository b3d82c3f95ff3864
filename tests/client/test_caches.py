"""What the names of caches tell."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.client.formats.caches import is_of_a_folder, stems_told
from registry.client.formats.sidefiles import arrange
from registry.client.formats.trainers import left_behind

TOLD = {
    # path: the stems that it may be of
    "a_b_0512x0640_sdxl.npz": {"a_b", "a_b_0512x0640_sdxl"},
    "a_0064x0064.npz": {"a", "a_0064x0064"},
    "A_0064X0064_SDXL.NPZ": {"a", "a_0064x0064_sdxl"},
    "a_te_outputs.npz": {"a", "a_te_outputs"},
    "a_sd3_te.npz": {"a", "a_sd3_te"},
    "a_other_te.npz": {"a_other_te"},
    "a_b.npz": {"a_b"},
    "a_1024x0768_wan.safetensors": {"a"},
    "a_00000-025_0512x0640_hv15.safetensors": {"a", "a_00000-025"},
    "a_b_qie_te.safetensors": {"a_b"},
    "x/_latent_cache/a_b_Zm9vYmFyYmF6cXV4MDEyMw.safetensors": {"a_b"},
    "_t_e_cache/a_Zm9v_mFyYmF6cXV4-DEyMw==.safetensors": {"a"},
    "other/a_Zm9vYmFyYmF6cXV4MDEyMw.safetensors": set(),
    "_latent_cache/a_short.safetensors": set(),
    "a_1.pt": set(),
    "a_model.safetensors": set(),
}


@pytest.mark.parametrize("path", TOLD)
def test_a_name_tells_the_stem_to_the_letter_or_not_at_all(path):
    assert stems_told(path) == TOLD[path]


OF_A_FOLDER = {
    "metadata_cache.json": True,
    "x/aspect_ratio_bucket_indices_my-set.json": True,
    "aspect_ratio_bucket_metadata_my-set.json": True,
    "caption_cache.json": True,
    "w/image/cache.json": True,
    "w/image/cache.json.bak": True,
    f"w/image/{'0f' * 32}/variation-0/12.pt": True,
    "variation-3/aggregate.pt": True,
    "w/image/aggregate.pt": True,
    "w/image/0123456789ab_512x768_1.pt": True,
    "w/image/0123456789ab_2.pt": True,
    "variation-0.pt": False,
    "variations/0.pt": False,
    "0123456789abc_1.pt": False,
    "mycache.json": False,
    "cache.jsonl": False,
}


@pytest.mark.parametrize("path", OF_A_FOLDER)
def test_caches_of_many_pictures_are_known_by_their_place_or_name(path):
    assert is_of_a_folder(path) is OF_A_FOLDER[path]


@pytest.mark.parametrize("path", [path for path, is_one in OF_A_FOLDER.items() if is_one])
def test_caches_of_many_pictures_never_come_along_whatever_the_pictures_are_called(path):
    stem = path.rpartition("/")[2].partition(".")[0]
    layout = arrange([f"{stem}.png", f"w/{stem}.png", path])
    assert layout.losses({}).keys() == {path}


LEFT = {
    "": {},
    "a.txt b.npz c.json README.md a-mask.png": {},
    "x/metadata_cache.json": {"kohya"},
    "a_0512x0512_sdxl.npz": {"kohya"},
    "a_sd3_te.npz": {"kohya"},
    "a_0512x0512_wan.safetensors": {"musubi"},
    "cache/a_wan_te.safetensors": {"musubi"},
    "a-masklabel.png": {"onetrainer"},
    "w/variation-0/1.pt": {"onetrainer"},
    "aspect_ratio_bucket_indices_x.json": {"simpletuner"},
    "_controls/a.png": {"ai-toolkit"},
    "x/_latent_cache/a.safetensors": {"ai-toolkit"},
    ".aitk_size.json": {"ai-toolkit"},
    "a_0512x0512_wan.safetensors a_0512x0512_sdxl.npz": {"kohya", "musubi"},
}


@pytest.mark.parametrize("files", LEFT)
def test_trainers_are_known_by_what_they_leave(files):
    assert left_behind(files.split()).keys() == set(LEFT[files])


STEM = st.text("ab_-.0x", min_size=1, max_size=6).filter(lambda stem: stem.strip("."))
FORMS = st.sampled_from(
    [
        "{}.npz",
        "{}_0512x0512_sdxl.npz",
        "{}_te_outputs.npz",
        "{}_0512x0512_wan.safetensors",
        "{}_wan_te.safetensors",
    ]
)


@given(st.sets(STEM, min_size=1, max_size=4), STEM, FORMS)
def test_a_cache_of_a_picture_that_goes_or_is_not_there_never_comes_along(stems, stem, form):
    pictures = {f"{one}.png" for one in stems}
    layout = arrange([*pictures, form.format(stem)])
    assert form.format(stem) in layout.losses({f"{stem}.png": "it goes"}) or f"{stem}.png" not in pictures
    if layout.derived.get(form.format(stem)):
        assert any(f"{one}.png" in pictures for one in stems_told(form.format(stem)))

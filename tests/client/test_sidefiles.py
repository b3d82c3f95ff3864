"""Which files beside pictures go with which: dataset-formats.md §2, row by row."""

import pytest

from registry.client.formats.sidefiles import arrange
from registry.client.formats.told import Told

KOHYA_CACHES = [
    "{}.npz",
    *(f"{{}}_0512x0640_{model}.npz" for model in ("sd", "sdxl", "sd3", "flux", "lumina", "hi", "anima")),
    *(f"{{}}_{model}.npz" for model in ("te_outputs", "sd3_te", "flux_te", "hi_te", "lumina_te", "anima_te")),
]
MUSUBI_CACHES = [
    "{}_0512x0640_wan.safetensors",
    "{}_00000-025_0512x0640_hv.safetensors",
    "{}_wan_te.safetensors",
]
AI_TOOLKIT_CACHES = [
    "_latent_cache/{}_Zm9vYmFyLV8=.safetensors",
    "_t_e_cache/{}_q8-_Xy==.safetensors",
    "_clip_vision_cache/{}_a_b-c.safetensors",
]
OTHER_CACHES = ["{}.pt", "{}.latent", "vae/{}.pt", "cache/deep/{}_0.bin", "{}-0.npy", "{}_0064X0064_SDXL.NPZ"]
MASKS = ["{}-masklabel.png", "{}-condlabel.png", "{}-mask.png", "{}_mask.PNG", "{}.mask.webp"]
CAPTIONS = [
    "{}.txt",
    "{}.caption",
    "{}.tags",
    "{}.json",
    "{}.TXT",
    "{}.bbox",
    "{}.xmp",
    "{}.wd14.txt",
    "{}.png.txt",
]
DERIVED = [*KOHYA_CACHES, *MUSUBI_CACHES, *AI_TOOLKIT_CACHES, *OTHER_CACHES, *MASKS]


@pytest.mark.parametrize("form", [*DERIVED, *CAPTIONS])
def test_what_is_derived_from_a_picture_goes_with_it_and_stays_with_it(form):
    for folder in ("", "10_cat/", "a/b c/"):
        for stem in ("img", "img.v2", "img_001", "IMG-1", "ünï", "img_1_2_3_4"):
            picture, beside = f"{folder}{stem}.png", folder + form.format(stem)
            layout = arrange([picture, f"{folder}another.jpg", beside])
            assert layout.losses({picture: ""}).keys() == {beside}
            assert layout.losses({f"{folder}another.jpg": ""}) == {}
            masks = [beside] if form in MASKS else []
            assert layout.pictures == sorted([picture, f"{folder}another.jpg", *masks])


RULES = {
    # name: (files, removed, what goes with it)
    "caption of two pictures, one goes": ("a.png a.jpg a.txt", "a.png", ""),
    "caption of two pictures, both go": ("a.png a.jpg a.txt", "a.png a.jpg", "a.txt"),
    "cache of two pictures, one goes": ("a.png a.jpg a.npz", "a.jpg", "a.npz"),
    "mask of two pictures, one goes": ("a.png a.jpg a-masklabel.png", "a.jpg", "a-masklabel.png"),
    "face crop and its whole share a caption": ("f.png f_1_2_3_4.png f.txt", "f_1_2_3_4.png", ""),
    "the whole of a face crop goes, the crop reads on": ("f.png f_1_2_3_4.png f.txt", "f.png", ""),
    "both go": ("f.png f_1_2_3_4.png f.txt", "f.png f_1_2_3_4.png", "f.txt"),
    "two face crops, one goes": ("f_1_2_3_4.png f_5_6_7_8.png f.txt", "f_1_2_3_4.png", ""),
    "the only face crop": ("f_1_2_3_4.png f.txt", "f_1_2_3_4.png", "f.txt"),
    "a face crop's own caption": ("f.png f_1_2_3_4.png f_1_2_3_4.txt", "f_1_2_3_4.png", "f_1_2_3_4.txt"),
    "five numbers: a crop of a numbered picture": ("f_9_1_2_3_4.png f_9.txt", "f_9_1_2_3_4.png", "f_9.txt"),
    "three numbers are no face crop": ("f_1_2_3.png f.txt", "f_1_2_3.png", ""),
    "cache of a face crop": ("f.png f_1_2_3_4.png f_1_2_3_4.npz", "f_1_2_3_4.png", "f_1_2_3_4.npz"),
    "a stem that begins another: its caption": ("a.png a_b.png a_b.txt", "a.png", ""),
    "a stem that begins another: a cache of doubt": ("a.png a_b.png a_b.npz", "a.png", "a_b.npz"),
    "letters that go on are another stem": ("a.png ab.png ab.npz ab.txt", "a.png", ""),
    "numbers that go on are another stem": ("1.png 10.png 10_0064x0064_sdxl.npz", "1.png", ""),
    "dots: the longest stem reads the text": ("a.png a.b.png a.b.txt", "a.png", ""),
    "dots: the longest stem, gone": ("a.png a.b.png a.b.txt", "a.b.png", "a.b.txt"),
    "dots: a text of a shorter stem": ("a.png a.b.txt", "a.png", "a.b.txt"),
    "a caption named after the whole file": ("a.png a.jpg a.png.txt", "a.jpg", ""),
    "a caption named after the whole file, gone": ("a.png a.jpg a.png.txt", "a.png", "a.png.txt"),
    "case of the suffix": ("A.PNG A.txt", "A.PNG", "A.txt"),
    "case of the stem": ("Img.png img.TXT IMG.npz", "Img.png", "img.TXT IMG.npz"),
    "two pictures that differ in case": ("a.png A.jpg a.txt", "a.png", ""),
    "the same stem in another folder": ("x/a.png y/a.png y/a.txt y/a.npz", "x/a.png", ""),
    "a cache folder belongs to the folder above": (
        "x/a.png y/a.png y/_latent_cache/a_Q0.safetensors", "x/a.png", ""
    ),
    "a cache folder below, gone": (
        "x/a.png y/a.png y/_latent_cache/a_Q0.safetensors", "y/a.png", "y/_latent_cache/a_Q0.safetensors"
    ),
    "a text of nobody": ("a.png README.md config.toml default.txt", "a.png", ""),
    "a control picture in its folder": ("i/a.png i/b.png cond/a.png cond/b.png", "i/a.png", "cond/a.png"),
    "numbered control pictures": ("img/a.png control/a_0.png control/a_1.png control/b.png", "img/a.png",
                                  "control/a_0.png control/a_1.png"),
    "a control picture that goes leaves its picture": ("img/a.png control/a.png", "control/a.png", ""),
    "the same stem in a folder of another class": ("cats/001.png dogs/001.png", "cats/001.png", ""),
    "a mask that goes leaves its picture": ("a.png a_mask.png", "a_mask.png", ""),
    "what is cached of a picture holds its mask too": (
        "a.png a_mask.png a-masklabel.png a.npz a.txt", "a_mask.png", "a.npz"
    ),
    "what is cached of a picture holds its control picture too": (
        "img/a.png control/a_0.png img/a_0064x0064_qie.safetensors img/a_qie_te.safetensors",
        "control/a_0.png",
        "img/a_0064x0064_qie.safetensors img/a_qie_te.safetensors",
    ),
    "a cache that tells its stem, of a picture that is not there": (
        "a.png a_b_0064x0064_sdxl.npz a_c.npz a_d_wan_te.safetensors", "",
        "a_b_0064x0064_sdxl.npz a_c.npz a_d_wan_te.safetensors",
    ),
    "letters composed in another way: its text": ("\u00e4.png a\u0308.txt", "\u00e4.png", "a\u0308.txt"),
    "letters composed in another way: its caches": (
        "a\u0308.png \u00c4_0064x0064_sdxl.npz _latent_cache/\u00e4.pt A\u0308-masklabel.png", "a\u0308.png",
        "\u00c4_0064x0064_sdxl.npz _latent_cache/\u00e4.pt A\u0308-masklabel.png",
    ),
    "a folder composed in another way": ("\u00e4/b.png a\u0308/b.npz", "\u00e4/b.png", "a\u0308/b.npz"),
    "two pictures that are one name on some systems": (
        "\u00e4.png a\u0308.jpg \u00c4.txt \u00e4.npz", "a\u0308.jpg", "\u00e4.npz"
    ),
    "letters without a case": ("\u732b.png \u732b.txt \u732b_te_outputs.npz", "\u732b.png",
                               "\u732b.txt \u732b_te_outputs.npz"),
    "letters that are two without case": ("stra\u00dfe.png STRASSE.txt", "stra\u00dfe.png", "STRASSE.txt"),
    "the caption of all that have none": ("default.png a.png default.txt default.caption", "default.png", ""),
}  # fmt: skip


@pytest.mark.parametrize(("files", "removed", "lost"), RULES.values(), ids=RULES)
def test_rules_of_companions(files, removed, lost):
    layout = arrange(files.split())
    assert layout.losses(dict.fromkeys(removed.split(), "")).keys() == set(lost.split())


STALE = [
    "metadata_cache.json",
    "aspect_ratio_bucket_indices_my-set.json",
    "aspect_ratio_bucket_metadata_my-set.json",
    "caption_cache.json",
    "Thumbs.db",
    "desktop.ini",
    "gone_0064x0064_sdxl.npz",
    "gone.npz",
    "_latent_cache/gone_Q0.safetensors",
    "cache_dir/image/0f1e/variation-0/0.pt",
    "cache_dir/image/0f1e/variation-0/aggregate.pt",
    "gone_wan_te.safetensors",
]


@pytest.mark.parametrize("folder", ["", "10_cat/"])
@pytest.mark.parametrize("path", STALE)
def test_caches_of_a_folder_and_of_nobody_never_come_along(folder, path):
    layout = arrange([f"{folder}a.png", folder + path])
    assert layout.losses({}).keys() == {folder + path}


@pytest.mark.parametrize("path", ["a.zip", "a.mp4", "a.tar", "a.psd", "a", "a.py", "a.ckpt", "a.parquet"])
def test_what_cannot_be_checked_has_a_place_of_its_own(path):
    assert arrange(["a.png", path]).strange == [path]


@pytest.mark.parametrize("path", ["b-masklabel.png", "b_mask.png", "mask.png", "_mask.png", "amask.png"])
def test_a_mask_of_nobody_is_a_picture(path):
    layout = arrange(["a.png", path])
    assert layout.pictures == sorted(["a.png", path])


def test_every_file_has_exactly_one_place():
    paths = [
        f"{folder}{form.format(stem)}" for folder in ("", "x/") for stem in ("a", "b_1") for form in DERIVED
    ]
    paths = sorted({*paths, *STALE, "a.png", "x/b_1.jpg", "a.txt", "README.md", "odd.zip"})
    layout = arrange(paths)
    caches = layout.derived.keys() - set(layout.pictures)
    places = [*layout.pictures, *layout.shared, *caches, *layout.stale, *layout.plain, *layout.strange]
    assert sorted(places) == paths


CONTROLS = Told(controls=frozenset({("before", "img"), ("img/masks", "img")}))
LAYERS = Told(layered=frozenset({"split"}))
TOLD = {
    # what: (told, files, removed, what else goes)
    "a control picture goes": (CONTROLS, "img/a.png before/a.png", "img/a.png", "before/a.png"),
    "a picture goes with it": (CONTROLS, "img/a.png before/a.png", "before/a.png", "img/a.png"),
    "one of several takes them all": (
        CONTROLS, "img/a.png before/a_0.png before/a_0001.png img/b.png", "before/a_0001.png",
        "img/a.png before/a_0.png",
    ),
    "two folders of control pictures": (
        CONTROLS, "img/a.png before/a.png img/masks/a.png", "img/masks/a.png", "img/a.png before/a.png"
    ),
    "the folder below is taken first": (
        CONTROLS, "img/x/a.png img/y/a.png before/x/a.png", "img/y/a.png", ""
    ),
    "any of the stem where there is none below": (
        CONTROLS, "img/x/a.png img/y/a.png before/a.png", "img/y/a.png", "before/a.png img/x/a.png"
    ),
    "other folders are no control pictures": (CONTROLS, "img/a.png after/a.png", "img/a.png", ""),
    "case and composition": (
        CONTROLS, "img/\u00e4.png before/A\u0308.jpg", "img/\u00e4.png", "before/A\u0308.jpg"
    ),
    "layers go with their picture": (LAYERS, "split/a.png split/a_1.png split/a_2.png", "split/a.png",
                                     "split/a_1.png split/a_2.png"),
    "a picture goes with its layers": (LAYERS, "split/a.png split/a_1.png split/b.png", "split/a_1.png",
                                       "split/a.png"),
    "layers are told": (LAYERS, "img/a.png img/a_1.png", "img/a.png", ""),
}  # fmt: skip


@pytest.mark.parametrize(("told", "files", "removed", "more"), TOLD.values(), ids=TOLD)
def test_what_settings_tell_goes_together(told, files, removed, more):
    layout = arrange(files.split(), told)
    gone = {removed: "reserved"}
    while found := layout.pictures_of(gone):
        gone |= found
    assert gone.keys() == {removed, *more.split()}


def test_captions_and_caches_are_where_settings_tell():
    told = Told(captions=frozenset({("x", ".cap"), ("x", ".words.md")}), caches=frozenset({"latents"}))
    files = ["x/a.png", "x/a.cap", "x/a.words.md", "x/b.cap", "a.cap", "latents/any.thing", "latents/a.txt"]
    layout = arrange(files, told)
    assert layout.shared == {"x/a.cap": {"x/a.png"}, "x/a.words.md": {"x/a.png"}}
    assert (layout.plain, layout.strange) == (["x/b.cap"], ["a.cap"])
    assert layout.stale == ["latents/a.txt", "latents/any.thing"]

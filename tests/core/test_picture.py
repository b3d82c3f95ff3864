import contextlib
import io
import itertools
import struct
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from registry.errors import PictureError, PictureTooLargeError
from registry.picture import FORMATS, MAX_PIXELS, decode_picture

CORNERS = np.array(
    [[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[9, 9, 9], [200, 200, 200], [255, 255, 0]]], np.uint8
)
# What a viewer must do with pixels stored under each EXIF orientation (Exif 2.32, 4.6.4 A).
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a),
}


def exif(orientation):
    data = Image.Exif()
    data[0x0112] = orientation
    return data


def scene(width=48, height=40):
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([(5 * x) % 256, (3 * y + x) % 256, (x * y) % 256], -1).astype(np.uint8))


@pytest.mark.parametrize("kind", FORMATS)
def test_each_format_is_read_from_its_bytes(kind, encode):
    picture = decode_picture(encode(scene(), kind))
    assert (picture.format, picture.size, picture.on_black) == (kind, (48, 40), None)
    assert (picture.rgb.shape, picture.rgb.dtype) == ((40, 48, 3), np.uint8)
    if kind in ("PNG", "BMP", "TIFF"):
        assert np.array_equal(picture.rgb, np.asarray(scene()))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation, kind, encode):
    options = {"lossless": True} if kind == "WEBP" else {}
    picture = decode_picture(encode(Image.fromarray(CORNERS), kind, exif=exif(orientation), **options))
    assert np.array_equal(picture.rgb, UPRIGHT[orientation](CORNERS))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_of_a_jpeg_is_applied(orientation, encode):
    blocks = Image.fromarray(CORNERS.repeat(16, 0).repeat(16, 1))
    data = encode(blocks, "JPEG", quality=95, subsampling=0, exif=exif(orientation))
    expected = UPRIGHT[orientation](np.asarray(blocks))
    picture = decode_picture(data)
    assert picture.rgb.shape == expected.shape
    assert np.abs(picture.rgb[8::16, 8::16].astype(int) - expected[8::16, 8::16]).max() <= 6


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none_leaves_the_picture_as_it_lies(orientation, encode):
    data = encode(Image.fromarray(CORNERS), exif=exif(orientation))
    assert np.array_equal(decode_picture(data).rgb, CORNERS)


def test_broken_exif_leaves_the_picture_as_it_lies(png):
    data = png(1, 1, 8, 2, b"\0\x01\x02\x03", (b"eXIf", b"II*\0\xff\xff\xff\xff"))
    assert decode_picture(data).rgb.tolist() == [[[1, 2, 3]]]


@pytest.mark.parametrize(
    ("mode", "colour", "white", "black"),
    [
        ("RGBA", (100, 50, 0, 0), [255, 255, 255], [0, 0, 0]),
        ("RGBA", (100, 50, 0, 51), [224, 214, 204], [20, 10, 0]),
        ("LA", (100, 0), [255, 255, 255], [0, 0, 0]),
        ("LA", (100, 51), [224, 224, 224], [20, 20, 20]),
    ],
)
def test_alpha_is_laid_on_white_and_on_black(mode, colour, white, black, encode):
    picture = decode_picture(encode(Image.new(mode, (3, 2), colour)))
    assert picture.rgb[1, 2].tolist() == white
    assert picture.on_black[1, 2].tolist() == black


@pytest.mark.parametrize(("mode", "colour"), [("RGBA", (100, 50, 0, 255)), ("LA", (100, 255))])
def test_an_opaque_alpha_channel_counts_as_none(mode, colour, encode):
    picture = decode_picture(encode(Image.new(mode, (3, 2), colour)))
    assert picture.on_black is None
    assert picture.rgb[0, 0, 0] == 100


@pytest.mark.parametrize(
    ("transparency", "white", "black"),
    [(0, [255, 255, 255], [0, 0, 0]), (bytes([51]), [206, 208, 210], [2, 4, 6]), (1, [10, 20, 30], None)],
    ids=["index", "table", "another index"],
)
def test_transparency_of_a_palette_is_applied(transparency, white, black, encode):
    image = Image.new("P", (3, 2), 0)
    image.putpalette([10, 20, 30, 40, 50, 60])
    picture = decode_picture(encode(image, transparency=transparency))
    assert picture.rgb[0, 0].tolist() == white
    assert (None if picture.on_black is None else picture.on_black[0, 0].tolist()) == black


@pytest.mark.parametrize(
    ("colour", "samples", "rgb"),
    [
        (0, b"\x12\xff\xfe\x01", [[18] * 3, [254] * 3]),
        (2, b"\x12\xff\x56\x78\x9a\xbc\0\xff\xff\0\x80\x80", [[18, 86, 154], [0, 255, 128]]),
    ],
    ids=["grey", "RGB"],
)
def test_16_bit_samples_keep_their_upper_8_bits(colour, samples, rgb, png):
    assert decode_picture(png(2, 1, 16, colour, b"\0" + samples)).rgb.tolist() == [rgb]


def test_16_bit_grey_is_the_same_as_its_8_bit_copy(encode):
    grey = np.arange(256, dtype=np.uint16).reshape(16, 16)
    sixteen = decode_picture(encode(Image.fromarray(grey * 257)))
    eight = decode_picture(encode(Image.fromarray(grey.astype(np.uint8))))
    assert np.array_equal(sixteen.rgb, eight.rgb)


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_grey_and_palette_become_rgb(mode, encode):
    assert (
        decode_picture(encode(Image.new("L", (3, 2), 255).convert(mode))).rgb.tolist()
        == [[[255] * 3] * 3] * 2
    )


def test_a_cmyk_jpeg_has_its_colours_the_right_way_round(encode):
    picture = decode_picture(encode(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95))
    assert np.abs(picture.rgb[8, 8].astype(int) - [255, 0, 0]).max() <= 3


def test_of_an_animated_gif_the_first_frame_is_taken(encode):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("#ff0000", "#00ff00", "#0000ff")]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert decode_picture(data).rgb[4, 4].tolist() == [255, 0, 0]


def test_colour_profiles_are_ignored(png):
    lines = b"\0\x0a\x14\x1e"
    assert decode_picture(png(1, 1, 8, 2, lines, (b"gAMA", struct.pack(">I", 10000)))).rgb.tolist() == [
        [[10, 20, 30]]
    ]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "BMP", "GIF"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_a_truncated_picture_is_refused(kind, share, encode):
    data = encode(scene(200, 150), kind)
    with pytest.raises(PictureError):
        decode_picture(data[: int(len(data) * share)])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"<html></html>",
        b"<svg/>",
        b"%PDF-1.7",
        b"a" * 999,
    ],
    ids=["empty", "NUL", "JPEG start", "PNG start", "GIF start", "HTML", "SVG", "PDF", "text"],
)
def test_what_is_no_picture_is_refused(data):
    with pytest.raises(PictureError) as caught:
        decode_picture(data)
    assert caught.value.hint


@pytest.mark.parametrize("kind", ["ICO", "PPM", "TGA", "PCX", "EPS", "JPEG2000"])
def test_other_formats_of_pillow_are_refused(kind, encode):
    with pytest.raises(PictureError):
        decode_picture(encode(scene(), kind))


def bmp_header(width, height):
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + header


@pytest.mark.parametrize(
    ("width", "height"), [(20_000, 10_000), (10_000, 9_000), (MAX_PIXELS + 1, 1), (2**31 - 1, 2**31 - 1)]
)
def test_a_header_that_claims_too_many_pixels_is_refused_before_decoding(width, height, png):
    small = [png(width, height, 8, 2, b"")]
    if width < 2**31 - 1:
        small.append(bmp_header(width, height))
    for data in small:
        start = time.perf_counter()
        with pytest.raises(PictureTooLargeError, match="at most 89 megapixels"):
            decode_picture(data)
        assert time.perf_counter() - start < 1
        assert len(data) < 100


def test_a_header_within_the_bound_is_not_called_too_large(png):
    with pytest.raises(PictureError) as caught:
        decode_picture(png(9_000, 9_000, 1, 0, b""))
    assert not isinstance(caught.value, PictureTooLargeError)


def test_the_smallest_picture_is_one_pixel(encode):
    assert decode_picture(encode(Image.new("RGB", (1, 1), (9, 8, 7)))).rgb.tolist() == [[[9, 8, 7]]]


@given(
    width=st.integers(1, 12),
    height=st.integers(1, 12),
    seed=st.integers(0, 999),
    kind=st.sampled_from(["PNG", "BMP", "TIFF"]),
)
def test_lossless_formats_give_their_pixels_back(width, height, seed, kind, encode):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    picture = decode_picture(encode(Image.fromarray(pixels), kind))
    assert np.array_equal(picture.rgb, pixels)
    assert picture.size == (width, height)


@given(drawn=st.data())
def test_damaged_bytes_decode_or_are_refused_by_name(drawn, encode):
    kind = drawn.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "WEBP"]))
    damaged = bytearray(encode(scene(), kind))
    for at, value in drawn.draw(
        st.lists(st.tuples(st.integers(0, len(damaged) - 1), st.integers(0, 255)), max_size=4)
    ):
        damaged[at] = value
    try:
        picture = decode_picture(bytes(damaged))
    except PictureError:
        return
    assert picture.rgb.shape == (*picture.size[::-1], 3)


def test_the_same_pixels_come_from_every_lossless_format(encode):
    decoded = [
        decode_picture(encode(scene(), kind, **options)).rgb
        for kind, options in [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True})]
    ]
    assert all(np.array_equal(one, other) for one, other in itertools.pairwise(decoded))


def test_a_damaged_avif_is_an_error_by_name_wherever_it_is_damaged():
    packed = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").save(packed, "AVIF")
    whole = packed.getvalue()
    for place in range(0, len(whole), 7):
        with contextlib.suppress(PictureError):
            decode_picture(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])

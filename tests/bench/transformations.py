"""What happens to pictures between their maker and a training set: 45 transformations, each with a name.

They are what LoRA preparation does (squares, buckets, mirrored copies), what platforms and reposters do
(compression, scaling, marks, captions, borders, screenshots) and what people do by hand. Each takes an
upright RGB picture and a generator of its own, seeded by picture and name, and gives the bytes of a file.

Originals longer than ``LONGEST`` are scaled down to it first, as platforms do. Sizes are relative to the
picture unless a number of pixels is given. What names no file format is saved as JPEG at quality 90. Where a
default was to be chosen, it is that of a person's tool, and ``what`` says so.
"""

import io
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

Pixels = Image.Image
Apply = Callable[[Pixels, random.Random], Pixels]
LONGEST = 2_048
"""Pixels of the longer side of what is changed."""
_LANCZOS = Image.Resampling.LANCZOS
_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Transformation:
    """A named change of a picture, and how its result is saved."""

    name: str
    what: str
    apply: Apply
    file: str = "JPEG"
    quality: int = 90

    def bytes_of(self, image: Pixels, seed: str) -> bytes:
        """Return the file that ``image`` becomes; equal for equal ``seed``."""
        return _saved(self.apply(image, random.Random(f"{self.name} {seed}")), self.file, self.quality)


def original_of(pixels: NDArray[np.uint8]) -> Pixels:
    """Return the picture that is changed, of ``pixels: uint8[h, w, 3]``."""
    image = Image.fromarray(pixels)
    image.thumbnail((LONGEST, LONGEST), _LANCZOS)
    return image


def _saved(image: Pixels, file: str, quality: int) -> bytes:
    packed = io.BytesIO()
    image.save(packed, file, quality=quality)
    return packed.getvalue()


def _same(image: Pixels, _: random.Random) -> Pixels:
    return image


# Scale and part


def _short_side(image: Pixels, _: random.Random, side: int) -> Pixels:
    factor = side / min(image.size)
    return image.resize((round(image.width * factor), round(image.height * factor)), _LANCZOS)


def _square(image: Pixels, _: random.Random, side: int | None = None) -> Pixels:
    side = side or min(image.size)
    return ImageOps.fit(image, (side, side), _LANCZOS)


def _crop(image: Pixels, rng: random.Random, area: float) -> Pixels:
    width, height = (round(length * area**0.5) for length in image.size)
    left, top = rng.randint(0, image.width - width), rng.randint(0, image.height - height)
    return image.crop((left, top, left + width, top + height))


def _bucket(image: Pixels, _: random.Random, area: int = 512 * 512, step: int = 64) -> Pixels:
    widths = range(256, 1024 + step, step)
    sizes = [(width, min(1024, area // width // step * step)) for width in widths]
    aspect = image.width / image.height
    nearest = min(sizes, key=lambda size: abs(size[0] / size[1] - aspect))
    return ImageOps.fit(image, nearest, _LANCZOS)


def _flip(image: Pixels, _: random.Random, way: Image.Transpose) -> Pixels:
    return image.transpose(way)


def _mirrored_crop(image: Pixels, rng: random.Random) -> Pixels:
    return _crop(ImageOps.mirror(image), rng, 0.9)


def _rotate(image: Pixels, rng: random.Random, degrees: float) -> Pixels:
    return image.rotate(rng.choice((degrees, -degrees)), Image.Resampling.BICUBIC)


def _straighten(image: Pixels, rng: random.Random, degrees: float) -> Pixels:
    """Turn, then keep the largest rectangle of the same shape without empty corners."""
    turned = _rotate(image, rng, degrees)
    angle, (short, long) = np.deg2rad(degrees), sorted(image.size)
    factor = 1 / (np.cos(angle) + long / short * np.sin(angle))
    width, height = (int(length * factor) for length in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return turned.crop((left, top, left + width, top + height))


# Light and grain


def _enhance(image: Pixels, _: random.Random, kind: type[Any], factor: float) -> Pixels:
    return kind(image).enhance(factor)


def _gamma(image: Pixels, _: random.Random, exponent: float) -> Pixels:
    return image.point([round(255 * (value / 255) ** exponent) for value in range(256)] * 3)


def _grey(image: Pixels, _: random.Random) -> Pixels:
    return image.convert("L").convert("RGB")


def _filter(image: Pixels, _: random.Random) -> Pixels:
    down, across = (np.linspace(-1, 1, length)[:, None] for length in (image.height, image.width))
    light = 1.08 - 0.25 * (down**2 + across.T**2)
    toned = np.asarray(image, np.float32) * light[..., None] * (1.08, 1.0, 0.82)
    return Image.fromarray(np.clip(toned, 0, 255).astype(np.uint8))


def _noise(image: Pixels, rng: random.Random, deviation: float) -> Pixels:
    grain = np.random.default_rng(rng.getrandbits(64)).normal(0, deviation, (image.height, image.width, 3))
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))


def _blur(image: Pixels, _: random.Random) -> Pixels:
    return image.filter(ImageFilter.GaussianBlur(min(image.size) / 200))


def _palette(image: Pixels, _: random.Random) -> Pixels:
    return image.quantize(palette=image.quantize(64))  # Pillow dithers to a given palette only


# Things laid over


def _text(size: float) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(max(8, size))
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow needs FreeType for the bench"
    return font


def _watermark(image: Pixels, _: random.Random) -> Pixels:
    size = min(image.size) / 14
    tile = Image.new("RGBA", (round(size * 6.5), round(size * 3.5)))
    ImageDraw.Draw(tile).text((size / 4, size), "© preview", font=_text(size), fill=(128, 128, 128, 140))
    side = int(np.hypot(image.width, image.height)) + 1
    sheet = Image.new("RGBA", (side, side))
    for left in range(0, side, tile.width):
        for top in range(0, side, tile.height):
            sheet.paste(tile, (left, top))
    turned = sheet.rotate(30, Image.Resampling.BILINEAR)
    left, top = (side - image.width) // 2, (side - image.height) // 2
    part = turned.crop((left, top, left + image.width, top + image.height))
    return Image.alpha_composite(image.convert("RGBA"), part).convert("RGB")


def _corner_mark(image: Pixels, _: random.Random) -> Pixels:
    marked, size = image.copy(), min(image.size) / 16
    at = (image.width - size / 2, image.height - size / 2)
    draw = ImageDraw.Draw(marked)
    draw.text(at, "@some_gallery", _WHITE, _text(size), anchor="rs", stroke_width=2, stroke_fill=_BLACK)
    return marked


def _meme(image: Pixels, _: random.Random) -> Pixels:
    captioned, middle = image.copy(), image.width / 2
    size = min(image.height / 8, image.width / 9)
    draw, stroke = ImageDraw.Draw(captioned), max(1, round(size / 14))
    for line, at, anchor in (
        ("TOP TEXT", size / 4, "ma"),
        ("BOTTOM TEXT", image.height - size / 4, "md"),
    ):
        draw.text((middle, at), line, _WHITE, _text(size), anchor, stroke_width=stroke, stroke_fill=_BLACK)
    return captioned


def _caption_bar(image: Pixels, _: random.Random) -> Pixels:
    bar = round(image.height * 0.18)
    page = Image.new("RGB", (image.width, image.height + bar), _WHITE)
    page.paste(image, (0, bar))
    size = min(bar / 3, image.width / 16)
    lines = "nobody asked for this one\nand yet here it is"
    ImageDraw.Draw(page).multiline_text((size / 2, size / 2), lines, _BLACK, _text(size))
    return page


def _sticker(image: Pixels, rng: random.Random) -> Pixels:
    covered, side = image.copy(), min(int((0.6 / np.pi * image.width * image.height) ** 0.5), min(image.size))
    left, top = rng.randint(0, image.width - side), rng.randint(0, image.height - side)
    draw = ImageDraw.Draw(covered)
    draw.ellipse((left, top, left + side, top + side), (255, 204, 51), _BLACK, max(1, side // 40))
    for eye in (0.3, 0.6):
        x, y = left + eye * side, top + 0.3 * side
        draw.ellipse((x, y, x + side / 10, y + side / 6), _BLACK)
    box = tuple(
        base + part * side for base, part in zip((left, top) * 2, (0.25, 0.35, 0.75, 0.8), strict=True)
    )
    draw.arc(box, 20, 160, _BLACK, max(1, side // 25))
    return covered


# Things laid around


def _border(image: Pixels, _: random.Random, colour: tuple[int, int, int]) -> Pixels:
    return ImageOps.expand(image, round(0.1 * min(image.size)), colour)


def _letterbox(image: Pixels, _: random.Random) -> Pixels:
    side = max(image.size)
    square = min(image.size) / side > 0.95
    return ImageOps.pad(image, (side * 16 // 9, side) if square else (side, side), _LANCZOS, color=_BLACK)


def _blurred_sides(image: Pixels, _: random.Random) -> Pixels:
    page = ImageOps.fit(image, (720, 1280)).filter(ImageFilter.GaussianBlur(30))
    inner = ImageOps.contain(image, (720, 1280), _LANCZOS)
    page.paste(inner, ((720 - inner.width) // 2, (1280 - inner.height) // 2))
    return page


def _screen(image: Pixels, rng: random.Random) -> Pixels:
    dark = rng.random() < 0.5
    page = Image.new("RGB", (1920, 1080), (24, 26, 27) if dark else _WHITE)
    draw, ink = ImageDraw.Draw(page), (190, 190, 190) if dark else (40, 40, 40)
    draw.rectangle((0, 0, 1920, 92), (53, 54, 58) if dark else (222, 225, 230))
    draw.rounded_rectangle((180, 50, 1500, 84), 17, (32, 33, 36) if dark else _WHITE)
    draw.text((200, 57), "gallery.example/works/1024", ink, _text(18))
    inner = ImageOps.contain(image, (1200, 860), _LANCZOS)
    left = rng.randint(60, 1260 - inner.width)
    page.paste(inner, (left, 130))
    for line in range(24):
        words = " ".join(
            rng.choices(("light", "the", "of", "study", "in", "colour", "after", "a", "river"), k=7)
        )
        draw.text((1320, 140 + 36 * line), words, ink, _text(22))
    return page


def _phone(image: Pixels, rng: random.Random) -> Pixels:
    """Photograph of a screen: bezel, perspective, soft focus, grain, other tones."""
    framed = ImageOps.expand(ImageOps.contain(image, (1000, 1000), _LANCZOS), 50, (18, 18, 20))
    width, height = framed.size
    corners = [(0, 0), (width, 0), (width, height), (0, height)]
    moved = [
        (x + rng.uniform(-0.04, 0.04) * width, y + rng.uniform(-0.04, 0.04) * height) for x, y in corners
    ]
    tilted = framed.transform(
        framed.size,
        Image.Transform.PERSPECTIVE,
        _plane(corners, moved),
        Image.Resampling.BICUBIC,
        fillcolor=(40, 38, 36),
    )
    return _noise(_gamma(tilted.filter(ImageFilter.GaussianBlur(1.2)), rng, 1.2), rng, 6)


def _plane(seen: list[tuple[float, float]], there: list[tuple[float, float]]) -> list[float]:
    """Return Pillow's eight coefficients that take the points ``seen`` to the points ``there``."""
    rows, values = [], []
    for (x, y), (u, v) in zip(seen, there, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return np.linalg.solve(np.array(rows, float), np.array(values, float)).tolist()


def _repost(image: Pixels, rng: random.Random) -> Pixels:
    marked = _corner_mark(image, rng)
    marked.thumbnail((640, 640), _LANCZOS)
    return Image.open(io.BytesIO(_saved(marked, "JPEG", 60))).convert("RGB")


_turn = partial(partial, _flip)
_bright, _contrast = (
    partial(partial, _enhance, kind=kind) for kind in (ImageEnhance.Brightness, ImageEnhance.Contrast)
)

TRANSFORMATIONS: tuple[Transformation, ...] = (
    Transformation("JPEG 90", "saved as JPEG, quality 90", _same),
    Transformation("JPEG 50", "saved as JPEG, quality 50", _same, quality=50),
    Transformation("JPEG 30", "saved as JPEG, quality 30", _same, quality=30),
    Transformation("WebP 50", "saved as WebP, quality 50", _same, "WEBP", 50),
    Transformation("GIF", "64 colours, dithered", _palette, "GIF"),
    Transformation("short side 512", "scaled, Lanczos", partial(_short_side, side=512)),
    Transformation("short side 256", "scaled, Lanczos", partial(_short_side, side=256)),
    Transformation("brightness up", "× 1.3", _bright(factor=1.3)),
    Transformation("brightness down", "× 0.7", _bright(factor=0.7)),
    Transformation("contrast up", "× 1.4", _contrast(factor=1.4)),
    Transformation("contrast down", "× 0.6", _contrast(factor=0.6)),
    Transformation("gamma up", "exponent 1.5: darker middle tones", partial(_gamma, exponent=1.5)),
    Transformation("gamma down", "exponent 0.67: lighter middle tones", partial(_gamma, exponent=0.67)),
    Transformation("grey", "colours taken out", _grey),
    Transformation("warm filter", "warmer colours, darker towards the corners", _filter),
    Transformation("noise", "Gaussian, 12 grey levels", partial(_noise, deviation=12)),
    Transformation("blur", "Gaussian, 1/200 of the short side", _blur),
    Transformation("tiled watermark", "grey text over all of it, half transparent", _watermark),
    Transformation("corner mark", "a name in the lower right corner", _corner_mark),
    Transformation("meme caption", "large outlined text above and below, on the picture", _meme),
    Transformation("sticker", "an opaque disc over 15 % of the area, anywhere", _sticker),
    Transformation(
        "10 % border white", "a tenth of the short side on each side", partial(_border, colour=_WHITE)
    ),
    Transformation(
        "10 % border black", "a tenth of the short side on each side", partial(_border, colour=_BLACK)
    ),
    Transformation("letterbox", "black bars to a square; a square one to 16:9", _letterbox),
    Transformation("blurred sides", "fitted into 720 × 1280 over a blurred copy of itself", _blurred_sides),
    Transformation("caption bar", "a white bar of 18 % with text, above the picture", _caption_bar),
    Transformation(
        "full-screen shot with page", "1920 × 1080: browser, picture, text beside it", _screen, "PNG"
    ),
    Transformation("phone shot", "of a screen: bezel, perspective, blur, noise, gamma", _phone, quality=80),
    Transformation("centre square crop", "the middle of the longer side", _square),
    Transformation("random crop 95 %", "of the area, same shape, anywhere", partial(_crop, area=0.95)),
    Transformation("random crop 90 %", "of the area, same shape, anywhere", partial(_crop, area=0.90)),
    Transformation("random crop 80 %", "of the area, same shape, anywhere", partial(_crop, area=0.80)),
    Transformation("random crop 70 %", "of the area, same shape, anywhere", partial(_crop, area=0.70)),
    Transformation("random crop 50 %", "of the area, same shape, anywhere", partial(_crop, area=0.50)),
    Transformation("mirror", "left and right exchanged", _turn(way=Image.Transpose.FLIP_LEFT_RIGHT)),
    Transformation("upside down", "top and bottom exchanged", _turn(way=Image.Transpose.FLIP_TOP_BOTTOM)),
    Transformation("rotate 90", "a quarter turn", _turn(way=Image.Transpose.ROTATE_90)),
    Transformation("rotate 180", "half a turn", _turn(way=Image.Transpose.ROTATE_180)),
    Transformation("rotate 2°", "size kept, corners black, as libraries do it", partial(_rotate, degrees=2)),
    Transformation("rotate 5°", "size kept, corners black, as libraries do it", partial(_rotate, degrees=5)),
    Transformation(
        "straighten 2°", "cropped to no corners, as photo editors do it", partial(_straighten, degrees=2)
    ),
    Transformation("LoRA square 512", "centre square, scaled to 512", partial(_square, side=512)),
    Transformation("aspect bucket", "steps of 64 px, area of 512², cropped to fit", _bucket),
    Transformation("mirror + 90 % crop", "mirrored, then 90 % of the area, anywhere", _mirrored_crop),
    Transformation("repost chain", "corner mark, 640 px, JPEG 60, WebP 60", _repost, "WEBP", 60),
)

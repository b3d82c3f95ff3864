"""A small kohya training folder with copies of other people's works in it, made of the demo's pictures."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

__all__ = ["PICTURES", "Ingredient", "make_training_set"]

PICTURES = Path(__file__).parent / "pictures"
CONCEPT = "10_cosy"

_Change = Callable[[Image.Image], Image.Image]


@dataclass(frozen=True, slots=True)
class Ingredient:
    """One file of the folder: from which picture, and what was done to it.

    ``missed`` tells why it is expected to slip through; empty for all others.
    """

    name: str
    picture: str
    done: str
    missed: str = ""

    @property
    def is_copy(self) -> bool:
        """Whether it was made from a lodged work."""
        return not self.picture.startswith("others/")


def make_training_set(folder: Path) -> list[Ingredient]:
    """Write the folder with captions and the caches that kohya's scripts leave, and return what is in it."""
    concept = folder / CONCEPT
    concept.mkdir(parents=True)
    made = []
    for number, (picture, done, suffix, change, missed) in enumerate(_RECIPES, 1):
        name = f"img_{number:03}{suffix}"
        source = PICTURES / f"{picture}.jpg"
        if change is None:
            shutil.copyfile(source, concept / name)
        else:
            with Image.open(source) as image:
                change(image.convert("RGB")).save(concept / name, quality=_QUALITY.get(done, 90))
        caption = picture.partition("/")[2].replace("-", " ")
        (concept / name).with_suffix(".txt").write_text(f"cosy style, {caption}\n", encoding="utf-8")
        made.append(Ingredient(f"{CONCEPT}/{name}", picture, done, missed))
    for cached in ("img_001", "img_004", "img_010"):
        (concept / f"{cached}_0512x0640_sdxl.npz").write_bytes(b"latents of " + cached.encode())
    (concept / "metadata_cache.json").write_text("{}", encoding="utf-8")
    return made


def _scaled(width: int) -> _Change:
    return lambda image: image.resize(
        (width, round(image.height * width / image.width)), Image.Resampling.LANCZOS
    )


def _same(image: Image.Image) -> Image.Image:
    return image


def _watermarked(image: Image.Image) -> Image.Image:
    layer = Image.new("RGBA", image.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    font = ImageFont.load_default(26)
    for top in range(20, image.height, 130):
        for left in range(-40 if top % 260 == 20 else 60, image.width, 240):
            draw.text((left, top), "free wallpapers", font=font, fill=(90, 90, 90, 150))
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


def _framed(image: Image.Image) -> Image.Image:
    return ImageOps.expand(image, border=round(image.width * 0.1), fill="black")


def _square(image: Image.Image) -> Image.Image:
    return ImageOps.fit(image, (512, 512), Image.Resampling.LANCZOS)


def _off_centre(image: Image.Image) -> Image.Image:
    """Keep 80 % of the area, from the upper right corner."""
    width, height = round(image.width * 0.8**0.5), round(image.height * 0.8**0.5)
    return image.crop((image.width - width, 0, image.width, height))


def _screenshot(image: Image.Image) -> Image.Image:
    page = Image.new("RGB", (1280, 800), (238, 240, 243))
    draw = ImageDraw.Draw(page)
    draw.rectangle((0, 0, 1280, 64), fill=(42, 48, 58))
    draw.rounded_rectangle((180, 16, 980, 48), 16, fill=(70, 78, 92))
    shown = ImageOps.contain(image, (460, 560))
    page.paste(shown, (90, 130))
    for line in range(12):
        draw.rectangle((640, 140 + 44 * line, 1180 - 37 * (line % 4), 156 + 44 * line), fill=(196, 202, 211))
    return page


_QUALITY = {"saved again as JPEG 40": 40}

_OFF_CENTRE_WHY = "off-centre crops to 80 % differ from every registered window"
_SCREENSHOT_WHY = "the work is a small part of the page that was hashed"

_RECIPES: tuple[tuple[str, str, str, _Change | None, str], ...] = (
    ("ada/sunflower", "saved again as JPEG 40", ".jpg", _same, ""),
    ("ada/bulldog-puppy", "scaled to 300 pixels", ".jpg", _scaled(300), ""),
    ("ada/sailboats-at-sunset", "mirrored", ".png", ImageOps.mirror, ""),
    ("ben/seascape", "watermarked, as WebP", ".webp", _watermarked, ""),
    ("ben/tuxedo-cat", "the same file, renamed", ".jpg", None, ""),
    ("ben/tractor", "framed in black", ".jpg", _framed, ""),
    ("ada/xylophone", "cropped to a square of 512", ".png", _square, ""),
    ("ben/elephant", "cropped to 80 %, off centre", ".jpg", _off_centre, _OFF_CENTRE_WHY),
    ("ada/sunflower", "a screenshot of a page", ".png", _screenshot, _SCREENSHOT_WHY),
    ("others/country-house", "as it was", ".jpg", None, ""),
    ("others/stack-of-books", "as it was", ".jpg", None, ""),
    ("others/tiger-face", "scaled to 400 pixels", ".jpg", _scaled(400), ""),
    ("others/pink-rose", "as it was", ".jpg", None, ""),
    ("others/autumn-scene", "as it was", ".jpg", None, ""),
    ("others/coffee", "saved as PNG", ".png", _same, ""),
    ("others/chelsea-the-cat", "as it was", ".jpg", None, ""),
    ("others/hubble-deep-field", "as it was", ".jpg", None, ""),
)

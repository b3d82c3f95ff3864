"""From the bytes of a picture to the pixels that are hashed, the same on every path.

In this order: the format is read from the bytes (never from the name); the size is checked before anything
is decoded; the first frame is decoded, at full scale for registration, for questions a JPEG at the smallest
of its scales whose sides are both at least ``LEAST_SIDE``, and of a JPEG in colour only the luma, as the file
holds it; EXIF orientation is applied; colour profiles are ignored; 16-bit samples keep their upper 8 bits;
alpha is laid on white and, where any pixel is not opaque, on black too.

Only bytes come in: reading files is for the callers.
"""

import contextlib
import io
import struct
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from registry.errors import PictureError, PictureTooLargeError

__all__ = ["FORMATS", "LEAST_SIDE", "MAX_PIXELS", "Picture", "decode_picture"]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""What is decoded, by Pillow's names; anything else is not a picture here."""

MAX_PIXELS = 89_478_485
"""Larger pictures are refused before decoding: Pillow's own bound against decompression bombs."""

LEAST_SIDE = 512
"""Pixels that both sides of a JPEG keep when it is decoded at a smaller scale, for a question."""

_DAMAGE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    struct.error,
    RuntimeError,
)
_SIXTEEN_BITS = ("I", "I;16", "I;16B", "I;16L", "I;16N")


@dataclass(frozen=True, slots=True)
class Picture:
    """Decoded pixels.

    ``pixels: uint8[h, w, 3]``, red, green and blue, upright, alpha laid on white, or ``uint8[h, w]``, the
    luma alone; ``on_black`` the same on black, or None when every pixel is opaque; ``format`` as Pillow names
    it.
    """

    pixels: NDArray[np.uint8]
    on_black: NDArray[np.uint8] | None
    format: str

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, upright."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """``uint8[h, w, 3]``; grey where there is only luma."""
        return self.pixels if self.pixels.ndim == 3 else np.repeat(self.pixels[..., None], 3, axis=2)


def decode_picture(data: bytes, *, reduced: bool = False) -> Picture:
    """Decode the picture in ``data``; ``reduced`` allows the smaller scale of questions.

    Raises :class:`PictureTooLargeError` above ``MAX_PIXELS``, :class:`PictureError` for anything that the
    decoder refuses. (It forgives some formats a few missing bytes at the very end.)
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _check_size(image)
                name = image.format or ""
                luma_alone = reduced and name == "JPEG" and image.mode == "RGB"
                if reduced:
                    image.draft("L" if luma_alone else None, (LEAST_SIDE, LEAST_SIDE))
                image.load()
                _turn_upright(image)
                if luma_alone:
                    return Picture(np.asarray(image.convert("L")), None, name)
                return _canonical(image, name)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(str(error)) from error
    except UnidentifiedImageError as error:
        raise PictureError(
            "not a picture, or of a kind that is not read", hint="Read are: " + ", ".join(FORMATS) + "."
        ) from error
    except _DAMAGE as error:
        raise PictureError(
            f"the picture is damaged or cut off: {error}", hint="Fetch or export it again."
        ) from error


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _too_large(f"{width} × {height} pixels")


def _too_large(what: str) -> PictureTooLargeError:
    return PictureTooLargeError(
        f"the picture is too large: {what}; at most {MAX_PIXELS / 1e6:.0f} megapixels are decoded",
        hint="Scale it down, or leave it out.",
    )


def _turn_upright(image: Image.Image) -> None:
    # A picture with broken EXIF data is taken as it lies, as browsers do.
    with contextlib.suppress(*_DAMAGE):
        ImageOps.exif_transpose(image, in_place=True)


def _canonical(image: Image.Image, name: str) -> Picture:
    if image.mode in _SIXTEEN_BITS:
        samples = np.asarray(image.convert("I")) >> 8
        grey = np.clip(samples, 0, 255).astype(np.uint8)
        return Picture(np.repeat(grey[..., None], 3, axis=2), None, name)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        if rgba.getchannel("A").getextrema()[0] != 255:
            return Picture(_laid_on(rgba, 255), _laid_on(rgba, 0), name)
    return Picture(np.asarray(image if image.mode == "RGB" else image.convert("RGB")), None, name)


def _laid_on(rgba: Image.Image, grey: int) -> NDArray[np.uint8]:
    ground = Image.new("RGBA", rgba.size, (grey, grey, grey, 255))
    return np.asarray(Image.alpha_composite(ground, rgba).convert("RGB"))

"""PDQ bit for bit against its reference: the package ``pdqhash``, built from its source distribution.

``make test-oracle`` builds it, which wants a C++ compiler, and runs this. ``make test`` does without and
checks the vectors that the same package made.
"""

import io

import numpy as np
import pdqhash
import pytest
from PIL import Image, ImageFilter

from registry.pdq import luma_of, pdq
from registry.picture import decode_picture

PICTURES = 600

pytestmark = pytest.mark.usefixtures("both_paths")


def reference(rgb):
    rgb = np.ascontiguousarray(rgb)
    bits, quality = pdqhash.compute(rgb)
    eight, _ = pdqhash.compute_dihedral(rgb)
    whole, mirrored = (np.packbits(np.array(one, bool)).tobytes() for one in (bits, eight[5]))
    return whole, mirrored, quality


def ours(rgb):
    found = pdq(luma_of(rgb))
    return found.bits, found.mirrored, found.quality


def made(rng):
    """A picture of any size: noise, smooth, flat areas or steps, in colour or in grey."""
    height, width = (int(side) for side in np.exp(rng.uniform(np.log(5), np.log(700), 2)))
    cells = rng.integers(0, 256, (max(1, height // 9), max(1, width // 9), 3), np.uint8)
    image = Image.fromarray(cells).resize((width, height), int(rng.integers(0, 4)))
    if rng.random() < 0.3:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 6))))
    rgb = np.array(image)
    if rng.random() < 0.3:
        rgb = np.repeat(rgb[..., :1], 3, axis=2)
    if rng.random() < 0.3:
        rgb = rgb // 85 * 85
    return rgb


def test_made_pictures():
    rng = np.random.default_rng(20261121)
    different = []
    for number in range(PICTURES):
        rgb = made(rng)
        if ours(rgb) != reference(rgb):
            different.append((number, rgb.shape))
    assert different == []


def test_the_demo_pictures_at_many_sizes(demo):
    for path, (_, picture) in demo.items():
        image = Image.fromarray(picture.rgb)
        for side in (5, 17, 63, 64, 65, 128, 333, image.width):
            rgb = np.array(image.resize((side, max(5, side * image.height // image.width))))
            assert ours(rgb) == reference(rgb), (path, side)


def test_a_decoded_file(demo):
    for data, _ in demo.values():
        naive = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        assert ours(decode_picture(data).rgb) == reference(naive)

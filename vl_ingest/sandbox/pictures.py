"""Real pictures to try things on: drawn here, encoded by Pillow."""

import random
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

FOLDERS = ("", "summer", "summer/beach", "winter", "winter/Gro\u00dfer See", "winter/f\u00fcr Oma")
NAMES = ("img_{:04}", "img_{:04}", "a walk {:04}", 'the "best" {:04}', "h\u00fctte {:04}")
# Encoders at their quickest: the pictures have to be real, not small.
FORMATS: tuple[tuple[str, str, dict[str, int]], ...] = (
    (".jpg", "JPEG", {}),
    (".png", "PNG", {"compress_level": 1}),
    (".webp", "WEBP", {"method": 0}),
)


def render_pictures(folder: Path, count: int, seed: int = 7) -> int:
    """Draw `count` different pictures below `folder`, nested, and return how many.

    JPEG, PNG and WebP of 64 to 640 pixels; some equal base names in different folders, some names with
    spaces, quotes and letters beyond ASCII.
    """
    chance = random.Random(seed)
    for index in range(count):
        extension, kind, options = FORMATS[index % len(FORMATS)]
        place = folder / FOLDERS[index % len(FOLDERS)]
        place.mkdir(parents=True, exist_ok=True)
        # Every second round of folders uses the same numbers again, so that base names clash.
        number = index // (2 * len(FOLDERS))
        name = NAMES[number % len(NAMES)].format(number)
        path = place / f"{name}{extension}"
        while path.exists():
            path = path.with_stem(path.stem + "b")
        _draw(chance).save(path, kind, **options)
    return count


def _draw(chance: random.Random) -> Image.Image:
    width, height = (64 + int(577 * chance.random() ** 2) for _ in range(2))  # most are small, for speed
    size = (width, height)
    noise = Image.frombytes("RGB", (8, 8), chance.randbytes(8 * 8 * 3))
    picture = noise.resize(size, Image.Resampling.BICUBIC).filter(ImageFilter.SMOOTH)
    pen = ImageDraw.Draw(picture)
    for _ in range(chance.randrange(2, 6)):
        x, y, r = chance.randrange(size[0]), chance.randrange(size[1]), chance.randrange(8, 48)
        color = (chance.randrange(256), chance.randrange(256), chance.randrange(256))
        (pen.ellipse if chance.random() < 0.5 else pen.rectangle)((x - r, y - r, x + r, y + r), fill=color)
    return picture

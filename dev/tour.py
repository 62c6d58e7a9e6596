"""`make tour`: put the pictures that `docs/tour.md` shows into `docs/pictures`.

    python -m dev.tour

The browser tests take a picture of every page into `.cache/pictures`; those the tour names are cut
to what can be seen without much scrolling and stored small. What it no longer names goes.
"""

import re
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
TOUR = ROOT / "docs" / "tour.md"
TAKEN = ROOT / ".cache" / "pictures"
KEPT = ROOT / "docs" / "pictures"
NAMED = re.compile(r"pictures/([\w-]+)\.webp")
COLOURS = 48  # pages have few; a photograph would want more
HIGHEST = {"wide": 1200, "narrow": 1200}


def main() -> None:
    """Store the pictures; name those that no test took."""
    named = set(NAMED.findall(TOUR.read_text()))
    missing = sorted(name for name in named if not (TAKEN / f"{name}.png").exists())
    for name in sorted(named - set(missing)):
        store(TAKEN / f"{name}.png", KEPT / f"{name}.webp")
    for path in KEPT.glob("*.webp"):
        if path.stem not in named:
            path.unlink()
    size = sum(path.stat().st_size for path in KEPT.glob("*.webp"))
    print(f"{len(named)} pictures, {size / 1e6:.1f} MB")
    if missing:
        sys.exit(f"No test took {', '.join(missing)}: run `make test STAGE=browser` first.")


def store(taken: Path, kept: Path) -> None:
    """Cut the picture, and store it with few colours and no loss beyond that."""
    with Image.open(taken) as picture:
        width, height = picture.size
        highest = next(limit for size, limit in HIGHEST.items() if f"-{size}-" in taken.name)
        cut = picture.convert("RGB").crop((0, 0, width, min(height, highest)))
    few = cut.quantize(COLOURS, dither=Image.Dither.NONE).convert("RGB")
    few.save(kept, lossless=True, quality=60)


if __name__ == "__main__":
    main()

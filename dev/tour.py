"""`make tour`: refresh the pictures in `docs/pictures` from those that the browser tests took.

    python -m dev.tour

The browser tests (`make test STAGE=browser ARGS=--system`) take a picture of every page into
`.cache/pictures`, wide and narrow, light and dark, and write an `index.html` beside them that shows
all of them. They also write the text of every page into `pages-en.txt` and `pages-zh.txt` there.
The repository keeps only the few pictures that the documentation shows.
"""

import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
TAKEN = ROOT / ".cache" / "pictures"
KEPT = DOCS / "pictures"
COLORS = 48  # pages have few
HIGHEST = 1200  # pixels; the rest of a page shows nothing new
_NAMED = re.compile(r"pictures/([\w-]+)\.webp")
_VARIANT = re.compile(r"(.+)-((?:wide|narrow)-(?:light|dark))")
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Every page</title>
<style>
body {{ font: 15px system-ui, sans-serif; margin: 2rem; }}
figure {{ display: inline-block; margin: 0 1rem 1rem 0; vertical-align: top; }}
img {{ height: 24rem; border: 1px solid #999; }}
</style>
<h1>Every page</h1>
{sections}
</html>
"""


def main() -> None:
    """Store the pictures that the documentation names; exit with the names that no test took."""
    named = named_in_docs()
    missing = sorted(name for name in named if not (TAKEN / f"{name}.png").exists())
    for name in sorted(named - set(missing)):
        store(TAKEN / f"{name}.png", KEPT / f"{name}.webp")
    for path in KEPT.glob("*.webp"):
        if path.stem not in named:
            path.unlink()
    if missing:
        sys.exit(f"No test took {', '.join(missing)}. Run `make test STAGE=browser` first.")


def named_in_docs() -> set[str]:
    """Return the names of the pictures in README.md and in the documentation."""
    pages = [ROOT / "README.md", *DOCS.rglob("*.md")]
    return {name for page in pages for name in _NAMED.findall(page.read_text())}


def store(taken: Path, kept: Path) -> None:
    """Crop the picture and store it with few colors."""
    with Image.open(taken) as picture:
        width, height = picture.size
        cropped = picture.convert("RGB").crop((0, 0, width, min(height, HIGHEST)))
    few = cropped.quantize(COLORS, dither=Image.Dither.NONE).convert("RGB")
    few.save(kept, lossless=True, quality=60)


def write_index(folder: Path) -> Path:
    """Write a page that shows every picture of the folder, the variants of a page side by side."""
    variants: dict[str, list[str]] = defaultdict(list)
    for path in sorted(folder.glob("*.png")):
        if found := _VARIANT.fullmatch(path.stem):
            variants[found[1]].append(found[2])
    index = folder / "index.html"
    index.write_text(_PAGE.format(sections="\n".join(_sections(variants))))
    return index


def write_texts(texts: Path, folder: Path) -> None:
    """Write the texts of all pages into one file for each language, such as `pages-en.txt`."""
    for language in sorted(texts.glob("*/")):
        files = sorted(language.glob("*.txt"))
        pages = (f"==== {file.stem}\n\n{file.read_text()}\n" for file in files)
        (folder / f"pages-{language.name}.txt").write_text("\n".join(pages))


def _sections(variants: dict[str, list[str]]) -> Iterator[str]:
    for page, names in sorted(variants.items()):
        yield f"<h2>{page}</h2>"
        for name in names:
            file = f"{page}-{name}.png"
            picture = f'<a href="{file}"><img src="{file}" alt="{page}, {name}" loading="lazy"></a>'
            yield f"<figure>{picture}<figcaption>{name}</figcaption></figure>"


if __name__ == "__main__":
    main()

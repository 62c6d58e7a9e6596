"""Messages in the formats of many servers, with what the inspection must find."""

import tomllib
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def read_samples() -> list[dict[str, Any]]:
    """Return all samples of the folder; `source` is bytes."""
    samples = [
        sample | {"file": path.stem}
        for path in sorted(FOLDER.glob("*.toml"))
        for sample in tomllib.loads(path.read_text("utf-8"))["samples"]
    ]
    for sample in samples:
        text = sample["source"].replace("\n", sample.get("line_end", "\r\n"))
        sample["source"] = text.encode(sample.get("charset", "utf-8"))
    return samples

"""Compare the inspection of messages with flufl.bounce, on the samples of its source archive.

    make bounces

The first table has every sample: what flufl.bounce finds in it and what the inspection finds. The
second one has the test messages of CPython's email package, of which only real reports may be
bounces. At last the speed of the inspection is measured. The archive is downloaded from PyPI with
a pinned hash. The exit status is not zero if an address is missing or invented, or if a message is
falsely a bounce.
"""

import argparse
import email
import importlib
import importlib.util
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

from outbox.inbound.inspect import inspect
from outbox.inbound.inspection import MessageKind

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "bounces"
REQUIREMENTS = ROOT / "bench" / "bounces.txt"
FAILURES = {MessageKind.BOUNCE, MessageKind.DELAY}
# Test messages of CPython that are delivery status notifications.
REAL_REPORTS = {"msg_16.txt", "msg_25.txt", "msg_43.txt"}
MEASURED = 3.0  # seconds
GOAL = 300  # messages a second


def main() -> None:
    """Print the tables and the speed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="print the samples that agree, too")
    options = parser.parse_args()
    archive = extracted()
    files = sorted((archive / "tests" / "data").glob("*.txt"))
    faults = compare(archive, files, shows_all=options.all)
    faults += false_bounces()
    faults += measure([path.read_bytes() for path in files])
    sys.exit(1 if faults else 0)


def extracted() -> Path:
    """Download the archive unless it is in the cache, and return the folder of its content."""
    CACHE.mkdir(parents=True, exist_ok=True)
    if not list(CACHE.glob("flufl*/PKG-INFO")):
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
            "--no-binary", "flufl.bounce", "--require-hashes", "--dest", str(CACHE),
            "-r", str(REQUIREMENTS),
        ]  # fmt: skip
        subprocess.run(command, check=True)
        (packed,) = CACHE.glob("flufl*.tar.gz")
        with tarfile.open(packed) as archive:
            archive.extractall(CACHE, filter="data")
    (found,) = (path.parent for path in CACHE.glob("flufl*/PKG-INFO"))
    return found


def compare(archive: Path, files: list[Path], *, shows_all: bool) -> int:
    """Print what both find in each sample; return how many differ."""
    sys.path.insert(0, str(archive / "src"))
    all_failures = importlib.import_module("flufl.bounce").all_failures
    missed = invented = addresses = 0
    print(f"{'sample':22} {'kind':10} found, -missing, +invented")
    for path in files:
        source = path.read_bytes()
        temporary, permanent = all_failures(email.message_from_bytes(source))
        wanted = {one.decode("ascii", "replace").lower() for one in temporary | permanent}
        result = inspect(source)
        found = set()
        if result.kind in FAILURES:
            found = {one.address.lower() for one in result.recipients if one.effect}
        addresses += len(wanted)
        missed += len(wanted - found)
        invented += len(found - wanted)
        if shows_all or wanted != found:
            marks = [*sorted(wanted & found), *(f"-{one}" for one in sorted(wanted - found))]
            marks += [f"+{one}" for one in sorted(found - wanted)]
            print(f"{path.name:22} {result.kind:10} {' '.join(marks)}")
    print(
        f"{len(files)} samples, {addresses} addresses found by flufl.bounce: "
        f"{addresses - missed} found, {missed} missing, {invented} invented\n"
    )
    return missed + invented


def false_bounces() -> int:
    """Print which test messages of CPython are bounces; return how many are falsely so."""
    folder = test_messages()
    if folder is None:
        print("The running Python has no test package: its messages are not read.\n")
        return 0
    files = sorted(folder.glob("*.txt"))
    wrong = 0
    for path in files:
        kind = inspect(path.read_bytes()).kind
        if kind in FAILURES:
            is_right = path.name in REAL_REPORTS
            wrong += not is_right
            print(f"{path.name:22} {kind:10} {'a real report' if is_right else 'FALSE'}")
        elif path.name in REAL_REPORTS:
            wrong += 1
            print(f"{path.name:22} {kind:10} MISSED")
    print(f"{len(files)} test messages of CPython: {wrong} wrong\n")
    return wrong


def test_messages() -> Path | None:
    """Return the folder with the test messages of the running Python, if they are installed."""
    try:
        found = importlib.util.find_spec("test.test_email")
    except ModuleNotFoundError:
        return None
    folder = Path(found.origin).parent / "data" if found and found.origin else None
    return folder if folder and folder.is_dir() else None


def measure(sources: list[bytes]) -> int:
    """Print how many messages a second one core inspects; return 1 if they are too few."""
    began = time.process_time()
    count = sum(1 for _ in inspected(sources, began))
    rate = count / (time.process_time() - began)
    print(f"{rate:,.0f} messages a second on one core (goal: {GOAL})")
    return int(rate < GOAL)


def inspected(sources: list[bytes], began: float) -> Iterator[MessageKind]:
    """Inspect messages until the time is over."""
    while time.process_time() - began < MEASURED:
        for source in sources:
            yield inspect(source).kind


if __name__ == "__main__":
    main()

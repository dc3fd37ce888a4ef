"""Time and peak memory of a whole INT8 export, by the number of calibration images.

    python benchmarks/export_memory.py [--calib DIR] [--images 256,2048]

Each export is a process of its own: the command as a user types it, imports included. Without
--calib the built-in images are drawn, which the time includes. The peak is the resident set size
that the operating system reports for the process when it ends.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def export(images: int, calibration: Path | None, out: Path) -> tuple[float, float]:
    """Wall-clock seconds and peak memory in GiB."""
    command = [sys.executable, "-m", "edgereid", "export", "dslnet", "--int8", "--json"]
    command += ["--calib-images", str(images), "--out", str(out)]
    if calibration is not None:
        command += ["--calib", str(calibration)]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"the export failed with {process.returncode}")
    return time.perf_counter() - start, usage.ru_maxrss / 2**20  # Linux counts in KiB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calib", type=Path, metavar="DIR")
    parser.add_argument("--images", default="256,2048", metavar="N,N")
    args = parser.parse_args()
    for number in map(int, args.images.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            seconds, peak = export(number, args.calib, Path(folder) / "bundle")
        print(f"{number:>6} images: {seconds:6.1f} s, peak memory {peak:.2f} GiB", flush=True)


if __name__ == "__main__":
    main()

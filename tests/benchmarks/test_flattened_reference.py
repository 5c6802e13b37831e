"""benchmarks/flattened_reference.py on the bundled base: its rows are those of the objective."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_table_of_the_bundled_base():
    command = [sys.executable, ROOT / "benchmarks" / "flattened_reference.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "vocabulary of 68" in done.stdout
    rows = [line.split("|")[1:-1] for line in done.stdout.splitlines() if line.startswith("| ")]
    kl = {tuple(x.strip() for x in row[:3]): float(row[3]) for row in rows[1:]}
    assert kl["1", "0", "everywhere"] == 0
    assert kl["0.455", "0", "everywhere"] > kl["0.7", "0", "everywhere"] > 0
    assert kl["0.455", "0.01", "everywhere"] < kl["0.455", "0", "everywhere"] / 2

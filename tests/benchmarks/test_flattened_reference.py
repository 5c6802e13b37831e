"""benchmarks/flattened_reference.py on the bundled base: its rows are those of the objective."""

from benchmarks import flattened_reference as room


def test_the_table_of_the_bundled_base(capsys):
    assert room.main(room.Options()) == 0
    printed = capsys.readouterr().out
    assert "vocabulary of 68" in printed
    rows = [line.split("|")[1:-1] for line in printed.splitlines() if line.startswith("| ")]
    kl = {tuple(x.strip() for x in row[:3]): float(row[3]) for row in rows[1:]}
    assert kl["1", "0", "everywhere"] == 0
    assert kl["0.455", "0", "everywhere"] > kl["0.7", "0", "everywhere"] > 0
    assert kl["0.455", "0.01", "everywhere"] < kl["0.455", "0", "everywhere"] / 2

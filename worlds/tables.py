"""Tables that hold one's own problems: a file, a folder of files, a data set of the Hugging Face hub.

    mine.jsonl  mine.json  mine.csv  mine.tsv  mine.parquet    one table
    folder/                        such files, by their names train and test; or `datasets.save_to_disk`
    owner/name[:config][:split]    of the hub, through `datasets`

Here a table becomes rows, each with the place it stands at; what a row means is read in `files.py`.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

LONGEST_LINE = 1_000_000  # bytes; a longer line is no problem, and reading it would take minutes
SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
MEASURING = ("test", "validation", "valid", "val", "dev", "eval")  # names of splits to measure on
NOT_TEXT = {
    b"\x1f\x8b": "gzip",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"PK": "a zip archive",
}
Place = tuple[str, int]  # ("line", 3)
Rows = Iterator[tuple[Place, object]]  # a row is a dict, or the text of a line that is none


class Source(NamedTuple):
    """Where rows come from: one table to train on, and one to measure on where it has two."""

    name: str  # for sentences
    train: Callable[[], Rows]
    test: Callable[[], Rows] | None
    hub: bool = False  # somebody else's: what is wrong in it is left out, not refused


def is_named(data: str) -> bool:
    """Can the words name a file, a folder, or a data set of the hub?"""
    if not data:  # Path("") is the folder one works in
        return False
    return Path(data).exists() or Path(data).suffix in SUFFIXES or hub_name(data) is not None


def hub_name(data: str) -> tuple[str, str | None, str | None] | None:
    """(owner/name, config, split) of a data set of the hub, or None.

    One word behind a colon is a split if it is the name of one, else a config.

    >>> hub_name("openai/gsm8k:main"), hub_name("openai/gsm8k:main:train"), hub_name("mine.jsonl")
    (('openai/gsm8k', 'main', None), ('openai/gsm8k', 'main', 'train'), None)
    """
    found = re.fullmatch(r"(\w[\w.-]*/\w[\w.-]*)(?::([\w.+-]+))?(?::([\w.+%\[\]:-]+))?", data)
    if not found or Path(data).exists() or Path(data).suffix in SUFFIXES:
        return None
    name, config, split = found.groups()
    if config and not split and config in ("train", *MEASURING):
        config, split = None, config
    return name, config, split


def open_source(data: str, flag: str) -> Source:
    """The tables of a file, a folder or a data set of the hub. Raises ValueError, naming the flag."""
    if named := hub_name(data):
        return from_hub(data, *named, flag)
    path = Path(data)
    if not path.is_dir():
        return Source(data, lambda: rows_of_file(path, flag), None)
    if (path / "dataset_dict.json").exists() or (path / "state.json").exists():
        return from_datasets(data, lambda datasets: datasets.load_from_disk(data), flag)
    splits: dict[str, list[Path]] = {}
    for file in sorted([*path.glob("*"), *path.glob("data/*")]):
        if file.suffix in SUFFIXES and file.name not in ("dataset_info.json", "dataset_infos.json"):
            splits.setdefault(split_in_name(file.stem), []).append(file)
    if not splits:
        raise ValueError(f"{data} holds no file that ends in {', '.join(SUFFIXES)} ({flag})")
    tables = {
        name: lambda files=files: rows_of_files(files, flag) for name, files in splits.items()
    }
    return two_of(data, tables)


def split_in_name(stem: str) -> str:
    """The split that a file's name speaks of, or "".

    >>> split_in_name("train-00000-of-00001"), split_in_name("my_test"), split_in_name("contest")
    ('train', 'test', '')
    """
    words = re.findall(r"[a-z]+", stem.lower())
    return next((word for word in words if word in ("train", *MEASURING)), "")


def two_of(name: str, tables: dict[str, Callable[[], Rows]], hub: bool = False) -> Source:
    """What to train on and what to measure on, of the splits that there are."""
    train = "train" if "train" in tables else next(iter(tables))
    test = next((n for n in MEASURING if n in tables and n != train), None)
    return Source(name, tables[train], tables.get(test), hub)


# ---------------------------------------------------------------- through `datasets`


def from_hub(data: str, name: str, config: str | None, split: str | None, flag: str) -> Source:
    """A data set of the hub, or what the cache of `datasets` has of it."""

    def load(datasets):
        return datasets.load_dataset(name, config, split=split)

    return from_datasets(data, load, flag, hub=True)


def from_datasets(data: str, load: Callable, flag: str, hub: bool = False) -> Source:
    """A `Dataset` or `DatasetDict` as a source. Raises ValueError for whatever goes wrong in there."""
    try:
        import datasets
    except ImportError as error:
        raise ValueError(
            f"{data} needs the package datasets: pip install datasets ({flag})"
        ) from error
    try:
        found = load(datasets)
    except Exception as error:  # of many classes, those of an HTTP client among them
        said = (str(error).splitlines() or [type(error).__name__])[0]
        what = "owner/name[:config][:split] of the hub" if hub else "what save_to_disk wrote"
        raise ValueError(f"{data} could not be read as {what}: {said[:300]} ({flag})") from error
    splits = found if isinstance(found, dict) else {"": found}

    def rows_of(table) -> Rows:
        return ((("row", number), row) for number, row in enumerate(table))

    return two_of(data, {n: lambda t=table: rows_of(t) for n, table in splits.items()}, hub)


# ---------------------------------------------------------------- files


def rows_of_files(paths: list[Path], flag: str) -> Rows:
    """The rows of several files, one after the other; their places name the file too."""
    for path in paths:
        for (word, number), row in rows_of_file(path, flag):
            yield (word if len(paths) == 1 else f"{path.name} {word}", number), row


def rows_of_file(path: Path, flag: str) -> Rows:
    """The rows of a file, read by its suffix; any other suffix is read as JSONL."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} could not be read: {error.strerror} ({flag})") from error
    if path.suffix == ".parquet":
        return rows_of_parquet(content, path, flag)
    lines = lines_of(content, path, flag)
    if path.suffix in (".csv", ".tsv"):
        return rows_of_csv(lines, path, flag)
    if path.suffix == ".json" and content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        return rows_of_json("\n".join(lines), path, flag)
    return rows_of_jsonl(lines)


def lines_of(content: bytes, path: Path, flag: str) -> list[str]:
    """The lines of a UTF-8 file. Raises ValueError for anything else, saying what it seems to be."""
    for head, what in NOT_TEXT.items():
        if content.startswith(head):
            raise ValueError(f"{path} is {what}: give a plain UTF-8 file, such as JSONL ({flag})")
    rows = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")  # JSON may hold other line separators
    found = []
    for number, row in enumerate(rows, start=1):
        if len(row) > LONGEST_LINE and path.suffix != ".json":
            raise ValueError(
                f"{path} line {number}: has {len(row):,} bytes, of at most {LONGEST_LINE:,} ({flag})"
            )
        try:
            found.append(row.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path} line {number}: is not UTF-8 (byte {row[error.start]:#04x} at {error.start}), "
                f"perhaps latin-1 or UTF-16: convert the file, as with iconv -t utf-8 ({flag})"
            ) from error
    return found


def rows_of_jsonl(lines: list[str]) -> Rows:
    """One JSON object a line; a line that is none comes as its text."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = line
            yield ("line", number), row if isinstance(row, dict) else line


def rows_of_json(text: str, path: Path, flag: str) -> Rows:
    """A JSON array of objects."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON array of objects: {error} ({flag})") from error
    return ((("item", number), row) for number, row in enumerate(found, start=1))


def rows_of_csv(lines: list[str], path: Path, flag: str) -> Rows:
    """A header and rows of as many cells, between commas, semicolons or tabs."""
    delimiter = max(",;\t", key=lines[0].count)
    reader = csv.DictReader(io.StringIO("\n".join(lines), newline=""), delimiter=delimiter)
    try:
        names = reader.fieldnames or ()
        if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
            raise ValueError(f"{path} line 1: names the column {twice[0]!r} twice ({flag})")
        for row in reader:
            if None in row or None in row.values():
                cells = sum(value is not None for value in row.values()) + len(row.get(None) or ())
                raise ValueError(
                    f"{path} line {reader.line_num}: has another number of cells than the header's "
                    f"{len(reader.fieldnames)} ({cells}): put quotes around a cell that holds "
                    f"{delimiter!r} ({flag})"
                )
            yield ("line", reader.line_num), row
    except csv.Error as error:
        raise ValueError(f"{path} line {reader.line_num}: {error} ({flag})") from error


def rows_of_parquet(content: bytes, path: Path, flag: str) -> Rows:
    """The rows of a Parquet file, counted from 0."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ValueError(
            f"{path} needs the package pyarrow: pip install pyarrow ({flag})"
        ) from error
    try:
        table = pyarrow.parquet.read_table(io.BytesIO(content))
    except (pyarrow.ArrowException, OSError) as error:
        said = str(error).splitlines()[0]
        raise ValueError(f"{path} is no Parquet file: {said[:200]} ({flag})") from error
    return ((("row", number), row) for number, row in enumerate(table.to_pylist()))

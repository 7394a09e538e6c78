"""Parquet and Arrow files: two of their columns, batch by batch, each batch verified before a value of it is touched.

pyarrow trusts a file: offsets that lead out of a buffer are followed when a value is asked for, and end the process.
So every batch is validated in full first. Only columns of plain values are read, and dictionaries are not spread out
over their rows, since a small file can ask for more memory than there is in either way.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import truncate
from pytest_sst2.utils.safe_read import check_ordinary

# A batch is whole in memory.
_BATCH_ROWS = 2**14
_FEW_ROWS = 2**8
_LARGEST_GROUP_BYTES = 2**29
_OFFSET, _SIGNED, _SHORT = struct.Struct("<I"), struct.Struct("<i"), struct.Struct("<H")
# Told the names of all columns and what the schema says besides.
CheckSchema = Callable[[Sequence[str], Mapping[bytes, bytes]], None]


def parquet_values(path: Path, columns: Sequence[str], check_schema: CheckSchema) -> Iterator[tuple[Any, ...]]:
    """Yield the values of some columns, row by row.

    Args:
        path: The file.
        columns: Names of columns that hold no lists and no structures.
        check_schema: Called before any value is read; raises where the columns are not as they should be.

    Raises:
        Sst2Error: It is no parquet file, is damaged, or is larger than what may stand in memory.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    check_ordinary(path)
    with _in_a_sentence(path, "parquet"):
        metadata = pq.read_metadata(path)
        schema = metadata.schema.to_arrow_schema()
        check_schema(schema.names, schema.metadata or {})
        _check_types(path, schema, columns)
        _check_declared_size(path, metadata)
        begun = False
        try:
            for row in _parquet_batches(path, columns, columns, _BATCH_ROWS):
                begun = True
                yield row
        except (pa.ArrowNotImplementedError, OSError):
            # Texts written as their difference from the text before cannot be had as a dictionary. What is damaged
            # cannot be had in the other way either.
            if begun:
                raise
            yield from _parquet_batches(path, columns, (), _FEW_ROWS)


def _parquet_batches(
    path: Path, columns: Sequence[str], dictionaries: Sequence[str], rows: int
) -> Iterator[tuple[Any, ...]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, read_dictionary=list(dictionaries), pre_buffer=False) as file:
        for batch in file.iter_batches(rows, columns=list(columns), use_threads=False):
            yield from _values(batch, columns)


def arrow_values(path: Path, columns: Sequence[str], check_schema: CheckSchema) -> Iterator[tuple[Any, ...]]:
    """Yield the values of some columns of an Arrow stream, as ``datasets`` keeps it; else as ``parquet_values``."""
    import pyarrow as pa

    check_ordinary(path)
    with _in_a_sentence(path, "Arrow"), pa.OSFile(str(path)) as source:
        schema = pa.ipc.open_stream(source).schema
        check_schema(schema.names, schema.metadata or {})
        _check_types(path, schema, columns)
        source.seek(0)
        _refuse_compressed(path, source)
        source.seek(0)
        wanted = pa.ipc.IpcReadOptions(
            included_fields=[schema.names.index(name) for name in columns], use_threads=False
        )
        for batch in pa.ipc.open_stream(source, options=wanted):
            yield from _values(batch, columns)


def _refuse_compressed(path: Path, source: Any) -> None:
    """Refuse a stream whose batches are compressed, which ``datasets`` never writes: 13 KB can be 300 MB unpacked."""
    import pyarrow as pa

    for message in pa.ipc.MessageReader.open_stream(source):
        table = _Table.root_of(message.metadata.to_pybytes())
        header = table.child(2)  # of a Message: its header, here a batch of rows or of a dictionary
        if message.type == "dictionary":
            header = header and header.child(1)
        if message.type in ("dictionary", "record batch") and header and header.child(3):
            raise Sst2Error(f"{path}: it is compressed, which datasets never does. Save it anew with save_to_disk.")


class _Table(NamedTuple):
    """A table of a flatbuffer, the format in which Arrow describes its batches: where it begins in the bytes."""

    data: bytes
    start: int

    @classmethod
    def root_of(cls, data: bytes) -> _Table:
        return cls(data, *_OFFSET.unpack_from(data))

    def child(self, number: int) -> _Table | None:
        """Return the table that a field refers to; None where the field is not set."""
        fields = self.start - _SIGNED.unpack_from(self.data, self.start)[0]
        place = fields + 4 + 2 * number
        if place >= fields + _SHORT.unpack_from(self.data, fields)[0]:
            return None
        field = self.start + _SHORT.unpack_from(self.data, place)[0]
        return None if field == self.start else _Table(self.data, field + _OFFSET.unpack_from(self.data, field)[0])


@contextmanager
def _in_a_sentence(path: Path, kind: str) -> Iterator[None]:
    try:
        yield
    except Sst2Error:
        raise
    except MemoryError as error:
        raise Sst2Error(
            f"{path} does not fit into the memory that is free here. Keep a part of its rows: a recipe trains on the "
            "front of a shuffle anyway."
        ) from error
    except Exception as error:  # whatever C++ found: pyarrow hands on what it did not expect as RuntimeError
        reason = truncate(" ".join(str(error).split()).rstrip("."), 200) or type(error).__name__
        raise Sst2Error(
            f"{path}: not a readable {kind} file: {reason}. Write it anew, or copy it once more."
        ) from error


def _check_types(path: Path, schema: Any, columns: Sequence[str]) -> None:
    import pyarrow as pa

    for name in columns:
        kind = schema.field(name).type
        plain = kind.value_type if pa.types.is_dictionary(kind) else kind
        if pa.types.is_nested(plain) or isinstance(plain, pa.BaseExtensionType) or pa.types.is_run_end_encoded(plain):
            raise Sst2Error(f"{path}: column {name!r} is of type {truncate(str(kind), 80)}; plain values are wanted.")


def _check_declared_size(path: Path, metadata: Any) -> None:
    """Refuse what is too large once unpacked, all columns together.

    What the file says of one column is not asked for: pyarrow 26 ends the process where that is damaged.
    """
    size = max((metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups)), default=0)
    if size > _LARGEST_GROUP_BYTES:
        raise Sst2Error(
            f"{path}: one of its row groups has {size / 2**20:,.0f} MB once unpacked, and at most "
            f"{_LARGEST_GROUP_BYTES / 2**20:,.0f} MB are. Write it anew with these columns alone, in smaller groups."
        )


def _values(batch: Any, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    batch.validate(full=True)
    return zip(*(_plain(batch.column(name)) for name in columns), strict=True)


def _plain(array: Any) -> list[Any]:
    """Return an array's values; those of a dictionary as the same objects wherever they occur."""
    import pyarrow as pa

    if not pa.types.is_dictionary(array.type):
        return list(array.to_pylist())
    words = array.dictionary.to_pylist()
    return [None if index is None else words[index] for index in array.indices.to_pylist()]

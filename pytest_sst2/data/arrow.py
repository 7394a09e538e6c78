"""Read columns of Parquet and Arrow files in batches, and validate each batch before reading a value from it.

pyarrow trusts a file: it follows offsets that point outside a buffer, which crashes the process. Therefore every batch
is fully validated first. Only columns of plain values are read, and dictionary columns are not decoded to one value
per row. Otherwise a small file could require more memory than the machine has.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import truncate
from pytest_sst2.utils.safe_read import check_regular_file

# One whole batch is in memory at a time.
_BATCH_ROWS = 2**14
_SMALL_BATCH_ROWS = 2**8
_MAX_GROUP_BYTES = 2**29
_OFFSET, _SIGNED, _SHORT = struct.Struct("<I"), struct.Struct("<i"), struct.Struct("<H")
# Called with the names of all columns and the schema's metadata; returns the names of the columns to read.
ChooseColumns = Callable[[Sequence[str], Mapping[bytes, bytes]], Sequence[str]]


def parquet_values(path: Path, choose: ChooseColumns) -> Iterator[tuple[Any, ...]]:
    """Yield the values of the chosen columns of a Parquet file, row by row.

    Raises:
        Sst2Error: The file is not Parquet, is damaged, or is too large to read into memory.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    check_regular_file(path)
    with _readable_errors(path, "Parquet"):
        metadata = pq.read_metadata(path)
        schema = metadata.schema.to_arrow_schema()
        columns = choose(schema.names, schema.metadata or {})
        _check_types(path, schema, columns)
        _check_declared_size(path, metadata)
        has_yielded = False
        try:
            for row in _parquet_batches(path, columns, columns, _BATCH_ROWS):
                has_yielded = True
                yield row
        except (pa.ArrowNotImplementedError, OSError):
            # pyarrow cannot read delta-encoded text as a dictionary. A damaged file fails again without one.
            if has_yielded:
                raise
            yield from _parquet_batches(path, columns, (), _SMALL_BATCH_ROWS)


def _parquet_batches(
    path: Path, columns: Sequence[str], dictionaries: Sequence[str], rows: int
) -> Iterator[tuple[Any, ...]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, read_dictionary=list(dictionaries), pre_buffer=False) as file:
        for batch in file.iter_batches(rows, columns=list(columns), use_threads=False):
            yield from _values(batch, columns)


def arrow_values(path: Path, choose: ChooseColumns) -> Iterator[tuple[Any, ...]]:
    """Yield the values of the chosen columns of an Arrow stream, as ``datasets`` saves it; see ``parquet_values``."""
    import pyarrow as pa

    check_regular_file(path)
    with _readable_errors(path, "Arrow"), pa.OSFile(str(path)) as source:
        schema = pa.ipc.open_stream(source).schema
        columns = choose(schema.names, schema.metadata or {})
        _check_types(path, schema, columns)
        source.seek(0)
        _refuse_compressed(path, source)
        source.seek(0)
        fields = [schema.names.index(name) for name in columns]
        options = pa.ipc.IpcReadOptions(included_fields=fields, use_threads=False)
        for batch in pa.ipc.open_stream(source, options=options):
            yield from _values(batch, columns)


def _refuse_compressed(path: Path, source: Any) -> None:
    """Refuse a stream with compressed batches. ``datasets`` never writes one, and 13 KB can decompress to 300 MB."""
    import pyarrow as pa

    for message in pa.ipc.MessageReader.open_stream(source):
        table = _Table.root_of(message.metadata.to_pybytes())
        header = table.child(2)  # field 2 of a Message: its header, here a RecordBatch or a DictionaryBatch
        if message.type == "dictionary":
            header = header and header.child(1)
        if message.type in ("dictionary", "record batch") and header and header.child(3):
            raise Sst2Error(f"{path} is compressed, which datasets never does. Save it again with save_to_disk.")


class _Table(NamedTuple):
    """A table at ``start`` in a flatbuffer, the format of Arrow's metadata."""

    data: bytes
    start: int

    @classmethod
    def root_of(cls, data: bytes) -> _Table:
        return cls(data, *_OFFSET.unpack_from(data))

    def child(self, number: int) -> _Table | None:
        """Return the table that a field refers to, or None if the field is not set."""
        fields = self.start - _SIGNED.unpack_from(self.data, self.start)[0]
        entry = fields + 4 + 2 * number
        if entry >= fields + _SHORT.unpack_from(self.data, fields)[0]:
            return None
        field = self.start + _SHORT.unpack_from(self.data, entry)[0]
        return None if field == self.start else _Table(self.data, field + _OFFSET.unpack_from(self.data, field)[0])


@contextmanager
def _readable_errors(path: Path, kind: str) -> Iterator[None]:
    """Raise every error of pyarrow as an ``Sst2Error``."""
    try:
        yield
    except Sst2Error:
        raise
    except MemoryError as error:
        raise Sst2Error(
            f"{path} does not fit into the free memory. Keep only a part of its rows: recipes train on the first rows "
            "of a shuffle."
        ) from error
    except Exception as error:  # pyarrow raises unexpected C++ errors as RuntimeError
        reason = truncate(" ".join(str(error).split()).rstrip("."), 200) or type(error).__name__
        raise Sst2Error(f"{path} is not a readable {kind} file: {reason}. Write, copy or download it again.") from error


def _check_types(path: Path, schema: Any, columns: Sequence[str]) -> None:
    import pyarrow as pa

    for name in columns:
        kind = schema.field(name).type
        plain = kind.value_type if pa.types.is_dictionary(kind) else kind
        if pa.types.is_nested(plain) or isinstance(plain, pa.BaseExtensionType) or pa.types.is_run_end_encoded(plain):
            raise Sst2Error(
                f"{path}: column {name!r} has type {truncate(str(kind), 80)}; only plain values are allowed. Convert "
                "it to text or integers."
            )


def _check_declared_size(path: Path, metadata: Any) -> None:
    """Refuse a file with a row group that is too large when decompressed, all columns together.

    The metadata of single columns is not read: pyarrow 26 crashes the process if it is damaged.
    """
    size = max((metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups)), default=0)
    if size > _MAX_GROUP_BYTES:
        raise Sst2Error(
            f"{path}: a row group has {size / 2**20:,.0f} MB decompressed; at most "
            f"{_MAX_GROUP_BYTES / 2**20:,.0f} MB are allowed. Write the file again with the columns sentence and label "
            "only, in smaller row groups."
        )


def _values(batch: Any, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    batch.validate(full=True)
    return zip(*(_plain(batch.column(name)) for name in columns), strict=True)


def _plain(array: Any) -> list[Any]:
    """Return an array's values. Equal values of a dictionary array are one shared object."""
    import pyarrow as pa

    if not pa.types.is_dictionary(array.type):
        return list(array.to_pylist())
    words = array.dictionary.to_pylist()
    return [None if index is None else words[index] for index in array.indices.to_pylist()]

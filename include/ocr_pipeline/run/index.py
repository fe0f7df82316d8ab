"""The index of the results: by what they are searched, filtered and ordered.

Questions about a million rows would take seconds on the results themselves, whose rows are wide. The index has a narrow
row for each of theirs with what a table shows of it, and, apart, the texts to search in, as they are looked for: in
lower case and in one line, and neither compressed nor encoded, so that nothing is to do but to compare.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc

from ocr_pipeline.settings.addresses import STORE_SCHEMES

POSITION = "position"

RESULTS_BYTES, SEARCHED_BYTES, SEARCHED_BLOCKS = b"results_bytes", b"searched_bytes", b"searched_blocks"
"""Keys in the metadata of the index: the sizes of the files of results and of texts that it goes with, and how many
rows each block of texts has, as a list in JSON."""

INDEX_SCHEMA = pa.schema(
    [
        pa.field(POSITION, pa.int64(), nullable=False),  # of the row in the results, from 0
        pa.field("row", pa.int64(), nullable=False),
        pa.field("page", pa.int64(), nullable=False),
        pa.field("link", pa.string(), nullable=False),
        pa.field("host", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("error", pa.string()),
        pa.field("warning", pa.string()),
        pa.field("confidence", pa.float64()),
        pa.field("bytes", pa.int64()),
        pa.field("fetch_seconds", pa.float64(), nullable=False),
        pa.field("read_seconds", pa.float64(), nullable=False),
        pa.field("beginning", pa.string(), nullable=False),
    ]
)
"""``beginning`` is how the text begins."""

SEARCHED = "searched"

SEARCHED_SCHEMA = pa.schema([pa.field(SEARCHED, pa.string(), nullable=False)])
"""The texts to search in, one a row of the results: the page's, and those and the whole numbers of the dataset."""

BEGINNING_CHARACTERS = 160

END = "\x1f"
"""What ends each part of a text to search in, ASCII's unit separator: what is looked for does not go across."""

REPEATED = ("host", "status", "error", "warning")
"""Columns with few distinct values."""

_RESULTS = ("status", "error", "warning", "confidence", "bytes", "fetch_seconds", "read_seconds")

# Most links are like the first, which takes an eighth of the time; the others have logins, ports or spaces.
_PLAIN = r"^https?://(?P<host>[^/?#:\\\s@]+)[/?#]"
_ANY = r"(?i)^\s*https?://(?:[^/?#@]*@)?(?P<host>\[[^\]/]*\]|[^/?#:\\\s]+)"
_STORE = rf"(?i)^\s*(?P<scheme>(?:{'|'.join(STORE_SCHEMES)})://)(?:[^/@]*@)?(?P<bucket>[^/\s]+)"
_ABSOLUTE = r"^\s*(?:[A-Za-z][A-Za-z0-9+.-]*:|/|$)"


def index_table(
    position: int, rows: pa.Array, own: pa.Table, results: pa.Table, image_column: str, base: str
) -> pa.Table:
    """The index of some rows of the results.

    :param position: of the first in the results.
    :param rows: their numbers in the dataset.
    :param own: the dataset's own columns of them.
    :param results: the columns of the contract.
    :param base: where relative links start, as the plan has it.
    """
    count = results.num_rows
    links = pc.fill_null(own[image_column].cast(pa.string()), "")
    text = results["ocr_text"]
    columns = {
        POSITION: pa.arange(position, position + count),
        "row": rows,
        "page": results["ocr_page"],
        "link": links,
        "host": hosts_of(links, base),
        "beginning": pc.utf8_slice_codeunits(text, 0, BEGINNING_CHARACTERS),
        **{name: results[f"ocr_{name}"] for name in _RESULTS},
    }
    return pa.Table.from_arrays([columns[name] for name in INDEX_SCHEMA.names], schema=INDEX_SCHEMA)


def searched_texts(own: pa.Table, results: pa.Table) -> pa.Table:
    """The texts to search in of some rows of the results; parameters as :func:`index_table` has them."""
    texts = (_as_text(column) for column in own.columns if _is_searched(column.type))
    parts = [_in_one_line(text) for text in (results["ocr_text"], *texts)]
    joined = pc.binary_join_element_wise(*parts, "", END, null_handling="replace", null_replacement="")
    return pa.Table.from_arrays([pc.utf8_lower(joined)], schema=SEARCHED_SCHEMA)


def as_searched(text: str) -> str:
    """What is looked for, as the texts to search in have it."""
    valid = text.replace(END, "").encode(errors="replace").decode()
    lowered: str = pc.utf8_lower(_in_one_line(pa.array([valid])))[0].as_py()
    return lowered


def _in_one_line(texts: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Each text as a page shows it, where ends of lines and whatever other white space there is are one space."""
    return pc.binary_join(pc.utf8_split_whitespace(pc.utf8_trim_whitespace(texts)), " ")


def hosts_of(links: pa.ChunkedArray, base: str) -> pa.ChunkedArray:
    """The host of each link, in lower case; of an object ``s3://bucket``, of a file nothing.

    :param base: where relative links start: a folder, a URL, or empty.
    """
    hosts = pc.struct_field(pc.extract_regex(links, _PLAIN), "host")
    if hosts.null_count:
        others = pc.is_null(hosts).combine_chunks()
        hosts = pc.replace_with_mask(hosts, others, _hosts_of_others(links.filter(others), base))
    return pc.utf8_lower(hosts)


def _hosts_of_others(links: pa.ChunkedArray, base: str) -> pa.Array:
    web = pc.struct_field(pc.extract_regex(links, _ANY), "host")
    stored = pc.extract_regex(links, _STORE)
    bucket = pc.binary_join_element_wise(pc.struct_field(stored, "scheme"), pc.struct_field(stored, "bucket"), "")
    absolute = pc.match_substring_regex(links, _ABSOLUTE)
    return pc.coalesce(web, bucket, pc.if_else(absolute, "", _base_host(base))).combine_chunks()


def _base_host(base: str) -> str:
    if "://" not in base:
        return ""
    parts = urlsplit(base)
    host = parts.hostname or ""
    return f"{parts.scheme}://{host}" if parts.scheme in STORE_SCHEMES else host


def _is_searched(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind))


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.cast(pa.string())

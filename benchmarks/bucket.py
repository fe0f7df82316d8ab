"""A store that speaks as much S3 as the project asks, with its objects as files: ``serve_bucket``.

The one that the tests use keeps in memory what it puts together: for the files of a million wide rows, 18 GB.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

_NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
_PIECE = 1 << 20


def serve_bucket(opened: ExitStack, bucket: str) -> str:
    """The address of a store in a process of its own, with an empty ``bucket``; both end with ``opened``."""
    folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="bench-bucket-"))
    (Path(folder) / bucket).mkdir()
    server = opened.enter_context(
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.bucket", folder],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # clients go away in the middle of what they do not want
            text=True,
        )
    )
    opened.callback(server.kill)
    assert server.stdout is not None
    return server.stdout.readline().strip()


class _Handler(BaseHTTPRequestHandler):
    """Answers a request. Keys are paths below the folder; uploads that are under way lie beside the buckets."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a store does not wait 40 ms between the head of an answer and its body
    folder: Path

    def do_PUT(self) -> None:
        path, query = self._target()
        if upload := query.get("uploadId"):
            path = self._upload(upload) / f"{int(query['partNumber']):05}"
        elif self.headers.get("If-None-Match") == "*" and path.exists():
            self._take(Path(os.devnull))
            self._answer(412, _error("PreconditionFailed"))
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
        self._take(whole)
        whole.replace(path)
        self._answer(200, b"", {"ETag": _etag(path)})

    def do_POST(self) -> None:
        path, query = self._target()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "uploads" in query:
            upload = uuid.uuid4().hex
            self._upload(upload).mkdir(parents=True)
            self._answer(200, _xml("InitiateMultipartUploadResult", f"<UploadId>{upload}</UploadId>"))
        elif "uploadId" in query:
            parts = self._upload(query["uploadId"])
            path.parent.mkdir(parents=True, exist_ok=True)
            with (parts / "whole").open("wb") as whole:
                for part in sorted(parts.glob("[0-9]*")):
                    with part.open("rb") as content:
                        shutil.copyfileobj(content, whole, _PIECE)
                    part.unlink()
            (parts / "whole").replace(path)
            parts.rmdir()
            self._answer(200, _xml("CompleteMultipartUploadResult", f"<ETag>{escape(_etag(path))}</ETag>"))
        else:
            keys = [found.text or "" for found in ElementTree.fromstring(body).iter() if found.tag.endswith("Key")]
            for key in keys:
                (path / key).unlink(missing_ok=True)
            self._answer(200, _xml("DeleteResult", "".join(f"<Deleted><Key>{escape(k)}</Key></Deleted>" for k in keys)))

    def do_GET(self) -> None:
        path, query = self._target()
        if "list-type" in query:
            self._answer(200, _listing(path, query.get("prefix", ""), query.get("delimiter", "")))
            return
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            self._answer(404, _error("NoSuchKey"))
            return
        headers = {"ETag": _etag(path), "Last-Modified": self.date_time_string(path.stat().st_mtime)}
        start, end = 0, size
        if given := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            start, end = int(given[1]), min(int(given[2]) + 1 if given[2] else size, size)
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        self.send_response(206 if "Content-Range" in headers else 200)
        for name, value in {**headers, "Content-Length": str(end - start)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            with path.open("rb") as file:
                self.wfile.flush()
                while start < end:
                    start += os.sendfile(self.connection.fileno(), file.fileno(), start, end - start)

    do_HEAD = do_GET  # noqa: N815

    def do_DELETE(self) -> None:
        path, query = self._target()
        if upload := query.get("uploadId"):
            shutil.rmtree(self._upload(upload), ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        self._answer(204, b"")

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""

    def _target(self) -> tuple[Path, dict[str, str]]:
        parts = urlsplit(self.path)
        return self.folder / unquote(parts.path).strip("/"), dict(parse_qsl(parts.query, keep_blank_values=True))

    def _upload(self, name: str) -> Path:
        return self.folder / ".uploads" / name

    def _take(self, path: Path) -> None:
        left = int(self.headers.get("Content-Length") or 0)
        with path.open("wb") as file:
            while left and (piece := self.rfile.read(min(left, _PIECE))):
                file.write(piece)
                left -= len(piece)

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _listing(bucket: Path, prefix: str, delimiter: str) -> bytes:
    contents, folders = [], set()
    start = bucket / prefix.rpartition("/")[0]
    for path in sorted(start.rglob("*")) if start.is_dir() else ():
        key = path.relative_to(bucket).as_posix()
        if path.is_dir() or not key.startswith(prefix):
            continue
        if delimiter and delimiter in (rest := key[len(prefix) :]):
            folders.add(prefix + rest.partition(delimiter)[0] + delimiter)
            continue
        contents.append(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>{escape(_etag(path))}</ETag><Size>{path.stat().st_size}</Size></Contents>"
        )
    prefixes = [f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in sorted(folders)]
    return _xml("ListBucketResult", "<IsTruncated>false</IsTruncated>" + "".join(contents + prefixes))


def _etag(path: Path) -> str:
    found = path.stat()
    return f'"{hashlib.sha256(f"{found.st_ino} {found.st_mtime_ns} {found.st_size}".encode()).hexdigest()[:32]}"'


def _xml(name: str, content: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?><{name} {_NAMESPACE}>{content}</{name}>'.encode()


def _error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()


def main() -> None:
    """Serve the buckets below a folder until killed."""
    _Handler.folder = Path(sys.argv[1])
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()

"""img2dataset as its users run it: ``python peer.py PROCESSES THREADS < links``, in an environment of its own.

Nothing is decoded, nothing kept, every body hashed. Prints what came of it as one line of JSON; the seconds are
those that img2dataset itself gives for downloading, without its start.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import img2dataset


def main() -> None:
    """Read links from standard input and fetch them."""
    processes, threads = int(sys.argv[1]), int(sys.argv[2])
    links = sys.stdin.read().split()
    # It prints to standard output; that carries our answer alone.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "links.txt").write_text("\n".join(links))
        img2dataset.download(
            url_list=f"{folder}/links.txt",
            output_folder=f"{folder}/output",
            output_format="dummy",
            processes_count=processes,
            thread_count=threads,
            number_sample_per_shard=-(-len(links) // processes),
            disable_all_reencoding=True,
            extract_exif=False,
            compute_hash="sha256",
            retries=2,
        )
        shards = [json.loads(path.read_text()) for path in Path(folder, "output").glob("*_stats.json")]
    seconds = max(shard["end_time"] for shard in shards) - min(shard["start_time"] for shard in shards)
    print(json.dumps({"fetched": sum(shard["successes"] for shard in shards), "seconds": seconds}), file=answer)


if __name__ == "__main__":
    main()

"""How well each of several sets of pages is read, beside the peers: ``make bench-accuracy SETS=folder``.

A set is a folder with the folders ``images`` and ``labels``; labels are CSV files named like the images: eight corner
numbers, then the text. Figures are over all pages of a set, in any order of their text; beside each is the interval in
which it lies with 90 % when other pages of the kind are drawn. ``--before`` compares ours with an earlier run over the
same pages, and fails where a set is read worse beyond chance: so that a setting is decided by all kinds of pages.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.goals import Goal, check
from benchmarks.ocr.systems import OURS, PEERS
from benchmarks.ocr.workers import Worker
from benchmarks.scores import Score, broken_words, characters, draw_pages, f1, label, words

SYSTEMS = ("ours_all", "rapidocr_openvino", "indra")

BROKEN = "broken words"
"""Those that are joined with their neighbours, or split."""

Texts = Mapping[str, Mapping[str, Mapping[str, str]]]
"""What was read: by set, system and the image's name."""


@dataclass(frozen=True, slots=True)
class PageSet:
    """Pages of one kind; ``truth`` is the text of each of ``images``."""

    name: str
    images: tuple[Path, ...]
    truth: tuple[str, ...]

    @property
    def has_words(self) -> bool:
        """Whether its labels have spaces; without any, their words say nothing."""
        return any(" " in text for text in self.truth)

    @property
    def has_case(self) -> bool:
        """Whether its labels are written in more than capitals."""
        return any(text != text.upper() for text in self.truth)

    def scores(self, texts: Mapping[str, str]) -> dict[str, Score]:
        """The scores of a system by what they measure."""
        read = [texts[image.name] for image in self.images]
        if not self.has_case:
            read = [text.upper() for text in read]
        scores = {"character F1": f1(read, self.truth, characters)}
        if self.has_words:
            scores = {"word F1": f1(read, self.truth, words), **scores, BROKEN: broken_words(read, self.truth)}
        return scores


def find_sets(folder: Path, pages: int | None) -> list[PageSet]:
    """The sets in ``folder``, of each at most the first ``pages``."""
    sets = []
    for labels in sorted(folder.glob("*/labels")):
        images = sorted(path for path in labels.with_name("images").iterdir() if path.is_file())[:pages]
        truth = [label(labels / f"{image.stem}.csv") for image in images]
        sets.append(PageSet(labels.parent.name, tuple(images), tuple(truth)))
    return sets


def main() -> int:
    """Run the benchmark; returns the exit code."""
    arguments = _parse()
    sets = find_sets(arguments.sets, arguments.pages)
    if not sets:
        raise SystemExit(f"{arguments.sets} has no folders with images and labels in them")
    before = json.loads(arguments.before.read_text()) if arguments.before else {}
    texts: dict[str, dict[str, dict[str, str]]] = {pages.name: {} for pages in sets}
    for system in arguments.systems.split(","):
        python = Path(sys.executable) if system in OURS else arguments.indra if system == "indra" else arguments.peers
        for pages, read in zip(sets, read_sets(system, python, sets), strict=True):
            texts[pages.name][system] = read
    if arguments.json:
        arguments.json.write_text(json.dumps(texts, indent=1, ensure_ascii=False))
    return check([goal for pages in sets for goal in _report(pages, texts[pages.name], before.get(pages.name, {}))])


def read_sets(system: str, python: Path, sets: list[PageSet]) -> list[dict[str, str]]:
    """What ``system`` reads on the pages of each set, by the image's name."""
    cores = len(os.sched_getaffinity(0))
    readers, threads = (cores, 1) if system in OURS else (1, cores)
    images = [image for pages in sets for image in pages.images]
    with ExitStack() as stack:
        models = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        worker = Worker(system, python, readers, threads, models, images)
        stack.callback(worker.end)
        answer = worker.read()
    texts: list[str] = answer["texts"]  # type: ignore[assignment]
    left = iter(texts)
    print(f"{system}: {float(str(answer['cpu_seconds'])) / len(images):.3f} core-seconds an image", flush=True)
    return [{image.name: next(left) for image in pages.images} for pages in sets]


def _report(
    pages: PageSet, texts: Mapping[str, Mapping[str, str]], before: Mapping[str, Mapping[str, str]]
) -> list[Goal]:
    """Print how each system reads a set; returns the goals of ours."""
    print(f"\n{pages.name}, {len(pages.images)} pages")
    draws = draw_pages(len(pages.images))
    scores = {system: pages.scores(read) for system, read in texts.items()}
    goals = []
    for system, measured in scores.items():
        for measure, score in measured.items():
            low, high = score.interval(draws)
            print(f"  {system:18} {measure:13} {score.share:.4f} (90%: {low:.4f} to {high:.4f})", end="")
            if all(image.name in before.get(system, {}) for image in pages.images):
                gain, low, high = score.gain(pages.scores(before[system])[measure], draws)
                print(f"  difference to before: {gain:+.4f} (90%: {low:+.4f} to {high:+.4f})", end="")
                if system in OURS and measure != BROKEN:
                    goals.append(Goal(f"{pages.name}, {measure} of {system}, what it may have gained", high, least=0))
            print()
    peers = [measured for system, measured in scores.items() if system in PEERS]
    for system in OURS.keys() & scores.keys():
        measure, score = next(iter(scores[system].items()))
        if peers:
            best = max(measured[measure].share for measured in peers)
            goals.append(Goal(f"{pages.name}, {measure} of {system}", score.share, least=best))
    return goals


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=Path, required=True, help="a folder of sets")
    parser.add_argument("--peers", type=Path, help="the Python of the peers' environment")
    parser.add_argument("--indra", type=Path, help="the Python of an environment with rapidocrlite")
    parser.add_argument("--pages", type=int, help="read at most this many pages of each set")
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="which to read with, between commas")
    parser.add_argument("--json", type=Path, help="keep what was read here, for --before")
    parser.add_argument("--before", type=Path, help="what an earlier run has kept")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

"""Our own pipeline: find the lines on a reduced page, read each from the original pixels."""

from __future__ import annotations

import cv2
import numpy as np

from ocr_pipeline.errors import ErrorCategory, ImageError
from ocr_pipeline.ocr.crops import margin_of, with_margin
from ocr_pipeline.ocr.decoding import LineText
from ocr_pipeline.ocr.detection import OURS, Thresholds, detect
from ocr_pipeline.ocr.doubts import Doubts
from ocr_pipeline.ocr.geometry import Quads, as_quad
from ocr_pipeline.ocr.inference import LoadedModel
from ocr_pipeline.ocr.orientation import in_page_frame, read_lines
from ocr_pipeline.ocr.reading_order import reading_order
from ocr_pipeline.ocr.recognition import recognise
from ocr_pipeline.ocr.scales import SIZE
from ocr_pipeline.ocr.strays import without_strays
from ocr_pipeline.ocr.words import words_of
from ocr_pipeline.records import Page, PageText, Pixels, TextLine

STRETCHED = 640
"""Side of the square that ``resize: stretch`` squashes every page to."""


class PipelineEngine:
    """Detection, cropping and recognition over two networks. See :class:`ocr_pipeline.ocr.Engine`."""

    def __init__(
        self,
        model: LoadedModel,
        *,
        threads: int,
        min_confidence: float,
        stretch: bool,
        doubts: Doubts,
        words: bool = False,
        find_turns: bool = True,
        detection_size: int = SIZE,
        thresholds: Thresholds = OURS,
        least_width: int = 0,
        best_path: bool = False,
    ) -> None:
        self.model = model.name
        self.threads = threads
        self._networks = model
        self._min_confidence = min_confidence
        self._stretch = stretch
        self._doubts = doubts
        self._words = words
        self._find_turns = find_turns
        self._size = detection_size
        self._thresholds = thresholds
        self._least_width = least_width
        self._best_path = best_path

    def read(self, page: Page) -> PageText:
        """Read one page. Thread-safe.

        :raises ImageError: when the page makes a network fail.
        """
        margin = 0 if self._stretch else margin_of(page.pixels)
        pixels = with_margin(page.pixels, margin) if margin else page.pixels
        if self._stretch:
            pixels = stretched(pixels)
        networks = self._networks

        def read(quads: Quads) -> list[LineText]:
            return recognise(
                pixels,
                quads,
                networks.recognise,
                networks.characters,
                least_width=self._least_width,
                few_shapes=networks.batching,
                find_spaces=not self._best_path,
            )

        try:
            boxes = detect(pixels, networks.detect, self._size, self._thresholds, few_shapes=networks.batching)
            lines = read_lines(boxes, read, find_turns=self._find_turns)
        except (cv2.error, RuntimeError, MemoryError) as error:
            raise ImageError(
                ErrorCategory.ENGINE_ERROR, f"{self.model} failed on {page.width}x{page.height} pixels: {error}"
            ) from error
        quads, texts = lines.quads, lines.texts if self._best_path else without_strays(lines.texts)
        if self._stretch:
            quads = quads * np.array([page.width / STRETCHED, page.height / STRETCHED], np.float32)
        if margin:
            quads = np.clip(quads - margin, 0, np.array([page.width, page.height], np.float32))
        found = [(line.text, line.confidence, corners) for line, corners in zip(texts, quads, strict=True)]
        warnings = self._doubts.about(found, page.pixels)
        kept = [i for i, line in enumerate(texts) if line.text.strip() and line.confidence >= self._min_confidence]
        quads, texts = quads[kept], [texts[i] for i in kept]
        blocks = reading_order(in_page_frame(quads, lines.direction), [line.text for line in texts])
        return PageText(
            tuple(
                TextLine(
                    texts[i].text,
                    texts[i].confidence,
                    as_quad(quads[i]),
                    words_of(texts[i].trace, quads[i]) if self._words else (),
                    number,
                )
                for number, block in enumerate(blocks)
                for i in block
            ),
            warnings,
        )

    def close(self) -> None:
        """Nothing to release: the networks go with the engine."""


def stretched(pixels: Pixels) -> Pixels:
    """``pixels`` squashed to a square of :data:`STRETCHED` pixels, whatever their shape."""
    return np.asarray(cv2.resize(pixels, (STRETCHED, STRETCHED)), np.uint8)

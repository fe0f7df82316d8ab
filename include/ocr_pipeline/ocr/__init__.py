"""Reading text: engines turn the pixels of a page into its lines."""

from ocr_pipeline.ocr.engine import Engine, load_engine

__all__ = ["Engine", "load_engine"]

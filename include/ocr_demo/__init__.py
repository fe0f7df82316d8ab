"""The demo: a small, varied dataset of images with known text, drawn by code and served on loopback."""

from ocr_demo.accuracy import word_f1
from ocr_demo.dataset import DemoDataset, DemoImage, draw, write_dataset
from ocr_demo.server import ImageServer

__all__ = ["DemoDataset", "DemoImage", "ImageServer", "draw", "word_f1", "write_dataset"]

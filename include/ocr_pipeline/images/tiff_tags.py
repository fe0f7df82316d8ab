"""The tags of TIFF 6.0 that are looked at, by name."""

from __future__ import annotations

SUBFILE, OLD_SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 255, 256, 257, 258, 259, 262
FILL_ORDER, STRIPS, ORIENTATION, SAMPLES, ROWS, STRIP_SIZES, PLANES = 266, 273, 274, 277, 278, 279, 284
FAX_OPTIONS, JPEG_TABLES = 292, 347
TILE_WIDTH, TILE_HEIGHT, TILES, TILE_SIZES, EXTRA, SAMPLE_FORMAT = 322, 323, 324, 325, 338, 339
OLD_JPEG = 6
"""A compression of which the data need not be where the strips are."""

"""Reads images with Indra OCR, run by the Python of an environment that has it: for each a line of JSON, its text."""

from __future__ import annotations

import json
import sys

from rapidocr import ModelType, RapidOCR

engine = RapidOCR(params={"Det.model_type": ModelType("lite"), "Rec.model_type": ModelType("lite")})
for image in sys.argv[1:]:
    print(json.dumps("\n".join(getattr(engine(image), "txts", None) or ())), flush=True)

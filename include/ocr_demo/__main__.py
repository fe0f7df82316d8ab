"""The image server's process: ``python -m ocr_demo FOLDER PORT`` serves until its standard input ends."""

import asyncio
import sys
from pathlib import Path

from ocr_demo.server import serve

if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))

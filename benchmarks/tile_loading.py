"""Tiles a loader cuts per CPU second, with and without its memory of decoded pictures.

    python benchmarks/tile_loading.py CONFIG.yaml [key.sub=value ...]

CONFIG: one whose data.tiles are set. Both sides run in turn, in this process, on the same batches.
"""

from __future__ import annotations

import sys
import time
from itertools import islice
from pathlib import Path
from unittest.mock import patch

import torch

from foveal.build import build_loader, build_records
from foveal.config.load import data_of, load_config
from foveal.data.tiled import PictureCache

BATCHES = 20
ROUNDS = 3


def main() -> None:
    """Prints the two rates of every round."""
    torch.set_num_threads(1)
    config = load_config(Path(sys.argv[1]), [*sys.argv[2:], "data.workers=0"])
    records = build_records(data_of(config).train)

    def rate() -> float:
        start = time.process_time()
        tiles = sum(len(batch.images) for batch in islice(build_loader(records, config, train=True), BATCHES))
        return tiles / (time.process_time() - start)

    for _ in range(ROUNDS):
        kept = rate()
        with patch.object(PictureCache, "load", lambda cache, picture: cache.source.load(picture)):
            alone = rate()
        print(f"{kept:.0f} tiles per CPU second, {alone:.0f} without the memory: {kept / alone:.1f} times")


if __name__ == "__main__":
    main()

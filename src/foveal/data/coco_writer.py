"""Records -> COCO JSON, the inverse of ``read_coco``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from foveal.data.records import Records
from foveal.files import write_text


def write_coco(records: Records, path: Path) -> None:
    """Write one split's labels as COCO JSON: 0-based x, y, width, height; ids of pictures and classes kept.

    ``file_name`` is relative to ``records.root``. Boxes are numbered from 1. What was at ``path`` before is
    replaced only once the new file is complete; DiskError where it cannot be written.
    """
    write_text(Path(path), json.dumps(_content(records)))


def _content(records: Records) -> dict[str, list[dict[str, Any]]]:
    image_ids = records.image_ids.tolist()
    sizes = zip(records.files.tolist(), records.heights.tolist(), records.widths.tolist(), strict=True)
    images = [
        {"id": image_id, "file_name": file, "height": height, "width": width}
        for image_id, (file, height, width) in zip(image_ids, sizes, strict=True)
    ]
    owners = [
        image_id
        for picture, image_id in enumerate(image_ids)
        for _ in range(int(records.offsets[picture]), int(records.offsets[picture + 1]))
    ]
    columns = (
        owners,
        *(column.tolist() for column in (records.boxes, records.labels, records.crowd, records.area)),
    )
    annotations = [
        {
            "id": number,
            "image_id": image_id,
            "category_id": records.classes.ids[label],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": area,
            "iscrowd": int(crowd),
        }
        for number, (image_id, (x1, y1, x2, y2), label, crowd, area) in enumerate(
            zip(*columns, strict=True), start=1
        )
    ]
    categories = [
        {"id": class_id, "name": name}
        for class_id, name in zip(records.classes.ids, records.classes.names, strict=True)
    ]
    return {"images": images, "annotations": annotations, "categories": categories}

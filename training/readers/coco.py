"""COCO: photographs as recordings of one frame, one target per object."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from training.readers.target import Findings, Selection, Target


def read_coco(root: Path, selection: Selection, findings: Findings) -> Iterator[Target]:
    """Targets of COCO: ``annotations/instances_<split>.json`` and ``<split>/<file>``.

    Splits: ``train2017`` (default), ``train2014``, ``val2017``, .... Images may also lie in
    ``images/<split>``. Crowds are left out, as published.
    """
    split = selection.split or 'train2017'
    annotation = root / 'annotations' / f'instances_{split}.json'
    if not findings.has(annotation):
        return
    try:
        content = json.loads(annotation.read_text('utf-8'))
        images = {image['id']: image for image in content['images']}
        instances = content['annotations']
    except (ValueError, KeyError, TypeError) as error:
        findings.problems.append(f'{annotation} is no annotation of COCO ({error!r})')
        return
    folder = root / 'images' / split if (root / 'images' / split).is_dir() else root / split
    there = findings.existing(folder, [image['file_name'] for image in images.values()])
    present = {number for number, found in zip(images, there.tolist(), strict=True) if found}
    for instance in instances:
        image = images.get(instance['image_id'])
        if image is None:
            findings.problems.append(f'{annotation}: no image {instance["image_id"]}')
            continue
        crowd = np.array([bool(instance.get('iscrowd', 0))])
        box = np.array([instance['bbox']], np.float64)
        usable = bool(findings.usable(box, {'crowd': crowd})[0])
        stem = Path(image['file_name']).stem
        if usable and stem not in selection.without and image['id'] in present:
            yield Target(
                name=f'{split}/{stem}/{instance["id"]}',
                scene=f'{split}/{stem}',
                folder=folder,
                pattern=image['file_name'],
                frames=np.zeros(1, np.int64),
                boxes_ltwh=box,
                size=(image['width'], image['height']),
            )

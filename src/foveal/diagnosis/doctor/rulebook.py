"""Every rule of the doctor: its name, how grave it is, what it means, what to do. Nowhere else is that said."""

from __future__ import annotations

from typing import NamedTuple

from foveal.diagnosis.finding import Finding, Severity


class Rule(NamedTuple):
    """What is known about a rule before any data is seen."""

    severity: Severity
    means: str
    fix: str = ""
    mends: bool = False
    """Whether ``--fix`` does it."""


_LABEL = "correct the label"
_FIT = "foveal doctor CONFIG --fit-anchors"
RULES: dict[str, Rule] = {
    # ---- what the readers notice; the names are their FaultKinds
    "unusable": Rule("error", "a part holds nothing to learn from", "see the other errors of this part"),
    "unreadable_labels": Rule("error", "a label file or entry cannot be read", "repair or delete it"),
    "unreadable_picture": Rule(
        "error", "a picture's header cannot be read: left out", "replace the file, or remove it", True
    ),
    "missing_picture": Rule(
        "error",
        "labels name a picture that is not there: left out",
        "add the file or remove its labels",
        True,
    ),
    "unsafe_path": Rule(
        "error", "a picture's path leads out of the data's folder: never opened", "put it inside", True
    ),
    "bad_number": Rule("error", "a box has NaN, infinity or text for a number: dropped", _LABEL, True),
    "zero_size": Rule(
        "error", "a box has no width or no height: dropped, its object is background", _LABEL, True
    ),
    "outside": Rule("error", "a box lies wholly outside its picture: dropped", _LABEL, True),
    "clipped": Rule("warning", "a box leaves its picture: clipped", "draw it inside", True),
    "unknown_class": Rule(
        "warning",
        "a box of a class that is not wanted or not declared: dropped",
        "add the class, or drop the box",
    ),
    "size_mismatch": Rule(
        "warning",
        "labels state another size than the picture has",
        "were they drawn on a resized copy?",
        True,
    ),
    "rotated_labels": Rule("note", "boxes were drawn before the EXIF rotation: turned with the picture"),
    "duplicate_id": Rule("warning", "an id, a name or a picture is listed twice", "make each unique", True),
    "orphan_label": Rule(
        "warning", "labels whose picture is not there: left out", "add the picture, or delete them", True
    ),
    "no_label_file": Rule(
        "warning",
        "a picture without a label file: trained as background",
        "label it, or give it an empty file",
    ),
    "empty_labels": Rule("note", "a picture with empty labels: trained as background"),
    "only_crowd": Rule("note", "every box of a picture is a crowd: background outside of them"),
    "crowd": Rule("note", "a crowd or difficult box: neither object nor background"),
    "moved_path": Rule(
        "note", "files were found elsewhere than the labels write", "write paths as they are here"
    ),
    "class_list": Rule("warning", "the list of class names is in doubt", "give each id one name"),
    "polygon": Rule("note", "an outline: read as the box around it"),
    "flagged": Rule("note", "a box left out for a flag, as the settings say"),
    # ---- numbers that mean something else
    "xywh_as_xyxy": Rule(
        "error",
        "boxes are x, y, width, height and are read as two corners",
        "write corners, or another format",
        True,
    ),
    "xyxy_as_xywh": Rule(
        "error",
        "boxes are two corners and are read as x, y, width, height",
        "subtract: width = x2 - x1",
        True,
    ),
    "centre_as_corner": Rule(
        "error",
        "boxes are centre, width, height and are read from the corner",
        "x = centre - width / 2",
        True,
    ),
    "corner_as_centre": Rule(
        "error",
        "boxes are corner, width, height and are read from the centre",
        "centre = x + width / 2",
        True,
    ),
    "transposed_boxes": Rule(
        "error", "boxes fit their pictures only with x and y swapped", "swap x and y", True
    ),
    "swapped_sides": Rule(
        "error", "boxes fit their pictures only with width and height swapped", "swap width and height", True
    ),
    "column_order": Rule(
        "error", "numbers are x1, x2, y1, y2 and are read as x1, y1, x2, y2", "map the columns", True
    ),
    "swapped_corners": Rule(
        "error", "boxes drawn from another corner: x2 < x1 or y2 < y1", "write the smaller number first", True
    ),
    "normalised_boxes": Rule(
        "error",
        "boxes are shares of the picture (0 to 1) where pixels are expected",
        "multiply by its size",
        True,
    ),
    "pixel_boxes": Rule(
        "error",
        "boxes are pixels where shares of the picture (0 to 1) are expected",
        "divide by its size",
        True,
    ),
    "resized_boxes": Rule(
        "error", "boxes fit a copy of the picture of another size", "scale them by the factor named", True
    ),
    "one_corner": Rule(
        "warning",
        "every box lies in the top left part of its picture",
        "were the labels made on a smaller copy?",
    ),
    "off_by_one": Rule(
        "warning",
        "numbers look 1-based in a format that starts at 0",
        "subtract 1 from x1 and y1 (VOC: one_based)",
    ),
    "zero_based": Rule("warning", "numbers look 0-based in a format read as 1-based", "set voc_corners: raw"),
    "one_based": Rule("note", "numbers start at 1, as they are read: 1 is subtracted from x1 and y1"),
    "ids_restart": Rule(
        "note", "picture ids occur in several parts: they name a picture only within its part"
    ),
    "stated_transposed": Rule(
        "warning", "labels state width and height of the picture the wrong way round", "swap them", True
    ),
    # ---- boxes
    "duplicate_box": Rule("warning", "the same box of the same class twice", "delete one", True),
    "near_duplicate_box": Rule("warning", "two boxes of one class with IoU over 0.95", "delete one"),
    "two_classes": Rule("warning", "one box with two classes (same place, IoU over 0.95)", "decide for one"),
    "huge_box": Rule(
        "note", "a box covers over 95 % of its picture", "is it an object, or the whole picture?"
    ),
    "tiny_box": Rule(
        "warning",
        "a box under 3 px at training size, or 1/10,000 of its picture",
        "a slip, or train larger or tiled",
    ),
    "thin_box": Rule("warning", "a box over 15 times as long as wide", "a slip, or anchors that reach it"),
    "same_place": Rule(
        "warning", "most boxes of a class are at one and the same place", "a template, not labels?"
    ),
    "at_edge": Rule("note", "boxes that end at their picture's edge: objects cut off"),
    "mask_area": Rule("note", "areas are not width x height: those of masks, by which COCO's sizes go"),
    # ---- classes
    "similar_classes": Rule(
        "warning",
        "two class names differ by case, space, plural or a letter",
        "--merge-classes 'OLD=NEW'",
        True,
    ),
    "background_class": Rule(
        "warning", "a class is called background", "remove it: no class stands for nothing"
    ),
    "class_without_boxes": Rule("note", "declared classes that have no box: no output is made for them"),
    "super_category": Rule("note", "a class without a box is the family of others: no class to learn"),
    "ids_from_zero": Rule("note", "class ids start at 0: no background here, so nothing is shifted"),
    "ids_with_gaps": Rule("note", "class ids have gaps: outputs are numbered without"),
    "few_boxes": Rule(
        "warning", "classes with too few boxes to learn them", "label more, merge them, or leave them out"
    ),
    "few_boxes_to_measure": Rule(
        "warning", "classes with too few boxes for an AP that means anything", "hold out more pictures"
    ),
    "class_imbalance": Rule(
        "warning", "one class has over 10 times the boxes of another", "class_aware_sampling"
    ),
    "class_not_trained": Rule(
        "error", "a class is measured and never trained: its AP is 0", "split anew, every class in each part"
    ),
    "class_not_measured": Rule(
        "warning", "classes that are trained and never measured", "split anew, every class in each part"
    ),
    "rarely_absent": Rule("note", "a class nearly every picture has is missing in a few: forgotten labels?"),
    # ---- pictures
    "broken_picture": Rule(
        "error", "a picture's pixels cannot be decoded, as in a file cut short", "replace the file", True
    ),
    "wrong_extension": Rule("warning", "a file's name says another format than it is", "rename it", True),
    "few_pictures": Rule("warning", "too few pictures to learn from or to measure on", "label more"),
    "mostly_empty": Rule("warning", "most pictures have no label", "are labels missing?"),
    "mixed_sizes": Rule("note", "the largest picture has over 4 times the pixels of the smallest"),
    "odd_size": Rule("note", "one picture is of another size than all others"),
    "mixed_extensions": Rule("note", "one format under several extensions, such as .jpg and .JPG"),
    "colour_modes": Rule("note", "pictures that are not 8-bit RGB: converted"),
    "exif_rotation": Rule("note", "pictures with an EXIF rotation: turned upright"),
    "not_looked_at": Rule("note", "pictures whose pixels were not decoded", "--pictures all"),
    # ---- between pictures
    "shared_picture": Rule(
        "error", "one file is in two parts: its figure is memory, not skill", "leave it in one", True
    ),
    "leaked_picture": Rule("error", "the same picture, byte for byte, in two parts", "leave it in one", True),
    "near_leak": Rule("warning", "nearly the same picture in two parts", "put both into one part"),
    "same_origin": Rule(
        "warning", "pictures made from one original in two parts (.rf. names)", "split before augmenting"
    ),
    "same_name": Rule("note", "different pictures of one name in two parts"),
    "duplicate_picture": Rule(
        "warning", "the same picture, byte for byte, twice in a part", "delete one", True
    ),
    "conflicting_labels": Rule(
        "error", "the same picture twice in a part, with different labels", "decide for one", True
    ),
    "near_duplicate": Rule("note", "nearly the same picture twice in a part, such as frames of a video"),
    "foreign_part": Rule("note", "pictures come from another part of their source than their folder says"),
    # ---- which part is which
    "no_training_part": Rule(
        "warning", "no part is for training: another one is taken", "name one train, or set data.train"
    ),
    "no_validation_part": Rule(
        "note", "no validation part: what AP is measured on", "hold out a part of its own"
    ),
    "nothing_measured": Rule(
        "warning",
        "a configuration without data.val: no AP is measured, the last weights count as the best",
        "add data.val, or hold pictures out: foveal init DATA",
    ),
    "not_used": Rule("warning", "something that is named or lies beside the labels is passed over"),
    # ---- anchors of a configuration; the share of boxes decides between error and warning
    "anchors_pictures_without": Rule(
        "error", "pictures with boxes of which none has a positive anchor", _FIT
    ),
    "anchors_boxes_without": Rule("error", "boxes that no anchor stands for: trained as background", _FIT),
    "anchors_low_quality_only": Rule("warning", "boxes that only the low-quality rule gives an anchor", _FIT),
    "anchors_class_without": Rule("warning", "a class whose boxes the anchors reach far less often", _FIT),
    "objects_tiny": Rule(
        "warning", "objects of a few pixels at training size", "P2, a larger canvas or tiles"
    ),
    "anchors_idle_level": Rule("note", "a pyramid level that no training box falls on"),
}


def finding(rule: str, where: str, message: str, fix: str | None = None) -> Finding:
    """A finding of a rule, with the rule's severity, and its fix unless there is a better one."""
    known = RULES[rule]
    return Finding(rule, known.severity, where, message, known.fix if fix is None else fix)

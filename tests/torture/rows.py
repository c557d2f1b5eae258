"""The rows: fault, promise with its pass mark, what shows it whole, and the tests that show it small."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One promise."""

    fault: str
    mark: str
    """What must be found for the promise to be kept."""
    runs: str
    """``file:function`` beside this one; ``function(place)`` gives the verdict."""
    minutes: float
    """After which it counts as hung."""
    quick: tuple[str, ...] = ()
    """Tests of the suite that hold it in a small form: file below tests/, ``::`` and a name where needed."""


ROWS: dict[str, Row] = {
    "R1": Row(
        "kill -9 in training",
        "resume continues bit for bit: 20 SIGKILLs at random moments, also inside a save, 2 "
        "loader workers, augmentation on: SHA-256 of model and optimiser as undisturbed",
        "kills:run",
        30,
    ),
    "R2": Row(
        "a process of several dies",
        "torchrun starts it again to the same result: 2 processes (gloo), 5 SIGKILLs: exit code "
        "0, equal SHA-256",
        "worker_kills:run",
        30,
    ),
    "R3": Row(
        "disk full or failing in a save",
        "the checkpoint before still loads, one line, no stray file, exit code 5: ENOSPC on a "
        "small disk, EIO at write, fsync and replace",
        "disk:run",
        10,
    ),
    "R4": Row(
        "a damaged checkpoint",
        "refused by name, and the state before is taken: 200 random flips and cuts, 200 found, 0 tracebacks",
        "flips:run",
        20,
    ),
    "R5": Row(
        "loss or gradient not finite",
        "step left out and counted; after 10 in a row the end, with the pictures' names and the "
        "batch kept: injected at steps 7, 8 and 10 in a row, weights always finite, exit code 6",
        "nonfinite:run",
        20,
    ),
    "R6": Row(
        "SIGTERM, SIGINT in training",
        "saved and ended with 143, 130 within 10 s, and gone on from bit for bit: 10 of 10",
        "signals:run",
        30,
    ),
    "R7": Row(
        "damaged pictures",
        "no crash, each named, no file rewritten: 10,000 mutants of 5 formats, 0 signals, none "
        "over 2 s, < 500 MB",
        "pictures:run",
        40,
    ),
    "R8": Row(
        "bad labels",
        "all faults in one pass, each with its place, no traceback: 5,000 damaged COCO, VOC, YOLO "
        "and CSV files, 0 crashes, every file named",
        "labels:run",
        40,
    ),
    "R9": Row(
        "a wrong metric",
        "equal to pycocotools: 1,000 random cases, difference 0 in all 12; without predictions "
        "0.0; a score of NaN refused",
        "metric:run",
        20,
    ),
    "R10": Row(
        "drift in export",
        "the same detections everywhere: torch, ONNX Runtime, OpenVINO, browser; 50 pictures, "
        "batches of 1, 3, 8, 2 sizes, within the tolerance of docs/export.md",
        "drift:run",
        60,
    ),
    "R11": Row(
        "a Ray worker dies, damaged pictures",
        "each picture once in the output: 500 pictures, 10 damaged, 5 SIGKILLs: 500 rows, 0 "
        "doubles, 10 errors, 490 as locally",
        "ray_kills:run",
        40,
    ),
    "S1": Row(
        "overload",
        "bounded queue, 503 with Retry-After: 200 clients x 20, only 200 and 503, 0 lost, < 100 MB more",
        "serving:overload",
        20,
    ),
    "S2": Row(
        "huge bodies",
        "413 while counting: 200 MB and endless chunks, < 1 s, < 30 MB more",
        "serving:huge_bodies",
        20,
    ),
    "S3": Row(
        "slow clients",
        "ended after the deadline: 100 slow sockets for 60 s, p99 of another client < 2x",
        "serving:slow_clients",
        20,
    ),
    "S4": Row(
        "pixel bombs, odd formats",
        "413 or 415: 400 megapixels, FITS, GD, PSD, animated GIF, TIFF of 10,000 pages, < 200 MB, < 0.2 s",
        "serving:odd_pictures",
        20,
    ),
    "S5": Row(
        "a decoding process dies",
        "only its requests fail: killed 10 times under load",
        "serving:killed_decoders",
        20,
    ),
    "S6": Row(
        "SIGTERM under load",
        "50 of 50 requests in flight finish, new ones refused, no process left, within 10 s, port free",
        "serving:stop_under_load",
        20,
    ),
    "S7": Row(
        "addresses in requests",
        "the server calls nobody: 0 outgoing sockets",
        "serving:addresses",
        20,
    ),
    "S8": Row(
        "malicious checkpoints",
        "safetensors or weights_only=True, nothing else: 5 pickles refused by every command that "
        "takes a model; no loader that runs code in the sources",
        "hostile_models:checkpoints",
        20,
    ),
    "S9": Row(
        "malicious ONNX and YAML",
        "no external data, size cap, aliases capped, no class paths: all refused in < 0.5 s",
        "hostile_models:onnx_and_yaml",
        20,
    ),
    "S10": Row(
        "paths that lead outside",
        "nothing read or written outside the data's folder: 30 cases",
        "outside:run",
        20,
    ),
    "S11": Row(
        "XML entities",
        "XXE, billion laughs, DTD, more than 5 MB: refused by name",
        "entities:run",
        10,
    ),
    "S12": Row(
        "script injection in page and report",
        "hostile names of files and classes in a real browser: 0 dialogs, 0 requests to others",
        "injection:run",
        20,
    ),
    "S13": Row(
        "formulas in CSV",
        "a leading = + - @ is quoted: 10 names",
        "formulas:run",
        10,
    ),
    "S14": Row(
        "supply chain",
        "exact pins without addresses, no unwanted package, every licence known",
        "supply:run",
        10,
    ),
    "S15": Row(
        "Ray open to others",
        "loopback only, no dashboard",
        "ray_sockets:run",
        10,
    ),
    "S16": Row(
        "no network",
        "the test suite passes without one",
        "offline:run",
        90,
    ),
    "X1": Row(
        "two processes against one",
        "the same global batches: 12 steps, weights within 1e-12 of one process in float64, 1e-4 "
        "of the way in float32",
        "one_and_two:run",
        20,
    ),
    "X2": Row(
        "requests from the server's own OpenAPI",
        "schemathesis, every endpoint: no 5xx that is not promised, every answer as the schema says",
        "fuzz:run",
        30,
    ),
    "X3": Row(
        "half an hour of mixed load",
        "good, broken, huge and slow requests together: memory level, no file handle or process "
        "gained, only promised answers",
        "mixed_load:run",
        45,
    ),
}

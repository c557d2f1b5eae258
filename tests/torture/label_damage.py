"""Labelled sets spoiled blindly: bytes, ends, encodings, no files, no labels, values of other kinds."""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from label_sets import Planted

BITS = [
    b"-", b"9" * 400, b"NaN", b"Infinity", b"1e999", b"\n", b"\r", b"\r\n", b",", b";", b"\t", b'"', b"'",
    b"\0", b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\\ud800", b"[" * 3000, b'{"a":' * 3000, b"<a>" * 3000,
    b"&lt;", b"]", b"}", b"</", b"<!--", b"<![CDATA[", b"null", b"true", b"../", b"/etc/passwd", b"- [",
    b"&a [*a]", b"=", b"%", b"#", b"!!python/object/apply:os.system [ls]", b"\xe2\x80\xa8", b"\x1b[2J",
    b" " * 5000,
]  # fmt: skip


def damage(case: Planted, chance: random.Random) -> str:
    """Spoil a sound set; what was done."""
    folder = case.target if case.target.is_dir() else case.target.parent
    files = sorted(path for path in folder.iterdir() if path.suffix != ".png")
    path = case.target if case.target.is_file() and chance.random() < 0.6 else chance.choice(files)
    kind = chance.choice(list(KINDS))
    content = path.read_bytes()
    path.unlink()
    KINDS[kind](path, content, chance)
    return f"{kind} of {path.name}"


def _bytes(path: Path, content: bytes, chance: random.Random) -> None:
    changed = bytearray(content)
    for _ in range(chance.choice((1, 3, 10))):
        at = chance.randrange(len(changed))
        new = chance.choice((chance.choice(BITS), chance.choice(BITS), chance.randbytes(chance.randrange(4))))
        changed[at : at + chance.randrange(5)] = new or b" "
    path.write_bytes(changed)


def _cut(path: Path, content: bytes, chance: random.Random) -> None:
    path.write_bytes(content[: chance.choice((0, 1, 2, 3, chance.randrange(len(content)), len(content) - 1))])


def _encoding(path: Path, content: bytes, chance: random.Random) -> None:
    names = ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7", "cp037", "utf-8-sig"]
    path.write_bytes(content.decode("utf-8-sig").encode(chance.choice(names)))


def _no_file(path: Path, content: bytes, chance: random.Random) -> None:
    what = chance.randrange(6)
    if what == 0:
        path.mkdir()
    elif what == 1:
        path.symlink_to(path.name)
    elif what == 2:
        path.symlink_to("nowhere")
    elif what == 3:
        os.mkfifo(path)
    elif what == 4:
        path.symlink_to("/dev/zero")
    else:
        path.symlink_to(path.parent)


def _junk(path: Path, content: bytes, chance: random.Random) -> None:
    depth = chance.choice((50, 1000, 200_000))
    anchors = b"".join(b"%c: &%c [%s]\n" % (n, n, b",".join([b"*%c" % (n - 1)] * 9)) for n in range(98, 115))
    junk = [
        chance.randbytes(3000), b"\0" * 5000, b"[" * depth, b'{"images":' * depth, b"<annotation>" * depth,
        b"- " * depth, b"{" * depth, content * 500, b"\x89PNG\r\n\x1a\n" + content, b"1" * 500_000, b"," * 500_000,
        b"a: &a [" + b"*a," * 9 + b"*a]", b"a: &a [x]\n" + anchors,
        b"names: [" + b"x," * 300_000 + b"x]\ntrain: .\n",
        b"train: .\nnames: {99999999999: a}\n", b'"' * 9999,
    ]  # fmt: skip
    path.write_bytes(chance.choice(junk))


def _tree(path: Path, content: bytes, chance: random.Random) -> None:
    """Values of JSON of other kinds; of other files, lines in another order, repeated or left out."""
    if path.suffix != ".json":
        lines = content.splitlines(keepends=True)
        for _ in range(chance.choice((1, 3, 10))):
            one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
            lines[one] = chance.choice(
                (lines[other], b"", lines[one] * 3, lines[one][: len(lines[one]) // 2])
            )
        path.write_bytes(b"".join(lines))
        return
    values: list[Any] = [
        None, True, -1, 0, 1e400, float("nan"), 10**30, "", "\ud800", "a\0", [], {}, [[]], {"id": 1}, "x" * 9999,
    ]  # fmt: skip
    root = json.loads(content.decode("utf-8-sig"))
    for _ in range(chance.choice((1, 4, 15))):
        node = chance.choice(list(_nodes(root)) or [[0]])
        key = chance.choice(list(node) if isinstance(node, dict) else range(len(node)))
        if chance.random() < 0.3:
            del node[key]
        else:
            node[key] = copy.deepcopy(chance.choice(values))
    path.write_text(json.dumps(root))


def _nodes(node: Any) -> Iterator[Any]:
    """Lists and objects with something in them, the root first."""
    if isinstance(node, list | dict) and node:
        yield node
        for inner in list(node.values() if isinstance(node, dict) else node):
            yield from _nodes(inner)


KINDS: dict[str, Callable[[Path, bytes, random.Random], None]] = {
    "bytes": _bytes,
    "cut": _cut,
    "encoding": _encoding,
    "no file": _no_file,
    "junk": _junk,
    "tree": _tree,
}

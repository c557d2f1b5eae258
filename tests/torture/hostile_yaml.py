"""Configurations that mean harm: what would run code, and what would take memory or minutes."""

from __future__ import annotations

from itertools import product

FULL = 390_000
"""Letters: as many as are read of a file at all, or nearly."""


def bomb(levels: int = 9, width: int = 10) -> str:
    """Aliases of aliases: a few lines that stand for a thousand million values."""
    lines = [f"a0: &a0 [{', '.join(['x'] * width)}]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines)


def merged(keys: int, times: int) -> str:
    """A large mapping, taken over again and again."""
    large = ", ".join(f"k{n}: 1" for n in range(keys))
    return f"a: &a {{{large}}}\nb: {{<<: [{', '.join(['*a'] * times)}]}}\n"


RUNS_CODE = {
    f"{tag} at {where}": text.replace("HERE", f"!!python/{tag}")
    for (tag, where), text in {
        ("object/apply:os.system ['touch MARKER']", "the top"): "HERE\n",
        ("object/apply:os.system ['touch MARKER']", "a section"): "training: HERE\n",
        ("object/apply:os.system ['touch MARKER']", "a list"): "data: {classes: [HERE]}\n",
        ("object/new:os.system ['touch MARKER']", "a value"): "training: {max_steps: HERE}\n",
        ("name:os.system ''", "a value"): "training: {optimizer: HERE}\n",
        ("module:os ''", "a value"): "training: {optimizer: HERE}\n",
        ("object/apply:os.system ['touch MARKER']", "a key"): "? HERE\n: 1\n",
        ("tuple [1]", "a value"): "data: {image_size: HERE}\n",
    }.items()
} | {
    "a tag in full": "training: !<tag:yaml.org,2002:python/object/apply:os.system> ['touch MARKER']\n",
    "a tag by its handle": "%TAG !p! tag:yaml.org,2002:python/\n---\ntraining: !p!object/apply:os.system ['id']\n",
    "a class path": "model: {class_path: os.system, init_args: {command: touch MARKER}}\n",
    "a target": "training: {optimizer: {_target_: os.system, command: touch MARKER}}\n",
    "a function's name": "model: {architecture: {backbone: {name: 'os.system'}, full: {name: eval}}}\n",
}
TOO_MUCH = {
    "aliases of aliases": bomb(),
    "aliases in merges": merged(5000, 99),
    "an alias of itself": "a: &a [*a]\n",
    "many aliases": "a: &a 1\nb: [" + "*a, " * 5000 + "]\n",
    **{
        f"deep {name}": "a: " + sign * 100_000
        for name, sign in (("lists", "["), ("maps", "{a: "), ("items", "- "))
    },
    "deep block": "".join(" " * n + "a:\n" for n in range(800)),
    "deep keys": "? " * 190_000,
    **{
        f"a number of {name}": f"training: {{max_steps: {start}{letters * (FULL // len(letters))}{end}}}\n"
        for name, start, letters, end in (
            ("digits", "", "9", ""),
            ("hexadecimal digits", "0x", "f", ""),
            ("bits", "0b", "1", ""),
            ("octal digits", "0", "7", ""),
            ("sixtieths", "1", ":59", ""),
            ("sixtieths and a half", "1", ":59", ".5"),
            ("underscores", "1", "_", "1"),
            ("decimals", "1.", "1", ""),
        )
    },
    "a number as a key": f"training: {{? 0x{'f' * FULL} : 1}}\n",
    "an endless exponent": "training: {max_steps: 1e999999999}\n",
    "unknown keys": "training:\n" + "".join(f"  k{n}: {n}\n" for n in range(5900)),
    "unknown keys that are true": f"training: {{{', '.join(f'k{n}: true' for n in range(5900))}}}\n",
    "unknown sections": f"training: {{{', '.join(f'k{n}: {{a: {{}}}}' for n in range(2900))}}}\n",
    "classes that are true": f"data: {{classes: [{', '.join(['true'] * 11_900)}]}}\n",
    "a million values": f"data: {{classes: [{'a,' * (FULL // 2)}a]}}\n",
    **{
        f"{FULL} letters of {name}": text
        for name, text in {
            "one word": "a: " + "x" * FULL,
            "escapes": 'a: "' + "\\x41" * (FULL // 4) + '"\n',
            "folded lines": 'a: "' + "\\\n" * (FULL // 2) + '"\n',
            "quoted lines": "a: '" + "\n" * FULL + "'\n",
            "plain lines": "a: x\n" + " y\n" * (FULL // 3),
            "literal lines": "a: |\n" + " y\n" * (FULL // 3),
            "comments": "# x\n" * (FULL // 4),
            "empty lines": "\n" * FULL,
            "spaces": " " * FULL,
            "colons": "a: " + "1:" * (FULL // 2) + "x\n",
            "a key": "? " + "x" * FULL + "\n: 1\n",
            "a date": f"a: 2001-01-01 1:1:1.{'1' * FULL}\n",
            "bytes": f"a: !!binary {'A' * FULL}\n",
            "documents": "---\n" * (FULL // 4),
            "tag handles": "%TAG ! x\n" * (FULL // 9),
            "anchors": "".join(f"&a{n} " for n in range(FULL // 8)),
        }.items()
    },
    "50 MB": "#" * 50_000_000,
}
WRONG = {
    "a key twice": "training: {max_steps: 1, max_steps: 2}\n",
    "a section twice": "training: {}\ntraining: {}\n",
    "an unknown key": "training: {max_stepz: 1}\n",
    "an unknown section": "trainin: {}\n",
    **{f"a {kind} tag": f"a: !!{kind} {{x, y}}\n" for kind in ("set", "omap", "pairs")},
    "a date that is none": "a: 2001-99-99\n",
    **{f"{name} among the text": f"a: {sign}\n" for name, sign in (("NUL", "\0"), ("half a pair", "\ud800"))},
    **{f"{a} and {b}": f"{a}{b}" for a, b in product(("]", "}", "\t"), ("[", "- ", ": "))},
}
EVERY = RUNS_CODE | TOO_MUCH | WRONG

"""S11: XML that would read, fetch or grow: refused by the readers of VOC and of OpenVINO's files, by name.

A socket of ours stands where an entity points to: it must see nobody. A file with a secret word stands there, too:
the word must not come out. Each case is looked at by the doctor, as VOC, and by ``predict``, as a model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from attacks.addresses import canary
from forked import Done, forked, foveal, warm
from frame import Place, Verdict
from PIL import Image

WORD = "canary9384"
SECONDS = 5.0
MEGABYTES = 100
SIDES = "<xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax>"
BODY = "<annotation><filename>a.png</filename><object><name>{0}</name><bndbox>"
BODY += f"{SIDES}</bndbox></object></annotation>"
NET = "<net name='a'><layers>{0}</layers></net>"


def run(place: Place) -> Verdict:
    """Every case in both readers."""
    warm()
    with canary() as (port, calls):
        secret = place.work / "secret.txt"
        secret.write_text(WORD)
        (place.work / "evil.dtd").write_text(f'<!ENTITY e "{WORD}">')
        cases = dict(documents(secret, port, BODY))
        nets = dict(documents(secret, port, NET))
        faults: list[str] = []
        most = 0.0
        for number, (name, content) in enumerate(cases.items()):
            folder = place.work / f"case{number:02}"
            folder.mkdir()
            done = forked(foveal("doctor", write_voc(folder, content), "--json", "report.json"), folder)
            faults += [f"{name}, doctor: {fault}" for fault in judge(done, folder)]
            model = folder / "model.xml"
            model.write_bytes(nets[name])
            model.with_suffix(".bin").write_bytes(b"\0" * 100)
            again = forked(foveal("predict", model, folder / "set" / "a.png", "-o", "found"), folder)
            faults += [f"{name}, predict: {fault}" for fault in judge_model(again)]
            most = max(most, done.megabytes, again.megabytes)
        faults += ["fetched"] * calls()
    print("\n".join(faults))
    return Verdict(
        not faults,
        f"{len(cases)} files, each as VOC and as an OpenVINO model: {len(faults)} not refused by name, followed "
        f"or fetched; at most {most:.0f} MB more",
    )


def documents(secret: Path, port: int, body: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file."""

    def with_dtd(dtd: str, use: str = "&e;", root: str = "annotation") -> bytes:
        return f'<?xml version="1.0"?><!DOCTYPE {root} {dtd}>{body.format(use)}'.encode()

    web = f"http://127.0.0.1:{port}"
    laughs = '<!ENTITY l0 "ha">' + "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    yield "external file", with_dtd(f'[<!ENTITY e SYSTEM "file://{secret}">]')
    yield "external path", with_dtd(f'[<!ENTITY e SYSTEM "{secret}">]')
    yield "external relative", with_dtd('[<!ENTITY e SYSTEM "../../secret.txt">]')
    yield "external address", with_dtd(f'[<!ENTITY e SYSTEM "{web}/e">]')
    yield "public entity", with_dtd(f'[<!ENTITY e PUBLIC "-//x//y" "{web}/e">]')
    yield "billion laughs", with_dtd(f"[{laughs}]", "&l9;")
    yield "quadratic growth", with_dtd(f'[<!ENTITY e "{"x" * 100_000}">]', "&e;" * 20_000)
    yield "external DTD", with_dtd(f'SYSTEM "{web}/evil.dtd"')
    yield "external DTD file", with_dtd(f'SYSTEM "file://{secret.parent}/evil.dtd"')
    yield "public DTD", with_dtd(f'PUBLIC "-//W3C//DTD XHTML 1.0//EN" "{web}/xhtml.dtd"', "cat")
    yield "parameter entity", with_dtd(f'[<!ENTITY % p SYSTEM "{web}/p.dtd"> %p;]', "cat")
    chain = f"<!ENTITY % a \"<!ENTITY &#37; b SYSTEM '{web}/?x'>\"> %a; %b;"
    yield "parameter chain", with_dtd(f"[{chain}]", "cat")
    yield (
        "unparsed entity",
        with_dtd(f'[<!NOTATION n SYSTEM "x"><!ENTITY e SYSTEM "{web}/e" NDATA n>]', "cat"),
    )
    yield "default attribute", with_dtd('[<!ATTLIST object name CDATA "&e;"><!ENTITY e "cat">]', "cat")
    yield "empty DTD", with_dtd("[]", "cat")
    yield "recursive entity", with_dtd('[<!ENTITY e "&f;"><!ENTITY f "&e;">]')
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"):
        text = f'<!DOCTYPE annotation [<!ENTITY e SYSTEM "file://{secret}">]>{body.format("&e;")}'
        mark = "" if encoding in ("utf-16", "utf-8-sig") else "\ufeff"
        yield f"entity in {encoding}", (mark + text).encode(encoding)
    text = f'<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE a [<!ENTITY e SYSTEM "file://{secret}">]>'
    yield "encoding that lies", (text + body.format("&e;")).encode()
    seven = f'<?xml version="1.0" encoding="UTF-7"?>+ADwAIQ-DOCTYPE a [+ADwAIQ-ENTITY e SYSTEM "{secret}">]>'
    yield "UTF-7", (seven + body.format("&e;")).encode()
    include = f'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" parse="text" href="{secret}"/>'
    yield "unknown entity", body.format("&nothing;").encode()
    yield "over five megabytes", body.format("cat" + " " * 5_000_001).encode()
    yield "tags nested", body.format("<a>" * 100_000).encode()
    yield "two roots", (body.format("cat") + body.format("cat")).encode()
    yield (
        "include",
        body.format(include).encode() + b"<!-- no entity, so it is only text that is not followed -->",
    )
    sheet = f'<?xml-stylesheet href="{web}/s.xsl" type="text/xsl"?>'
    yield "style sheet", sheet.encode() + body.format("").encode()


def write_voc(folder: Path, content: bytes) -> Path:
    """The document beside a sound one."""
    place = folder / "set"
    place.mkdir()
    for stem in "ab":
        Image.effect_noise((32, 24), 50).convert("RGB").save(place / f"{stem}.png")
    (place / "a.xml").write_text(BODY.format("cat"))
    (place / "b.xml").write_bytes(content)
    return place


def judge(done: Done, folder: Path) -> Iterator[str]:
    """Refused by the file's name; nothing followed; the sound one read."""
    yield from _ended(done)
    report = folder / "report.json"
    if not report.is_file():
        yield f"no report: {done.text[-300:]}"
        return
    text = report.read_text()
    if WORD in text:
        yield "the secret came out"
    findings = json.loads(text)["findings"]
    named = [found for found in findings if "b.xml" in found["where"] + found["message"]]
    if not any(found["severity"] == "error" or found["rule"] == "unknown_class" for found in named):
        yield f"b.xml is not refused: {findings}"
    if json.loads(text)["parts"][0]["boxes"] != 1:
        yield "the sound file was not read, or the other one was"


def judge_model(done: Done) -> Iterator[str]:
    """Refused by the file's name, with the code of a model file."""
    yield from _ended(done)
    if done.code != 4 or "model.xml" not in done.text or WORD in done.text:
        yield f"exit code {done.code}: {done.text[-300:]}"


def _ended(done: Done) -> Iterator[str]:
    if done.crashed:
        yield f"{done.crashed}: {done.text[-300:]}"
    if done.seconds > SECONDS or done.megabytes > MEGABYTES:
        yield f"{done.seconds:.1f} s, {done.megabytes:.0f} MB more"

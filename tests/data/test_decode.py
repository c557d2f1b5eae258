"""Pictures of every mode and orientation load as a person sees them; broken ones give one clear line."""

from __future__ import annotations

import ctypes
import io
import os
import random
import struct
import subprocess
import sys
import warnings
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from foveal.data.decode import FORMATS, picture_size, read_picture, rotate_boxes
from foveal.errors import DataError

HEIGHT, WIDTH = 4, 6


def _noise(channels: int = 3, dtype: type = np.uint8) -> np.ndarray:
    high = np.iinfo(dtype).max
    shape = (HEIGHT, WIDTH, channels) if channels > 1 else (HEIGHT, WIDTH)
    return np.random.default_rng(0).integers(0, high, shape, dtype=dtype, endpoint=True)


def _spread(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[:, :, None], 3, axis=2).astype(np.uint8)


def _over_white(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[:, :, None] / 255
    return rgb * share + 255 * (1 - share)


def _png16(path: Path, samples: np.ndarray, transparent: bytes = b"") -> None:
    """A 16-bit PNG, written by hand: Pillow writes 16 bits for grey only."""
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[1 if samples.ndim == 2 else samples.shape[2]]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, colour_type, 0, 0, 0))]
    chunks += [(b"tRNS", transparent)] if transparent else []
    chunks += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


# ---------------------------------------------------------------- modes


def test_rgb_and_writable(tmp_path: Path) -> None:
    Image.fromarray(_noise()).save(tmp_path / "a.png")
    pixels = read_picture(tmp_path / "a.png")
    assert pixels.dtype == np.uint8
    assert pixels.flags.writeable
    np.testing.assert_array_equal(pixels, _noise())


@pytest.mark.parametrize("extension", ["png", "bmp", "tif"])
def test_grey_is_spread(tmp_path: Path, extension: str) -> None:
    Image.fromarray(_noise(1)).save(tmp_path / f"a.{extension}")
    np.testing.assert_array_equal(read_picture(tmp_path / f"a.{extension}"), _spread(_noise(1)))


@pytest.mark.parametrize("extension", ["png", "bmp", "tif"])
def test_one_bit(tmp_path: Path, extension: str) -> None:
    bits = _noise(1) > 127
    Image.fromarray(bits).save(tmp_path / f"a.{extension}")
    np.testing.assert_array_equal(read_picture(tmp_path / f"a.{extension}"), _spread(bits * 255))


@pytest.mark.parametrize("extension", ["png", "bmp", "tif"])
def test_palette(tmp_path: Path, extension: str) -> None:
    picture = Image.fromarray(_noise()).quantize(8)
    picture.save(tmp_path / f"a.{extension}")
    np.testing.assert_array_equal(
        read_picture(tmp_path / f"a.{extension}"), np.asarray(picture.convert("RGB"))
    )


@pytest.mark.parametrize("transparency", [2, bytes([255, 128, 0, 255])])
def test_transparent_palette_over_white(tmp_path: Path, transparency: int | bytes) -> None:
    indices = np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH) % 4
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]])
    picture = Image.frombytes("P", (WIDTH, HEIGHT), indices.tobytes())
    picture.putpalette(colours.astype(np.uint8).tobytes())
    picture.save(tmp_path / "a.png", transparency=transparency)
    alpha = np.full(4, 255.0)
    if isinstance(transparency, int):
        alpha[transparency] = 0
    else:
        alpha[:] = list(transparency)
    expected = _over_white(colours[indices], alpha[indices])
    np.testing.assert_allclose(read_picture(tmp_path / "a.png"), expected, atol=1)


@pytest.mark.parametrize("extension", ["png", "webp", "tif"])
def test_alpha_over_white(tmp_path: Path, extension: str) -> None:
    rgba = _noise(4)
    Image.fromarray(rgba).save(
        tmp_path / f"a.{extension}", **({"lossless": True, "exact": True} if extension == "webp" else {})
    )
    expected = _over_white(rgba[:, :, :3], rgba[:, :, 3])
    np.testing.assert_allclose(read_picture(tmp_path / f"a.{extension}"), expected, atol=1)


def test_grey_with_alpha_over_white(tmp_path: Path) -> None:
    pair = _noise(2)
    Image.frombytes("LA", (WIDTH, HEIGHT), pair.tobytes()).save(tmp_path / "a.png")
    expected = _over_white(_spread(pair[:, :, 0]), pair[:, :, 1])
    np.testing.assert_allclose(read_picture(tmp_path / "a.png"), expected, atol=1)


@pytest.mark.parametrize(("mode", "key"), [("L", 7), ("RGB", (1, 2, 3))])
def test_transparent_colour_over_white(tmp_path: Path, mode: str, key: int | tuple[int, int, int]) -> None:
    picture = Image.new(mode, (WIDTH, HEIGHT), 100 if mode == "L" else (100, 110, 120))
    picture.putpixel((2, 1), key)
    picture.save(tmp_path / "a.png", transparency=key)
    pixels = read_picture(tmp_path / "a.png")
    assert pixels[1, 2].tolist() == [255, 255, 255]
    assert pixels[0, 0].tolist() == ([100] * 3 if mode == "L" else [100, 110, 120])


@pytest.mark.parametrize("extension", ["jpg", "tif"])
def test_cmyk(tmp_path: Path, extension: str) -> None:
    """Pure cyan, magenta, yellow and black inks come out as the colours they print."""
    for ink, expected in [
        ((255, 0, 0, 0), (0, 255, 255)),
        ((0, 255, 0, 0), (255, 0, 255)),
        ((0, 0, 255, 0), (255, 255, 0)),
        ((0, 0, 0, 255), (0, 0, 0)),
        ((0, 0, 0, 0), (255, 255, 255)),
    ]:
        Image.new("CMYK", (16, 16), ink).save(tmp_path / f"a.{extension}")
        np.testing.assert_allclose(read_picture(tmp_path / f"a.{extension}")[8, 8], expected, atol=3)


@pytest.mark.parametrize(("extension", "mode"), [("png", "I;16"), ("tif", "I;16"), ("tif", "I;16B")])
def test_16_bit_grey_keeps_high_byte(tmp_path: Path, extension: str, mode: str) -> None:
    """Shifted, not clipped: clipping would turn all but the darkest values white."""
    values = _noise(1, np.uint16)
    stored = {"I;16": "<u2", "I;16B": ">u2"}[mode]
    picture = Image.frombytes(mode, (WIDTH, HEIGHT), values.astype(stored).tobytes())
    picture.save(tmp_path / f"a.{extension}")
    np.testing.assert_array_equal(read_picture(tmp_path / f"a.{extension}"), _spread(values >> 8))


@pytest.mark.parametrize("channels", [3, 4, 2])
def test_16_bit_colour_keeps_high_byte(tmp_path: Path, channels: int) -> None:
    values = _noise(channels, np.uint16)
    if channels != 3:
        values[:, :, -1] = 65535
    _png16(tmp_path / "a.png", values)
    expected = _spread(values[:, :, 0] >> 8) if channels == 2 else values[:, :, :3] >> 8
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), expected)


def test_16_bit_grey_with_transparent_value(tmp_path: Path) -> None:
    values = np.full((HEIGHT, WIDTH), 5000, dtype=np.uint16)
    values[1, 2] = 300
    _png16(tmp_path / "a.png", values, struct.pack(">H", 300))
    pixels = read_picture(tmp_path / "a.png")
    assert pixels[1, 2].tolist() == [255] * 3
    assert pixels[0, 0].tolist() == [5000 >> 8] * 3


def test_16_bit_tiff_where_white_is_zero(tmp_path: Path) -> None:
    values = _noise(1, np.uint16)
    picture = Image.frombytes("I;16", (WIDTH, HEIGHT), values.astype("<u2").tobytes())
    picture.save(tmp_path / "a.tif", tiffinfo={262: 0})
    with Image.open(tmp_path / "a.tif") as written:
        assert written.tag_v2[262] == 0
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif"), _spread(255 - (values >> 8)))


def test_12_bit_tiff_keeps_its_eight_highest_bits(tmp_path: Path) -> None:
    """Twelve bits a pixel, packed: shifted by 8, the brightest would come out at 15 of 255."""
    values = [0x000, 0x123, 0x7FF, 0x800, 0xABC, 0xFFF]
    packed = bytes.fromhex("".join(f"{value:03x}" for value in values))
    tags = [(256, 3, 6), (257, 3, 1), (258, 3, 12), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1)]
    tags += [(278, 3, 1), (279, 4, len(packed))]
    body = packed + bytes(len(packed) % 2)
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    (tmp_path / "a.tif").write_bytes(b"II*\0" + struct.pack("<I", 8 + len(body)) + body + directory)
    assert read_picture(tmp_path / "a.tif")[0, :, 0].tolist() == [value >> 4 for value in values]


@pytest.mark.parametrize("mode", ["F", "I"])
def test_tiff_without_defined_white_is_refused(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (WIDTH, HEIGHT)).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match="convert it to 8 or 16 bits"):
        read_picture(tmp_path / "a.tif")


def test_animation_gives_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (WIDTH, HEIGHT), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    assert read_picture(tmp_path / "a.webp")[0, 0].tolist() == [255, 0, 0]


# ---------------------------------------------------------------- orientation


def _save_oriented(path: Path, pixels: np.ndarray, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if path.suffix == ".webp" else {"quality": 100, "subsampling": 0}
    if path.suffix == ".tif":
        Image.fromarray(pixels).save(path, tiffinfo={0x0112: orientation})
    else:
        Image.fromarray(pixels).save(path, exif=exif, **(options if path.suffix != ".png" else {}))


@pytest.mark.parametrize("extension", ["png", "webp", "tif", "jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_picture_and_boxes_turn_together(tmp_path: Path, extension: str, orientation: int) -> None:
    """A white rectangle drawn in the stored picture is found, upright, where its turned box says."""
    stored = np.zeros((40, 64, 3), dtype=np.uint8)
    stored[8:16, 24:56] = 255  # On the 8-pixel grid, where JPEG keeps it clean.
    path = tmp_path / f"a.{extension}"
    _save_oriented(path, stored, orientation)

    pixels = read_picture(path)
    size = picture_size(path)
    assert pixels.shape[:2] == (size.height, size.width)
    assert (size.stored_height, size.stored_width, size.orientation) == (40, 64, orientation)
    x1, y1, x2, y2 = rotate_boxes(np.array([[24.0, 8, 56, 16]]), orientation, 40, 64)[0].astype(int)
    expected = np.zeros_like(pixels)
    expected[y1:y2, x1:x2] = 255
    np.testing.assert_allclose(pixels, expected, atol=8)
    with Image.open(path) as image:
        if extension != "tif":  # Pillow has turned a TIFF by itself, and its own function then finds no tag.
            np.testing.assert_array_equal(pixels, np.asarray(ImageOps.exif_transpose(image)))


def test_rotate_boxes_refuses_other_orientations() -> None:
    with pytest.raises(ValueError, match=r"1\.\.8"):
        rotate_boxes(np.zeros((1, 4)), 9, 4, 6)
    assert rotate_boxes(np.zeros((0, 4)), 6, 4, 6).shape == (0, 4)


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0"])
def test_broken_exif_is_upright(tmp_path: Path, exif: bytes) -> None:
    Image.fromarray(_noise()).save(tmp_path / "a.jpg", exif=exif)
    assert picture_size(tmp_path / "a.jpg") == (HEIGHT, WIDTH, HEIGHT, WIDTH, 1)
    assert read_picture(tmp_path / "a.jpg").shape == (HEIGHT, WIDTH, 3)


# ---------------------------------------------------------------- what cannot be read


def _huge_png(path: Path, side: int) -> None:
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(b"")))


@pytest.mark.parametrize("side", [20_000, 100_000])
def test_cap_is_judged_from_the_header(tmp_path: Path, side: int) -> None:
    _huge_png(tmp_path / "bomb.png", side)
    for read in (read_picture, picture_size):
        with pytest.raises(DataError, match=r"bomb\.png: .*over the limit of 250,000,000 pixels"):
            read(tmp_path / "bomb.png")


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "TIFF"])
def test_a_small_file_does_not_fill_memory(tmp_path: Path, format: str) -> None:
    """A header that promises far more than the file can hold: refused before anything is decoded."""
    buffer = io.BytesIO()
    options = {"TIFF": {"compression": "tiff_lzw"}, "WEBP": {"lossless": True}, "JPEG": {}}[format]
    Image.fromarray(_noise()).save(buffer, format=format, **options)
    content = bytearray(buffer.getvalue())
    if format == "JPEG":
        place = content.index(b"\xff\xc0") + 5
        content[place : place + 4] = struct.pack(">HH", 9000, 12000)
    elif format == "WEBP":
        place = content.index(b"VP8L") + 9
        kept = struct.unpack("<I", content[place : place + 4])[0] & 0xF0000000
        content[place : place + 4] = struct.pack("<I", kept | 11999 | 8999 << 14)
    else:
        first = struct.unpack("<I", content[4:8])[0] + 2
        for entry in range(first, len(content) - 12, 12):
            tag = struct.unpack("<H", content[entry : entry + 2])[0]
            if tag in (256, 257):
                content[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, {256: 12000, 257: 9000}[tag])
    path = tmp_path / "lie.bin"
    path.write_bytes(content)
    for read in (read_picture, picture_size):
        with pytest.raises(DataError, match=r"lie\.bin: [0-9,]+ bytes cannot hold the 12000 x 9000 pixels"):
            read(path)


def test_a_large_blank_picture_loads(tmp_path: Path) -> None:
    """The emptiest picture that JPEG can code: every block takes its least."""
    Image.new("L", (5000, 4000), 128).save(tmp_path / "a.jpg", optimize=True, progressive=True)
    pixels = (tmp_path / "a.jpg").stat().st_size * 512
    assert 5000 * 4000 < pixels < 3 * 5000 * 4000
    assert read_picture(tmp_path / "a.jpg").shape == (4000, 5000, 3)


def _animation(path: Path, width: int, height: int) -> None:
    """Two frames of 6 x 4 on a canvas of another size."""
    frames = [Image.fromarray(_noise()), Image.fromarray(255 - _noise())]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    content = bytearray(path.read_bytes())
    place = content.index(b"VP8X") + 12
    content[place : place + 6] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    path.write_bytes(content + bytes(20_000))


@pytest.mark.parametrize(
    ("width", "height", "said"),
    [
        (200, 262_278, r"no WEBP is larger than 16383 pixels a side, and its header says 200 x 262278"),
        (6000, 6000, r"bytes cannot hold the 6000 x 6000 pixels"),
    ],
)
def test_the_canvas_of_an_animation_does_not_fill_memory(
    tmp_path: Path, width: int, height: int, said: str
) -> None:
    """One flipped bit made a picture of 200 x 134 take four seconds and 770 MB."""
    _animation(tmp_path / "a.webp", width, height)
    for read in (read_picture, picture_size):
        with pytest.raises(DataError, match=rf"a\.webp: .*{said}"):
            read(tmp_path / "a.webp")
    _animation(tmp_path / "b.webp", 60, 40)
    assert read_picture(tmp_path / "b.webp").shape == (40, 60, 3)


def test_a_bitmap_of_few_bytes_does_not_fill_memory(tmp_path: Path) -> None:
    """16,777,216 x 2 pixels by one number of its header: four seconds, and 658 MB in the loader."""
    content = bytearray((54).to_bytes(1, "little") * 25_000)
    buffer = io.BytesIO()
    Image.fromarray(_noise(1) > 127).save(buffer, "BMP")
    content[: buffer.tell()] = buffer.getvalue()
    content[18:26] = struct.pack("<ii", 2**24, 2)
    (tmp_path / "a.bmp").write_bytes(content)
    with pytest.raises(DataError, match=r"bytes cannot hold the 16777216 x 2 pixels"):
        picture_size(tmp_path / "a.bmp")


def test_libtiff_does_not_write_to_the_screen(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Where Pillow brings it as a library of its own, as on Linux and macOS."""
    library = ctypes.CDLL(Image.core.__file__)
    if not hasattr(library, "TIFFSetErrorHandler"):
        pytest.skip("libtiff is part of Pillow here")
    Image.fromarray(_noise(1) > 127).resize((64, 64)).save(tmp_path / "a.tif", compression="group4")
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[8:40] = b"\xa5" * 32
    (tmp_path / "a.tif").write_bytes(content)
    with suppress(DataError):
        read_picture(tmp_path / "a.tif")
    assert capfd.readouterr().err == ""
    library.TIFFError(b"a module", b"of our own")
    assert capfd.readouterr().err == ""


def test_a_process_that_decodes_holds_no_torch() -> None:
    words = "import sys, foveal.data.decode; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", words], check=False).returncode == 0


def test_own_cap(tmp_path: Path) -> None:
    Image.new("RGB", (10, 11)).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png", max_pixels=110).shape == (11, 10, 3)
    with pytest.raises(DataError, match=r"10 x 11 pixels, over the limit of 109 pixels"):
        read_picture(tmp_path / "a.png", max_pixels=109)


def test_cap_above_pillows_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png").shape == (40, 40, 3)


@pytest.mark.parametrize("format", FORMATS)
def test_truncated(tmp_path: Path, format: str) -> None:
    path = tmp_path / "cut.bin"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(
        path, format=format
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"cut\.bin: ") as caught:
        read_picture(path)
    assert "\n" not in str(caught.value)


def test_size_comes_from_the_header_alone(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 60, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:200])
    assert picture_size(path)[:2] == (64, 60)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"RIFF....WEBP"]
)
def test_no_picture(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.jpg: ") as caught:
        read_picture(tmp_path / "a.jpg")
    assert "\n" not in str(caught.value)


def test_other_formats_are_refused(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.gif")
    Image.new("RGB", (4, 4)).save(tmp_path / "b.jpg", format="PPM")
    for name in ("a.gif", "b.jpg"):
        with pytest.raises(DataError, match="JPEG, PNG, WEBP, BMP, TIFF"):
            read_picture(tmp_path / name)


def test_missing_and_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such picture"):
        read_picture(tmp_path / "absent.jpg")
    with pytest.raises(DataError, match="no regular file"):
        read_picture(tmp_path)
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(DataError, match="no regular file"):
        read_picture(tmp_path / "pipe.jpg")
    with pytest.raises(DataError):
        read_picture("nul\0byte.jpg")


@pytest.mark.parametrize("format", FORMATS)
def test_mutants_give_a_picture_or_one_line(tmp_path: Path, format: str) -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    original = np.random.default_rng(1).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(original).save(buffer, format=format, **({} if format == "BMP" else {"exif": exif}))
    sound = buffer.getvalue()
    draw = random.Random(format)
    path = tmp_path / "mutant.bin"
    refusals: list[str] = []
    for _ in range(150):
        content = bytearray(sound)
        for _ in range(draw.choice((1, 3, 20))):
            # Headers are where decoders trip: half of the hits go there.
            reach = len(content) if draw.random() < 0.5 else min(len(content), 120)
            content[draw.randrange(reach)] = draw.randrange(256)
        path.write_bytes(content[: draw.choice((len(content), draw.randrange(len(content))))])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                pixels = read_picture(path, max_pixels=4_000_000)
            except DataError as error:
                refusals.append(str(error))
                continue
        assert pixels.ndim == 3
        assert pixels.dtype == np.uint8
    assert refusals
    assert all("mutant.bin: " in refusal and "\n" not in refusal for refusal in refusals)


def test_real_photographs(shared: Path) -> None:
    for path in sorted((shared / "data" / "photos").glob("*.[jp][pn]g")):
        pixels = read_picture(path)
        with Image.open(path) as image:
            np.testing.assert_array_equal(pixels, np.asarray(ImageOps.exif_transpose(image).convert("RGB")))
        assert picture_size(path)[:2] == pixels.shape[:2]

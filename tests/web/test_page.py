"""The page with a server behind it: hostile names, keys, narrow screens, both schemes, and what can go wrong."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.web.conftest import NO_PICTURE, Answer, StandIn, said, served

pytestmark = pytest.mark.browser
EVIL = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "\u202eright to left\u2066 \u0645\u0631\u062d\u0628\u0627",
    "w" * 600,
    "👩\u200d🚀🐙" * 30,
    "__proto__",
    "constructor",
]
PLAIN = ["Platelets", "RBC", "WBC"]
WIDTH, HEIGHT = 100, 80
FITTING = "1\u00d7"
CONTRAST = """() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(c => (c /= 255) <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
    return .2126 * x + .7152 * y + .0722 * z;
  };
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor;
      if (!colour.endsWith(", 0)")) return parse(colour);
    }
    return [255, 255, 255];
  };
  const worst = {};
  const texts = "p, li, label, button, small, dt, dd, output, h1, span, bdi, summary, b";
  for (const node of document.querySelectorAll(texts)) {
    if (!node.textContent.trim() || !node.checkVisibility({ visibilityProperty: true }) || node.disabled) continue;
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(behind(node))].sort((p, q) => q - p);
    if ((a + .05) / (b + .05) < 4.5) worst[`${node.tagName}#${node.id}.${node.className}`] = (a + .05) / (b + .05);
  }
  return worst;
}"""


def found(classes: list[str]) -> list[dict[str, Any]]:
    """Three of each class, with scores 0.9, 0.6 and 0.2 and a little less for each next class."""
    return [
        {
            "box": [5.0 + 10 * label, 4.0 + 20 * row, 25.0 + 10 * label, 20.0 + 20 * row],
            "score": score - 0.01 * label,
            "label": label,
            "name": name,
        }
        for label, name in enumerate(classes)
        for row, score in enumerate((0.9, 0.6, 0.2))
    ]


def picture(
    name: str = "cells.png", kind: str = "PNG", size: tuple[int, int] = (WIDTH, HEIGHT)
) -> dict[str, Any]:
    """As playwright takes a file."""
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, kind)
    return {"name": name, "mimeType": f"image/{kind.lower()}", "buffer": file.getvalue()}


@contextmanager
def opened(browser: Any, server: StandIn, **options: Any) -> Iterator[Any]:
    """The page, which must stay quiet: no dialog, no error, no request to another host."""
    with served(server) as address:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        page = context.new_page()
        page.set_default_timeout(30_000)
        seen: list[str] = []
        page.on("dialog", lambda dialog: (seen.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("pageerror", lambda error: seen.append(f"error {error}"))
        page.on(
            "console",
            lambda message: (
                "status of" in message.text or "ERR_" in message.text or seen.append(message.text)
            ),
        )
        page.on("request", lambda request: request.url.startswith(address) or seen.append(request.url[:200]))
        page.goto(address)
        page.wait_for_selector("#alert:not([hidden])" if server.starting else "#about:not([hidden])")
        yield page
        assert seen == []
        context.close()


def until(page: Any, condition: str, arg: object = None) -> None:
    """Waits for an expression of the page. Playwright's own waiting evaluates text, which the policy forbids."""
    for _ in range(600):
        if page.evaluate(condition, arg):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never true: {condition}, {arg!r}")


def look(page: Any, *files: dict[str, Any]) -> None:
    """Pictures chosen, and waited for."""
    page.set_input_files("#choose", list(files))
    until(page, "/done|failed/.test(document.querySelector('#stage').dataset.state)")


def listed(page: Any) -> list[str]:
    return [text.replace("\n", " ") for text in page.locator("#detections li bdi").all_inner_texts()]


def announced(page: Any, text: str) -> None:
    until(page, "text => document.querySelector('#status').textContent.includes(text)", text)


# ---------------------------------------------------------------- what is shown


def test_a_picture_is_looked_at_and_said(browser: Any) -> None:
    with opened(browser, server := StandIn(PLAIN, found(PLAIN))) as page:
        look(page, picture())
        assert listed(page) == [*PLAIN, *PLAIN]
        announced(page, "6 objects found: 2 Platelets, 2 RBC, 2 WBC.")
        assert page.get_attribute("#status", "role") == "status"
        until(page, "document.querySelector('#picture').ariaLabel.startsWith('cells.png, 6 objects marked')")
        assert [line for line in server.asked if "detect" in line] == ["POST v1/detect?all=true"]
        assert b'name="file"; filename="cells.png"' in server.bodies[0]
        assert b"\x89PNG" in server.bodies[0]


def test_threshold_and_classes_filter_without_a_new_request(browser: Any) -> None:
    with opened(browser, server := StandIn(PLAIN, found(PLAIN), thresholds={"RBC": 0.7, "WBC": 0.1})) as page:
        look(page, picture())
        # Each class at its own threshold, those without one at 0.3.
        assert sorted(listed(page)) == sorted(["Platelets"] * 2 + ["RBC"] + ["WBC"] * 3)
        asked = list(server.asked)
        page.fill("#threshold", "0.85")
        assert not page.is_checked("#own-thresholds")
        assert listed(page) == PLAIN
        page.uncheck("#classes label:has-text('RBC') input")
        assert listed(page) == ["Platelets", "WBC"]
        announced(page, "2 objects found")
        page.click("#no-classes")
        assert listed(page) == []
        announced(page, "Nothing to show. The best was Platelets with a score of 0.90")
        page.click("#all-classes")
        page.check("#own-thresholds")
        assert len(listed(page)) == 6
        assert server.asked == asked


def test_one_threshold_for_all_classes_is_the_sliders(browser: Any) -> None:
    with opened(browser, StandIn(PLAIN, found(PLAIN), thresholds=dict.fromkeys(PLAIN, 0.85))) as page:
        look(page, picture())
        assert page.input_value("#threshold") == "0.85"
        assert not page.is_visible("#own-thresholds-row")
        assert listed(page) == PLAIN


def test_a_score_at_the_threshold_is_not_over_it_as_in_python(browser: Any) -> None:
    # What single precision makes of 0.3 is a little more than what double precision makes of it.
    at = {"box": [1.0, 1.0, 9.0, 9.0], "score": float(np.float32(0.3)), "label": 0, "name": "Platelets"}
    with opened(browser, StandIn(PLAIN, [at])) as page:
        look(page, picture())
        assert listed(page) == []


def test_tags_leave_a_crowded_picture_to_be_seen(browser: Any) -> None:
    place = np.random.default_rng(0)
    rows = [
        {"box": [x, y, x + 6, y + 6], "score": 0.9, "label": 2, "name": "WBC"}
        for x, y in place.uniform(0, [90, 70], (200, 2)).tolist()
    ]
    grey = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT), (128, 128, 128)).save(grey, "PNG")
    with opened(browser, StandIn(PLAIN, rows), viewport={"width": 390, "height": 800}) as page:
        look(page, {"name": "grey.png", "mimeType": "image/png", "buffer": grey.getvalue()})
        page.wait_for_timeout(300)
        shot = np.asarray(Image.open(io.BytesIO(page.locator("#picture").screenshot())).convert("RGB"))
        assert (np.abs(shot.astype(int) - 128).max(axis=2) < 20).mean() > 0.3


def test_boxes_are_drawn_where_they_are_in_the_colours_of_their_classes(browser: Any) -> None:
    box = {"box": [20.0, 20.0, 80.0, 60.0], "score": 0.9, "label": 2, "name": "WBC"}
    grey = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT), (128, 128, 128)).save(grey, "PNG")
    with opened(browser, StandIn(PLAIN, [box])) as page:
        look(page, {"name": "grey.png", "mimeType": "image/png", "buffer": grey.getvalue()})
        until(page, "document.querySelector('#picture').width > 300")
        page.wait_for_timeout(200)
        shot = np.asarray(
            Image.open(io.BytesIO(page.locator("#picture").screenshot())).convert("RGB")
        ).astype(int)
        scale = min(shot.shape[1] / WIDTH, shot.shape[0] / HEIGHT)
        left, top = (shot.shape[1] - WIDTH * scale) / 2, (shot.shape[0] - HEIGHT * scale) / 2
        green = np.abs(shot - [0, 158, 115]).sum(axis=2) < 60
        for x, y in ((20, 40), (80, 40), (50, 60)):
            px, py = round(left + x * scale), round(top + y * scale)
            assert green[py - 3 : py + 4, px - 3 : px + 4].any(), (x, y)
        assert not green[
            round(top + 35 * scale) : round(top + 45 * scale),
            round(left + 30 * scale) : round(left + 70 * scale),
        ].any()


def test_a_click_on_a_box_chooses_the_smallest_and_again_nothing(browser: Any) -> None:
    rows = [
        {"box": [0.0, 0.0, 100.0, 80.0], "score": 0.9, "label": 0, "name": "Platelets"},
        {"box": [40.0, 30.0, 60.0, 50.0], "score": 0.8, "label": 1, "name": "RBC"},
    ]
    with opened(browser, StandIn(PLAIN, rows)) as page:
        look(page, picture())
        page.click("#picture")
        chosen = page.locator("#detections li[aria-selected=true] bdi")
        assert chosen.all_inner_texts() == ["RBC"]
        page.click("#detections li:nth-child(2)")
        assert chosen.count() == 0


# ---------------------------------------------------------------- hands, eyes and ears


def zoom_of(page: Any) -> float:
    return float(page.inner_text("#zoom-value").removesuffix("\u00d7"))


def test_the_wheel_scrolls_until_it_is_asked_to_zoom(browser: Any) -> None:
    with opened(browser, StandIn(PLAIN, found(PLAIN)), viewport={"width": 700, "height": 500}) as page:
        look(page, picture())
        page.hover("#picture")
        page.mouse.wheel(0, 100)
        until(page, "scrollY > 0")
        assert zoom_of(page) == 1
        page.hover("#picture")
        page.keyboard.down("Control")
        page.mouse.wheel(0, -100)
        page.keyboard.up("Control")
        until(page, "document.querySelector('#zoom-value').textContent !== '1\u00d7'")
        before = zoom_of(page)
        page.mouse.wheel(0, -100)  # near the picture already: without Ctrl, too
        until(
            page, "before => parseFloat(document.querySelector('#zoom-value').textContent) > before", before
        )


def test_two_fingers_zoom_and_one_then_moves(browser: Any) -> None:
    options = {"viewport": {"width": 390, "height": 800}, "has_touch": True}
    with opened(browser, StandIn(PLAIN, found(PLAIN)), **options) as page:
        look(page, picture())
        box = page.locator("#picture").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        touches = page.context.new_cdp_session(page)

        def touch(kind: str, *gaps: float) -> None:
            points = [{"x": x + gap, "y": y, "id": place} for place, gap in enumerate(gaps)]
            touches.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        touch("touchStart", -20, 20)
        touch("touchMove", -60, 60)
        touch("touchEnd")
        until(page, "parseFloat(document.querySelector('#zoom-value').textContent) >= 2.9")
        # Nothing was chosen on the way.
        assert page.locator("#detections [aria-selected=true]").count() == 0


def test_the_right_button_neither_moves_nor_sticks(browser: Any) -> None:
    with opened(browser, StandIn(PLAIN, found(PLAIN))) as page:
        look(page, picture())
        page.evaluate("""() => {
          window.begun = 0;
          document.querySelector("#picture").setPointerCapture = () => { window.begun++; };
        }""")
        page.click("#picture", button="right")
        assert page.evaluate("window.begun") == 0
        page.click("#picture")
        assert page.evaluate("window.begun") == 1


def test_focus_stays_where_the_next_press_is_wanted(browser: Any) -> None:
    focused = "document.activeElement.id"
    server = StandIn(PLAIN, found(PLAIN), refusals=[said({"error": "broken"}, 500)])
    with opened(browser, server) as page:
        look(page, picture())
        page.click("#again")
        page.wait_for_selector("#stage[data-state=done]")
        assert page.evaluate(focused) == "picture"
        page.click("#zoom-in")
        assert page.get_attribute("#zoom-fit", "aria-disabled") == "false"
        page.click("#zoom-fit")
        assert page.get_attribute("#zoom-fit", "aria-disabled") == "true"
        assert page.evaluate(focused) == "zoom-fit"
        page.focus("#zoom-in")
        for _ in range(12):
            page.keyboard.press("Enter")
        assert page.get_attribute("#zoom-in", "aria-disabled") == "true"


def test_at_twice_the_size_nothing_is_cut_off(browser: Any) -> None:
    # A browser's zoom of 200 % halves the pixels that a page has.
    with opened(browser, StandIn(PLAIN, found(PLAIN)), viewport={"width": 640, "height": 400}) as page:
        look(page, picture("a.png"), picture("b.png"))
        assert page.evaluate("document.documentElement.scrollWidth") <= 640
        for name in ("choose", "zoom-in", "picture", "threshold", "detections", "download-picture"):
            page.focus(f"#{name}")
            assert page.evaluate(
                """id => {
                  const box = document.getElementById(id).getBoundingClientRect();
                  return box.left >= 0 && box.right <= innerWidth && box.top < innerHeight && box.bottom > 0;
                }""",
                name,
            )


def test_everything_can_be_done_with_the_keyboard(browser: Any) -> None:
    with opened(browser, StandIn(PLAIN, found(PLAIN), thresholds={"RBC": 0.5})) as page:
        look(page, picture())
        page.evaluate("document.body.focus()")
        stops: list[str] = []
        for _ in range(30):
            page.keyboard.press("Tab")
            stop = page.evaluate(
                "document.activeElement.id || document.activeElement.closest('[id]')?.id || ''"
            )
            if stop in stops[:1]:
                break
            stops.append(stop)
        wanted = [
            "choose",
            "open-camera",
            "samples",
            "zoom-in",
            "remove",
            "picture",
            "threshold",
            "own-thresholds",
        ]
        wanted += ["all-classes", "classes", "detections", "download-json", "download-picture", "about"]
        places = [stops.index(name) for name in wanted]
        assert places == sorted(places)
        page.focus("#detections")
        for key, place in (("ArrowDown", 0), ("ArrowDown", 1), ("End", 5), ("ArrowDown", 5), ("Home", 0)):
            page.keyboard.press(key)
            active = page.get_attribute("#detections", "aria-activedescendant")
            assert active == f"detection-{place}"
            assert page.get_attribute(f"#{active}", "aria-selected") == "true"
        page.keyboard.press("Enter")
        assert page.inner_text("#zoom-value") != FITTING
        page.keyboard.press("Escape")
        assert page.locator("#detections [aria-selected=true]").count() == 0
        page.focus("#picture")
        page.keyboard.press("0")
        assert page.inner_text("#zoom-value") == FITTING
        page.keyboard.press("+")
        assert page.inner_text("#zoom-value") == "1.4\u00d7"


def test_every_control_has_a_name(browser: Any) -> None:
    with opened(browser, StandIn(PLAIN, found(PLAIN), thresholds={"RBC": 0.5})) as page:
        look(page, picture("a.png"), picture("b.png"))
        nameless = page.evaluate("""() =>
          [...document.querySelectorAll("button, input, canvas, [role], section, nav")]
          .filter(node => node.checkVisibility())
          .filter(node => !(node.ariaLabel || node.labels?.[0]?.textContent.trim() || node.textContent.trim()
            || node.getAttribute("aria-hidden")))
          .map(node => node.outerHTML.slice(0, 80))""")
        assert nameless == []
        assert page.locator("html[lang=en]").count() == 1
        assert page.locator("h1").count() == 1
        assert page.get_attribute("#strip li:nth-child(1) button", "aria-label") == "a.png: 6 shown"
        assert page.get_attribute("#strip li:nth-child(1) button", "aria-current") == "true"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_hostile_names_run_nothing_and_widen_nothing(browser: Any, width: int, scheme: str) -> None:
    options = {"viewport": {"width": width, "height": 740}, "color_scheme": scheme}
    with opened(browser, StandIn(EVIL, found(EVIL)), **options) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CONTRAST) == {}
        bad = {**picture(EVIL[1] + ".png"), "buffer": NO_PICTURE}
        look(page, picture(EVIL[0] + "w" * 200 + ".png"), picture(EVIL[3] + ".png"), bad)
        page.wait_for_selector("#strip [data-state=failed]")
        page.click("summary")
        page.focus("#detections")
        page.keyboard.press("ArrowDown")
        announced(page, "objects found")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CONTRAST) == {}
        assert page.evaluate("document.scripts.length") == 1
        assert page.locator("img:not([src^='http'])").count() == page.locator("img[src='icon.svg']").count()
        assert set(listed(page)) == set(EVIL)
        page.click("#strip li:nth-child(3) button")
        page.wait_for_selector("#fault:not([hidden])")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CONTRAST) == {}


def test_dark_and_light_differ(browser: Any) -> None:
    with opened(browser, StandIn(PLAIN, [])) as page:
        grounds = []
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert grounds == ["rgb(255, 255, 255)", "rgb(20, 23, 27)"]


# ---------------------------------------------------------------- ways in


DROP = """([name, bytes]) => {
  const data = new DataTransfer();
  data.items.add(new File([Uint8Array.from(bytes)], name, { type: "image/png" }));
  return data;
}"""


def test_pictures_are_dropped_and_pasted_and_shown_as_samples(browser: Any) -> None:
    with opened(browser, server := StandIn(PLAIN, found(PLAIN))) as page:
        content = list(picture()["buffer"])
        data = page.evaluate_handle(DROP, ["dropped.png", content])
        page.dispatch_event("body", "dragenter", {"dataTransfer": data})
        assert page.locator("body.dropping").count() == 1
        page.dispatch_event("body", "drop", {"dataTransfer": data})
        assert page.locator("body.dropping").count() == 0
        page.wait_for_selector("#stage[data-state=done]")
        page.evaluate(
            """([name, bytes]) => {
              const event = new ClipboardEvent("paste", { clipboardData: new DataTransfer() });
              event.clipboardData.items.add(new File([Uint8Array.from(bytes)], name, { type: "image/png" }));
              dispatchEvent(event);
            }""",
            ["pasted.png", content],
        )
        until(page, "document.querySelectorAll('#strip button[data-state=done]').length === 2")
        page.click("#samples li:nth-child(2) button")
        until(page, "document.querySelectorAll('#strip button[data-state=done]').length === 3")
        assert page.inner_text("#picture-name") == "shapes-2.png"
        names = [body.split(b'filename="')[1].split(b'"')[0] for body in server.bodies]
        assert names == [b"dropped.png", b"pasted.png", b"shapes-2.png"]


def test_something_that_is_no_file_is_not_fetched(browser: Any) -> None:
    with opened(browser, StandIn(PLAIN, [])) as page:
        data = page.evaluate_handle(
            """() => {
              const data = new DataTransfer();
              data.setData("text/uri-list", "http://127.0.0.2/a.png");
              return data;
            }"""
        )
        page.dispatch_event("body", "drop", {"dataTransfer": data})
        assert "pictures of other sites are not fetched" in page.inner_text("#alert")


def test_the_camera_takes_a_picture(browser: Any) -> None:
    with opened(browser, server := StandIn(PLAIN, found(PLAIN)), permissions=["camera"]) as page:
        page.click("#open-camera")
        until(page, "document.querySelector('#camera-video').videoWidth > 0")
        page.click("#take")
        page.wait_for_selector("#stage[data-state=done]")
        assert page.inner_text("#picture-name") == "camera-1.png"
        assert not page.is_visible("#camera")
        assert page.evaluate("document.activeElement.id") == "open-camera"
        assert page.evaluate("document.querySelector('#camera-video').srcObject") is None
        assert b"\x89PNG" in server.bodies[0]


def test_the_camera_is_opened_once_however_often_it_is_asked_for(browser: Any) -> None:
    with opened(browser, StandIn(PLAIN, found(PLAIN)), permissions=["camera"]) as page:
        page.evaluate("""() => {
          window.opened = 0;
          const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
          navigator.mediaDevices.getUserMedia = wanted => { window.opened++; return open(wanted); };
          const button = document.querySelector("#open-camera");
          button.click();
          button.click();
        }""")
        until(page, "document.querySelector('#camera-video').videoWidth > 0")
        page.evaluate("""() => {
          document.querySelector("#take").click();
          document.querySelector("#take").click();
        }""")
        page.wait_for_selector("#stage[data-state=done]")
        assert page.evaluate("window.opened") == 1
        assert page.locator("#strip li").count() == 1


def test_a_camera_that_is_refused_says_what_to_do(browser: Any) -> None:
    with opened(browser, StandIn(PLAIN, [])) as page:
        page.evaluate("""() => {
          const refuse = () => Promise.reject(new DOMException("", "NotAllowedError"));
          navigator.mediaDevices.getUserMedia = refuse;
        }""")
        page.click("#open-camera")
        page.wait_for_selector("#alert:not([hidden])")
        assert "Allow it in the browser's settings" in page.inner_text("#alert")
        page.evaluate("""() => {
          document.querySelector("#alert").hidden = true;
          document.querySelector("#open-camera").click();
        }""")
        page.wait_for_selector("#alert:not([hidden])")  # it is asked again


def test_many_pictures_are_not_decoded_at_once(browser: Any) -> None:
    with opened(browser, StandIn(PLAIN, found(PLAIN))) as page:
        page.evaluate("""() => {
          [window.now, window.most, window.all] = [0, 0, 0];
          const decode = window.createImageBitmap.bind(window);
          window.createImageBitmap = async (...given) => {
            window.all++;
            window.most = Math.max(window.most, ++window.now);
            try { return await decode(...given); } finally { window.now--; }
          };
        }""")
        page.set_input_files("#choose", [picture(f"{place}.png") for place in range(12)])
        until(page, "window.all >= 13")
        assert page.evaluate("window.most") <= 2  # the one on the stage, and one for the row


# ---------------------------------------------------------------- ways out


def test_the_json_is_coco_and_holds_what_is_shown(browser: Any, tmp_path: Path) -> None:
    with opened(browser, StandIn(PLAIN, found(PLAIN))) as page:
        look(page, picture("a.png"), picture("b.png"))
        until(page, "document.querySelectorAll('#strip button[data-state=done]').length === 2")
        page.fill("#threshold", "0.85")
        page.uncheck("#classes label:has-text('RBC') input")
        with page.expect_download() as caught:
            page.click("#download-json")
        content = json.loads(Path(caught.value.path()).read_text())
    assert caught.value.suggested_filename == "detections.json"
    assert content["images"] == [
        {"id": place, "file_name": name, "width": WIDTH, "height": HEIGHT}
        for place, name in ((1, "a.png"), (2, "b.png"))
    ]
    assert [category["name"] for category in content["categories"]] == PLAIN
    assert [(row["image_id"], row["category_id"]) for row in content["annotations"]] == [
        (1, 7),
        (1, 9),
        (2, 7),
        (2, 9),
    ]
    assert content["annotations"][1]["bbox"] == [25.0, 4.0, 20.0, 16.0]
    assert content["info"]["thresholds"] == dict.fromkeys(PLAIN, 0.85)
    assert content["info"]["hidden_classes"] == ["RBC"]


@pytest.mark.parametrize(
    ("kind", "name"), [("PNG", "cells_detections.png"), ("JPEG", "cells_detections.jpg")]
)
def test_the_picture_comes_in_its_own_size_with_its_boxes(browser: Any, kind: str, name: str) -> None:
    with opened(browser, StandIn(PLAIN, found(PLAIN), 200, 160)) as page:
        given = picture(name.replace("_detections", ""), kind, (200, 160))
        look(page, given)
        with page.expect_download() as caught:
            page.click("#download-picture")
        assert caught.value.suggested_filename == name
        drawn = Image.open(caught.value.path())
        assert drawn.format == kind
        assert drawn.size == (200, 160)
        before = np.asarray(Image.open(io.BytesIO(given["buffer"]))).astype(int)
        changed = np.abs(np.asarray(drawn.convert("RGB")).astype(int) - before).max(axis=2) > 60
        assert 0.005 < changed.mean() < 0.6


# ---------------------------------------------------------------- what can go wrong


def test_what_is_no_picture_says_so_and_the_others_go_on(browser: Any) -> None:
    server = StandIn(PLAIN, found(PLAIN))
    server.refusals.append(said({"error": "notes.txt: not a picture that can be read (JPEG, PNG)"}, 415))
    with opened(browser, server) as page:
        look(page, {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"hello"}, picture())
        assert page.inner_text("#fault-text") == "notes.txt: not a picture that can be read (JPEG, PNG)"
        assert page.get_attribute("#fault", "role") == "alert"
        page.wait_for_selector("#strip li:nth-child(2) button[data-state=done]")
        page.click("#remove")
        assert page.inner_text("#picture-name") == "cells.png"
        assert not page.is_visible("#strip-row")


def test_a_picture_that_only_the_server_can_read_has_its_detections(browser: Any) -> None:
    with opened(browser, StandIn(PLAIN, found(PLAIN))) as page:
        look(page, {"name": "scan.tif", "mimeType": "image/tiff", "buffer": b"II*\x00 for the server"})
        assert len(listed(page)) == 6
        assert page.inner_text("#unseen").startswith("The browser cannot show this picture")
        page.click("#download-picture")
        page.wait_for_selector("#alert:not([hidden])")


@pytest.mark.parametrize(
    ("answer", "said_then"),
    [
        ((413, "text/html", b"<h1>too large</h1>"), "cells.png: The picture is larger than the server takes"),
        (said({"error": "30 MB, over the limit of 20 MB"}, 413), "cells.png: 30 MB, over the limit of 20 MB"),
        (
            said({"detail": [{"loc": ["body"]}]}, 500),
            "cells.png: The server could not detect on this picture (status 500)",
        ),
        (
            (200, "application/json", b'{"pictures": [{"error": "<b>broken</b>"}]}'),
            "cells.png: <b>broken</b>",
        ),
        ((200, "text/html", b"<html>"), "cells.png: The server's answer cannot be read"),
    ],
)
def test_refusals_are_said_in_words(browser: Any, answer: tuple[int, str, bytes], said_then: str) -> None:
    server = StandIn(PLAIN, found(PLAIN), refusals=[answer])
    with opened(browser, server) as page:
        look(page, picture())
        assert said_then in page.inner_text("#fault-text")
        page.click("#again")
        page.wait_for_selector("#stage[data-state=done]")
        assert not page.is_visible("#fault")


def test_a_busy_server_is_asked_again(browser: Any) -> None:
    server = StandIn(PLAIN, found(PLAIN), refusals=[said({"error": "busy"}, 503)])
    with opened(browser, server) as page:
        look(page, picture())
        assert len(listed(page)) == 6
        assert len(server.bodies) == 2


def test_a_server_that_has_gone(browser: Any) -> None:
    with opened(browser, StandIn(PLAIN, found(PLAIN))) as page:
        page.context.set_offline(True)
        look(page, picture())
        assert "The server does not answer. Check that it runs" in page.inner_text("#fault-text")
        page.context.set_offline(False)
        page.click("#again")
        page.wait_for_selector("#stage[data-state=done]")


def test_a_page_without_one_of_its_parts_says_so(browser: Any) -> None:
    server = StandIn(PLAIN, [])

    def answer(method: str, path: str, body: bytes) -> Answer:
        return (404, "text/plain", b"") if path == "palette.json" else server(method, path, body)

    with served(answer) as address:
        page = browser.new_page()
        page.goto(address)
        until(
            page,
            "document.querySelector('#model-line').textContent.startsWith('A part of this page did not')",
        )
        page.close()


def test_a_server_that_was_not_ready_is_asked_again_with_the_next_picture(browser: Any) -> None:
    with opened(browser, StandIn(PLAIN, found(PLAIN), starting=1)) as page:
        assert page.inner_text("#alert") == "the model is not ready yet"
        look(page, picture())
        assert len(listed(page)) == 6
        assert not page.is_visible("#alert")


def test_a_picture_that_is_taken_away_while_it_is_looked_at_stays_away(browser: Any) -> None:
    with opened(browser, StandIn(PLAIN, found(PLAIN))) as page:
        held: list[Any] = []
        page.route("**/v1/detect*", lambda route: route.continue_() if held else held.append(route))
        page.set_input_files("#choose", [picture("a.png"), picture("b.png")])
        page.wait_for_selector("#strip li:nth-child(2)")
        while not held:
            page.wait_for_timeout(50)
        page.click("#remove")
        held[0].continue_()
        page.wait_for_selector("#stage[data-state=done]")
        assert page.inner_text("#picture-name") == "b.png"
        assert page.locator("#strip li").count() == 1


def test_nothing_found_is_said(browser: Any) -> None:
    with opened(browser, StandIn(PLAIN, [])) as page:
        look(page, picture())
        announced(page, "Nothing found")
        assert not page.is_visible("#detections")


def test_pictures_taken_away_leave_the_page_as_it_began(browser: Any) -> None:
    with opened(browser, StandIn(PLAIN, found(PLAIN))) as page:
        look(page, picture())
        page.click("#remove")
        assert page.is_visible(".ways")
        assert page.evaluate("document.activeElement.id") == "choose"

"""A page in Chromium that tells what it did beside being looked at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

VIOLATIONS = """
window.violations = [];
addEventListener("securitypolicyviolation",
  event => window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`), true);
"""
TEXTS = """() => [document.title, document.body.textContent, ...[...document.querySelectorAll("*")].flatMap(node =>
  ["aria-label", "title", "alt"].map(name => node.getAttribute(name) ?? ""))].join("\\n").replace(/\\s+/g, " ")"""


@contextmanager
def chromium() -> Iterator[Any]:
    """The browser."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


class Watched:
    """A page of its own context. own: what the addresses begin with that it may ask for."""

    def __init__(self, browser: Any, own: str = "about:") -> None:
        self.own = own
        self.dialogs = 0
        self.seen: list[str] = []
        """What it must not do: ``dialog``, ``request``, ``policy`` or ``error``, and what."""
        self._header = ""
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        context.add_init_script(VIOLATIONS)
        self.page = context.new_page()
        self.page.set_default_timeout(60_000)
        context.on("page", lambda page: self.seen.append(f"request of another page {page.url[:200]}"))
        self.page.on("dialog", self._dialog)
        self.page.on("pageerror", lambda error: self.seen.append(f"error {error}"))
        self.page.on("request", self._request)
        self.page.on("response", self._response)

    def _dialog(self, dialog: Any) -> None:
        self.dialogs += 1
        self.seen.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Any) -> None:
        if not request.url.startswith((self.own, "data:", "blob:")):
            self.seen.append(f"request {request.url[:200]}")

    def _response(self, response: Any) -> None:
        if response.url == self.own:
            self._header = response.headers.get("content-security-policy", "")

    def policy(self) -> str:
        """Of the header, where there is one, else of the page itself."""
        meta = "document.querySelector('meta[http-equiv=Content-Security-Policy]')?.content ?? ''"
        return self._header or str(self.page.evaluate(meta))

    def missing(self, names: list[str]) -> list[str]:
        """Those that are no text on the page, in its labels or tooltips."""
        text = self.page.evaluate(TEXTS)
        return [name for name in names if " ".join(name.split()) not in text]

    def until(self, condition: str, seconds: float = 300) -> None:
        """Wait. Playwright's own waiting evaluates text, which policies forbid."""
        for _ in range(int(seconds * 10)):
            if self.page.evaluate(condition):
                return
            self.page.wait_for_timeout(100)
        raise RuntimeError(f"{self.own}: never true: {condition}")

    def end(self) -> None:
        """Take down what its policy refused, and close it."""
        self.seen += [f"policy {line[:200]}" for line in self.page.evaluate("window.violations")]
        self.page.context.close()

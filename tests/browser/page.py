"""The host's page in Chromium, as a person uses it: opens templates, runs them, and tells what is to be seen.

The browser is the one of the system; nothing is downloaded, and no request leaves this machine.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workflows.build import titles

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
SIZE = (1600, 1000)

_ELSEWHERE = re.compile(r"^(https?|wss?)://(?!127\.0\.0\.1[:/])")
_READY = """!!(window.app && app.graph && app.extensionManager && window.LiteGraph
  && LiteGraph.registered_node_types.TalkFaceLoadDAETalker)"""
_LISTEN = """() => {
  window.heard = {};
  for (const kind of ["progress", "b_preview", "executed"])
    app.api.addEventListener(kind, () => heard[kind] = (heard[kind] || 0) + 1);
  for (const kind of ["execution_success", "execution_error", "execution_interrupted"])
    app.api.addEventListener(kind, event => heard.ended = [kind, event.detail]);
}"""
# The page's own words: what the host asks for and does not find on a fresh install, and what it logs by itself.
_OWN_NOISE = re.compile(r"Failed to load resource|Content Security Policy|Content Securit|graph accessed before init")
_OWN_GAPS = re.compile(r"/user\.css|/userdata|template.*\.json$")


class NoBrowser(Exception):
    """Chromium or the package that drives it is missing; the message is the reason to skip."""


@contextmanager
def chromium(size: tuple[int, int] = SIZE, sharpness: float = 1.0) -> Iterator[Any]:
    """A context of a browser of its own, to open pages in. Raises NoBrowser."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise NoBrowser("playwright is not installed: pip install -r requirements-dev.txt") from error
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        raise NoBrowser("there is no chromium: apt install chromium")
    width, height = size
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        try:
            yield browser.new_context(viewport={"width": width, "height": height}, device_scale_factor=sharpness)
        finally:
            browser.close()


@dataclass(frozen=True)
class Ran:
    """How a run ended ("execution_success", "execution_error", "rejected"), and how often the page heard what."""

    ended: str
    messages: Mapping[str, int]


@dataclass
class Page:
    """An open page. `troubles` are exceptions, logged errors and failed requests since they were last cleared."""

    inner: Any
    troubles: list[str] = field(default_factory=list)

    @classmethod
    @contextmanager
    def opened(cls, address: str, size: tuple[int, int] = SIZE, sharpness: float = 1.0) -> Iterator[Page]:
        """The page of the server at `address` ("127.0.0.1:port"). Raises NoBrowser."""
        with chromium(size, sharpness) as context:
            context.route(_ELSEWHERE, lambda route: route.abort())
            page = cls(context.new_page())
            page._watch()
            page.inner.goto(f"http://{address}/")
            page.inner.wait_for_function(_READY, timeout=120_000)
            page.inner.evaluate(_LISTEN)
            page.settle()
            yield page

    def _watch(self) -> None:
        def logged(message: Any) -> None:
            if message.type == "error" and not _OWN_NOISE.search(message.text):
                self.troubles.append(f"logged: {message.text}")

        def answered(response: Any) -> None:
            if response.status >= 400 and not _OWN_GAPS.search(response.url):
                self.troubles.append(f"{response.status}: {response.url}")

        self.inner.on("pageerror", lambda error: self.troubles.append(f"thrown: {error}"))
        self.inner.on("console", logged)
        self.inner.on("response", answered)

    def do(self, script: str, argument: Any = None) -> Any:
        """The value of a JavaScript expression or function in the page."""
        return self.inner.evaluate(script, argument)

    def settle(self, seconds: float = 1.0) -> None:
        """Let the page draw what it has to draw."""
        self.inner.wait_for_timeout(1000 * seconds)

    def soon(self, look: Callable[[], Any], seconds: float = 15.0) -> Any:
        """What `look` gives once it gives something, or its last answer: a busy machine draws late."""
        for _ in range(int(2 * seconds)):
            if found := look():
                return found
            self.settle(0.5)
        return look()

    def setting(self, name: str, value: Any) -> None:
        """Change one of the page's settings; one that it does not know changes nothing."""
        self.do("([name, value]) => app.extensionManager.setting.set(name, value)", [name, value])
        self.settle(0.5)

    def browse(self) -> None:
        """Open the template browser at the pack."""
        self.do("app.extensionManager.command.execute('Comfy.BrowseTemplates')")
        self.inner.locator("[role=dialog]").get_by_text("talkface", exact=True).first.click()

    def template(self, name: str) -> None:
        """Open a workflow of the pack, which has a title of its own there, through the template browser."""
        self.browse()
        card = self.card(name)
        for patience in (20, 20, 60):  # a click on a card that a busy machine is still drawing is lost
            if card.is_visible():
                card.click()
            if self.soon(card.is_hidden, patience):
                break
        assert card.is_hidden(), f"the page does not open {name}"
        self.inner.wait_for_function("app.graph.nodes.some(node => node.type.startsWith('TalkFace'))")
        self.settle()

    def card(self, name: str) -> Any:
        """The card of a workflow in the template browser, which is open: older pages show a dozen cards, and more once
        their end is scrolled to."""
        cards = self.inner.locator("[data-testid^=template-workflow-]")
        card = self.inner.get_by_test_id(f"template-workflow-{titles()[name]}").first
        self.soon(lambda: card.count() or self._scroll_past(cards.last))
        return card

    def _scroll_past(self, last: Any) -> None:
        """Scroll a list to what comes after its last entry."""
        if last.count():
            last.hover()
            self.inner.mouse.wheel(0, 2000)

    def nodes(self) -> list[dict[str, Any]]:
        """The nodes of the graph: type, widgets (name -> value), and whether the page knows the type."""
        return self.do(
            """() => app.graph.nodes.map(node => ({
                type: node.type, known: !!LiteGraph.registered_node_types[node.type],
                widgets: Object.fromEntries((node.widgets || []).map(widget => [widget.name, widget.value]))}))"""
        )

    def set(self, kind: str, **values: Any) -> None:
        """Change widgets of all nodes of a type."""
        self.do(
            """([kind, values]) => { for (const node of app.graph.nodes) if (node.type == kind)
                for (const widget of node.widgets) if (widget.name in values) {
                    widget.value = values[widget.name]; widget.callback?.(widget.value) } }""",
            [kind, values],
        )

    def prompt(self) -> dict[str, Any]:
        """The graph as the page would queue it."""
        return self.do("async () => (await app.graphToPrompt()).output")

    def run(self, seconds: float = 240) -> Ran:
        """Press the Run button and wait for the end, however long it takes as long as the page hears of it: of nothing
        for `seconds` is an error."""
        self.do("() => { for (const key in heard) delete heard[key] }")
        answers: list[int] = []

        def answered(response: Any) -> None:
            if response.url.endswith("/prompt") and response.request.method == "POST":
                answers.append(response.status)

        self.inner.on("response", answered)
        self.inner.get_by_role("button", name="Run", exact=True).first.click()
        last: dict[str, Any] = {}
        end = time.monotonic() + seconds
        try:
            while not (ended := self.do("heard.ended")):
                if 400 in answers:
                    return Ran("rejected", {})
                if (now := self.do("heard")) != last:
                    last, end = now, time.monotonic() + seconds
                if time.monotonic() > end:
                    raise TimeoutError(f"the run goes on, silent for {seconds:g} s; the page had heard {last}")
                self.settle(0.1)
        finally:
            self.inner.remove_listener("response", answered)
        messages = {key: value for key, value in self.do("heard").items() if key != "ended"}
        return Ran(ended[0], messages)

    def previews(self) -> list[int]:
        """Widths of the preview pictures on nodes, drawn on the canvas or as parts of the page."""
        return self.do(
            """() => [...app.graph.nodes.flatMap(node => node.imgs || []), ...document.querySelectorAll(
                "img[src^=blob]")].map(picture => picture.naturalWidth)"""
        )

    def media(self, tag: str) -> list[dict[str, Any]]:
        """The <video> or <audio> elements: src, seconds (None while unknown), width in pixels (of videos)."""
        return self.do(
            """tag => [...document.querySelectorAll(tag)].map(media => ({src: media.src,
                seconds: Number.isFinite(media.duration) ? media.duration : null, width: media.videoWidth}))""",
            tag,
        )

    def alerts(self) -> list[str]:
        """The words of all dialogs, toasts and error panels that are to be seen."""
        return self.do(
            """() => [...document.querySelectorAll(
                "[role=dialog], .p-dialog, .p-toast-message, [data-testid=error-overlay], [role=tabpanel]")]
                .filter(shown => shown.checkVisibility()).map(shown => shown.innerText.trim()).filter(Boolean)"""
        )

    def shown_text(self) -> str:
        """All that a person can read about an error: newer pages show it in a panel, behind a button or two."""
        details = self.inner.get_by_test_id("error-overlay-see-errors")
        if details.count():
            details.first.click()
            self.settle(0.5)
            for more in self.inner.get_by_role("button", name=re.compile("^Info for")).all():
                more.click()
            self.settle(0.5)
        words = self.do("document.body.innerText")
        self.dismiss()
        return words

    def dismiss(self) -> None:
        """Close the dialog that is open, if there is one."""
        self.inner.keyboard.press("Escape")
        self.inner.locator("[role=dialog]").first.wait_for(state="detached")
        self.settle(0.5)

    def picture(self, path: Path, clip: Mapping[str, float] | None = None) -> Path:
        """A screenshot, of the whole window or of a part of it."""
        self.inner.screenshot(path=path, clip=clip)
        return path

"""The pictures of the docs: screenshots of saved records, in English and Korean. Needs Playwright and Chromium.

    python docs/pictures.py [/usr/bin/chromium]

writes docs/pictures/*.png; run it again when the page changes its looks.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from playwright.sync_api import Page, sync_playwright

import retrograde as rg
from retrograde import nn, optim
from retrograde.cli.explaining import of_toy
from retrograde.nn.losses import cross_entropy

FOLDER = Path(__file__).parent / "pictures"
SIZE = {"width": 1280, "height": 800}
ARGS = ["--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--font-render-hinting=none"]


class Shot(NamedTuple):
    """One picture: of which record, after how many steps of the walk, which step is looked into, and how the formulas are."""

    name: str
    record: str
    steps: int
    chosen: str
    face: int = 0
    language: str = "en"
    theme: str = "light"


SHOTS = [
    Shot("toy", "toy", 10, "f2", face=2),
    Shot("toy-dark", "toy", 10, "f2", face=2, theme="dark"),
    Shot("toy-ko", "toy", 10, "f2", face=2, language="ko"),
    Shot("network", "network", 10, "f3"),
    Shot("network-ko", "network", 10, "f3", language="ko"),
    Shot("digits", "digits", 8, "Ω1", face=1),
]


def main(chromium: str) -> None:
    """Write all pictures."""
    FOLDER.mkdir(exist_ok=True)
    records = {"toy": of_toy(), "network": network(), "digits": digits()}
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGS)
        for shot in SHOTS:
            page = browser.new_page(viewport=SIZE, color_scheme=shot.theme, reduced_motion="reduce")
            path = records[shot.record].save(Path(folder) / "run.html", language=shot.language)
            page.goto(path.as_uri())
            take(page, shot)
            page.close()
        browser.close()
    for path in sorted(FOLDER.glob("*.png")):
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def take(page: Page, shot: Shot) -> None:
    """Walk to the moment and photograph what is seen of it at the top of the page."""
    page.locator(".node").first.wait_for()
    for _ in range(shot.steps):
        page.keyboard.press("ArrowRight")
    page.locator(f'[data-name="{shot.chosen}"]').click()
    page.locator(".faces label").nth(shot.face).click()
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0); document.fonts.ready")
    page.add_style_tag(content=".transport { position: static }")  # else it covers what is behind it
    page.screenshot(path=FOLDER / f"{shot.name}.png")


def network() -> Any:
    """A 3-4-2-3-2 network with ReLU on four points."""
    rng = np.random.default_rng(0)
    net = nn.Sequential(*layers((3, 4, 2, 3, 2))).init(0, np.float64)
    x, y = rng.normal(size=(4, 3)), rng.normal(size=(4, 2))

    def squares(net: Any, x: Any, y: Any) -> Any:
        return np.mean((net(x) - y) ** 2)

    return rg.explore(squares)(net, x, y)


def digits() -> Any:
    """A 64-32-16-10 network, trained on scikit-learn's digits, and the loss of twelve of them."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    x = (images / 16).astype(np.float32)
    net = nn.Sequential(*layers((64, 32, 16, 10)))
    model = rg.fit(net, (x, labels), loss="cross_entropy", optimizer=optim.Adam(3e-3), batch_size=32, epochs=3, seed=0).model

    def digits(net: Any, x: Any, y: Any) -> Any:
        return cross_entropy(net(x), y)

    return rg.explore(digits)(model, x[:12], labels[:12])


def layers(widths: tuple[int, ...]) -> Iterator[Any]:
    """Linear layers with ReLU between them."""
    for i, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
        if i:
            yield nn.ReLU()
        yield nn.Linear(inputs, outputs)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "/usr/bin/chromium")

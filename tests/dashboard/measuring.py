"""What the browser itself measures of a page, kept for people to read: no test passes or fails by a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from playwright.async_api import Page

__all__ = ["note_measure", "scroll_through"]

_MEASURES: Final = Path(__file__).parents[2] / ".cache" / "measures"
_SCROLL: Final = """
async ([selector, steps]) => {
  let box = document.querySelector(selector);
  while (box && box.scrollHeight <= box.clientHeight + 1) box = box.parentElement;
  const far = box.scrollHeight - box.clientHeight;
  const frame = () => new Promise(requestAnimationFrame);
  let long = 0;
  let longest = 0;
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      long += 1;
      longest = Math.max(longest, entry.duration);
    }
  });
  observer.observe({ type: 'longtask' });
  async function frames(next) {
    const took = [];
    let last = await frame();
    for (let step = 1; step <= steps; step += 1) {
      box.scrollTop = next(step);
      const now = await frame();
      took.push(now - last);
      last = now;
    }
    return took.sort((a, b) => a - b);
  }
  const rolled = await frames((step) => step * 120);
  const jumped = await frames((step) => (far * step) / steps);
  observer.disconnect();
  box.scrollTop = 0;
  await frame();
  const place = (share) => Math.min(steps - 1, Math.floor(steps * share));
  const at = (took, share) => Math.round(took[place(share)] * 10) / 10;
  return {
    rolled_ms_p50: at(rolled, 0.5),
    rolled_ms_p95: at(rolled, 0.95),
    jumped_ms_p50: at(jumped, 0.5),
    jumped_ms_p95: at(jumped, 0.95),
    long_tasks: long,
    longest_task_ms: Math.round(longest),
    elements: document.querySelectorAll('*').length,
    heap_mib: performance.memory ? Math.round(performance.memory.usedJSHeapSize / 1048576) : null,
  };
}
"""


async def scroll_through(page: Page, selector: str, *, rows: int, steps: int = 60) -> dict[str, float | None]:
    """Scroll a list: first as by a wheel, then in jumps from end to end; return how long frames took.

    Args:
        page: as it is now.
        selector: of the list, or of something in what scrolls.
        rows: how many there are, to be written down.
        steps: how many frames each of both takes.
    """
    return {"rows": rows, **await page.evaluate(_SCROLL, [selector, steps])}


def note_measure(name: str, measure: Mapping[str, float | None]) -> Path:
    """Keep a measure below .cache/measures; return the file."""
    _MEASURES.mkdir(parents=True, exist_ok=True)
    path = _MEASURES / f"{name}.json"
    path.write_text(json.dumps(measure, indent=2) + "\n")
    return path

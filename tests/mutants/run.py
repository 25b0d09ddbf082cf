"""Mutate `sse_fsm` function by function and see whether the tests notice.

    python tests/mutants/run.py [mutmut's own options, such as --max-children 4, or names of mutants]

Works on a copy of the tree in `build/mutants`, with mutmut installed into this interpreter's environment if it
is not there yet. What to mutate and which tests judge it is said in `pyproject.toml`, `[tool.mutmut]`. Ends
with exit code 1 if less than 95 % are killed or if a survivor is not explained in `docs/mutants.md`. The table of
transitions is data and out of mutmut's reach: `tests/sse_fsm/test_table_mutants.py` takes care of it.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build" / "mutants"
COPIED = ("sse_fsm", "gateway", "tests", "fixtures", "docs", "pyproject.toml", "README.md")
REQUIREMENT = "mutmut>=3.8,<4"
NEEDED = 0.95
_LINE = re.compile(r"^\s*(sse_fsm\.\S+__mutmut_\d+): (.+)$", re.MULTILINE)
#: A mutant that makes the tests hang, or breaks the process, has been noticed.
_NOTICED = {"killed", "timeout", "segfault", "caught by type check", "suspicious"}


def main(arguments: list[str]) -> int:
    """Run mutmut and hold its results against the page."""
    if importlib.util.find_spec("mutmut") is None:
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", REQUIREMENT], check=True)
    copy_tree()
    environment = os.environ | {"HYPOTHESIS_PROFILE": "mutants"}
    mutmut = [sys.executable, "-m", "mutmut"]
    subprocess.run([*mutmut, "run", *arguments], cwd=WORK, env=environment, check=False)
    listed = subprocess.run(
        [*mutmut, "results", "--all", "true"],
        cwd=WORK,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    results = dict(_LINE.findall(listed.stdout))
    survivors = [name for name, verdict in results.items() if verdict not in {*_NOTICED, "not checked"}]
    return report(results, {name: change(name, mutmut, environment) for name in survivors})


def change(name: str, mutmut: list[str], environment: dict[str, str]) -> str:
    """Return the line that a mutant puts in place of another one."""
    shown = subprocess.run(
        [*mutmut, "show", name], cwd=WORK, env=environment, check=True, capture_output=True, text=True
    )
    return " ".join(line[1:].strip() for line in shown.stdout.splitlines() if re.match(r"\+[^+]", line))


def copy_tree() -> None:
    """Bring the copy up to date; mutmut keeps its own results beside it and tries again what has changed."""
    for name in COPIED:
        source, target = ROOT / name, WORK / name
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def report(results: dict[str, str], survivors: dict[str, str]) -> int:
    """Print what became of the mutants; return the exit code."""
    count = Counter(results.values())
    noticed = sum(number for verdict, number in count.items() if verdict in _NOTICED)
    tried = sum(number for verdict, number in count.items() if verdict != "not checked")
    explained = (ROOT / "docs" / "mutants.md").read_text("utf-8")
    # By what they change and not by their names, whose numbers move with every edit.
    surprises = {name: line for name, line in survivors.items() if f"`{line}`" not in explained}
    lines = [f"{noticed} of {tried} mutants noticed ({noticed / max(tried, 1):.1%}); {dict(count)}"]
    lines += [
        f"survived, and docs/mutants.md does not say why: {name}: {line}" for name, line in surprises.items()
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if tried and noticed / tried >= NEEDED and not surprises else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

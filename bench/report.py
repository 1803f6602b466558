"""What was measured, as Markdown, as JSON and as plots."""

import json
import platform
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import plots
from bench.harness import Case, wants

START, END = "<!-- figures -->", "<!-- /figures -->"


def write(cases: Sequence[Case], page: Path) -> None:
    """Puts tables between the marks of `page`, and beside it ``<its name>.json`` and two plots."""
    head, _, rest = page.read_text().partition(START)
    _, _, tail = rest.partition(END)
    told = [f"Measured {datetime.now(UTC):%Y-%m-%d} on {machine()}.", ratios(cases), *map(table, cases)]
    page.write_text(f"{head}{START}\n\n" + "\n\n".join(told) + f"\n\n{END}{tail}")
    page.with_suffix(".json").write_text(json.dumps({"machine": machine(), "cases": [_told(case) for case in cases]}))
    plots.plot_ratios(cases, page.with_name(f"{page.stem}-ratios.svg"))
    plots.plot_rows(cases, page.with_name(f"{page.stem}-rows.svg"))


def machine() -> str:
    """Cores, memory, and what ran."""
    about = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"model name\s*:\s*(.*)", about)
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text() if about else "")
    cores = len(re.findall(r"^processor", about, re.MULTILINE)) or "?"
    gigabytes = f", {int(memory[1]) / 1024 / 1024:.0f} GiB" if memory else ""
    return (
        f"{cores} cores ({model[1] if model else platform.machine()}){gigabytes}, {platform.system()} "
        f"{platform.release().partition('-')[0]}, Python {platform.python_version()}, "
        f"{_version('nginx', '-v')}, {_version('wrk', '-v')}"
    )


def _version(program: str, option: str) -> str:
    try:
        said = subprocess.run([program, option], check=False, capture_output=True, text=True, timeout=10)
    except OSError:
        return f"no {program}"
    found = re.search(r"\d+\.\d+(\.\d+)?", said.stdout + said.stderr)
    return f"{program} {found[0]}" if found else program


def ratios(cases: Sequence[Case]) -> str:
    """The table of what was wanted."""
    lines = ["| what | of | ratio | wanted | |", "| --- | --- | ---: | ---: | --- |"]
    for case, want in wants(cases):
        bound = f"{'≤' if want.at_most else '≥'} {want.bound:.3g}"
        verdict = "" if want.reached(case) else "**missed**"
        lines.append(f"| {case.name}: {want.of} | {want.against} | {want.ratio(case):.3g} | {bound} | {verdict} |")
    return "\n".join(lines)


def table(case: Case) -> str:
    """One case: the medians of its candidates, with the lowest and the highest round."""
    lines = [f"### {case.name[:1].upper()}{case.name[1:]}", "", f"| {case.unit} | median | lowest | highest |"]
    lines.append("| --- | ---: | ---: | ---: |")
    for name, each in case.figures.items():
        lines.append(f"| {name} | {_short(case.median(name))} | {_short(min(each))} | {_short(max(each))} |")
    return "\n".join([*lines, *(["", case.note] if case.note else [])])


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _told(case: Case) -> dict[str, Any]:
    wanted = [vars(want) | {"ratio": want.ratio(case), "reached": want.reached(case)} for want in case.wants]
    return {"name": case.name, "unit": case.unit, "figures": dict(case.figures), "wants": wanted, "note": case.note}

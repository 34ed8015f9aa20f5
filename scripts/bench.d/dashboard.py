"""How fast the dashboard's pages are, and what open pages cost the devices."""

import contextlib
import json
import os
import statistics
import subprocess
import sys

import measure
from generator import Load
from servers import SERVER, Twinlease

HOUSES = (50, 10_000)
RATE = 1000
OPEN = 20


class Dashboard(Twinlease):
    """The same server, with its pages."""

    name = "dashboard"
    label = "twinlease with its dashboard"

    def command(self):
        command = super().command()
        command[command.index("--web-listen") + 1] = f"{SERVER}:80"
        return command


def visitor(lab, *words):
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "visitor.py")
    return lab.inside("client", [sys.executable, script, SERVER, *map(str, words)])


def visit(lab, *words):
    done = subprocess.run(visitor(lab, *words), capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip()[-300:])
    return json.loads(done.stdout)


@contextlib.contextmanager
def open_pages(lab, count):
    """So many pages of the list of devices, each with its stream."""
    if count == 0:
        yield
        return
    process = subprocess.Popen(visitor(lab, "open", "/devices", count), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if not process.stdout.readline():
            raise RuntimeError("the pages could not be opened")
        yield
    finally:
        process.kill()
        process.wait()


def measured(lab, state, plan):
    server = Dashboard(lab, os.path.join(state, "dashboard"))
    found = {"pages": {}, "rate": {}, "dora": {"0": [], str(OPEN): []}}
    for devices in HOUSES:
        load = Load(lab, state)
        with measure.running(server, load):
            measure.fill(server, load, devices, plan, {})
            found["pages"][str(devices)] = visit(lab, "pages", 20 if plan.quick else 100)
            found["rate"][str(devices)] = visit(lab, "rate", "/", RATE, 3 if plan.quick else 10)
        measure.say(f"dashboard, {devices:,} devices: Home at {RATE}/s: {found['rate'][str(devices)]}")
    for turn in range(plan.rounds):
        for count in (0, OPEN) if turn % 2 == 0 else (OPEN, 0):
            load, run = Load(lab, state), {}
            with measure.running(server, load):
                measure.fill(server, load, 1000, plan, run)
                with open_pages(lab, count):
                    measure.search(server, load, "dora", run["fill_per_s"], plan, run)
            found["dora"][str(count)].append(run["dora_per_s"])
            measure.say(f"dashboard, {count} open pages, round {turn + 1}: {run['dora_per_s']:,} DORA/s")
    return found


def markdown(found):
    lines = ["| page | 50 devices: median, p99 | 10,000 devices: median, p99 | size with 10,000 |", "|---|---|---|---|"]
    few, many = (found["pages"][str(devices)] for devices in HOUSES)
    for path, at_few in few.items():
        at_many = many[path]
        lines.append(f"| `{path}` | {at_few['p50_ms']:.1f}, {at_few['p99_ms']:.1f} ms | {at_many['p50_ms']:.1f}, {at_many['p99_ms']:.1f} ms | "
                     f"{at_many['bytes'] / 1000:.0f} kB |")
    at_few, at_many = (found["rate"][str(devices)] for devices in HOUSES)
    lines.append(f"| `/`, {RATE:,} loads/s | {at_few['p50_ms']:.1f}, {at_few['p99_ms']:.1f} ms ({at_few['done_per_s']:,.0f}/s done) | "
                 f"{at_many['p50_ms']:.1f}, {at_many['p99_ms']:.1f} ms ({at_many['done_per_s']:,.0f}/s done) | |")
    without, with_pages = (statistics.median(runs) for runs in found["dora"].values())
    lines += ["", f"New leases per second: {without:,.0f} without open pages, {with_pages:,.0f} with {OPEN} open live pages "
              f"({with_pages / without:.2f})."]
    return "\n".join(lines) + "\n"

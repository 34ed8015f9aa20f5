"""The order of the comparison: rounds in which the servers take turns, then the table and the plot. Started by scripts/bench."""

import argparse
import json
import os
import platform
import subprocess
import time

import dashboard
import measure
import pairs
import plot
import servers
import table
from generator import Lab, Load

EVERY = ("kea", "twinlease", "dnsmasq")
EVERY_PAIR = ("kea-hs", "twins", "twinlease", "kea-lb", "twins-lb")


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures twinlease, Kea and dnsmasq side by side.")
    parser.add_argument("--quick", action="store_true", help="one round, 1,000 and 10,000 leases, short steps: under 4 minutes")
    parser.add_argument("--agree", action="store_true", help="only compare the load generator with perfdhcp")
    parser.add_argument("--pair", action="store_true", help="only the pairs: ours beside Kea's and beside our own single node")
    parser.add_argument("--pages", action="store_true", help="only the dashboard: how fast its pages are, and what open ones cost")
    parser.add_argument("--pairs", default=",".join(EVERY_PAIR), help="which of them (default all; empty: none)")
    parser.add_argument("--rejoin-leases", type=int, help="leases that a rejoining node must have in sync (default 100000)")
    parser.add_argument("--rounds", type=int, help="alternating rounds, medians are shown (default 3)")
    parser.add_argument("--levels", help="numbers of active leases, as 1000,10000,100000")
    parser.add_argument("--first", action="store_true", help="servers and generators alike go before other programs (nice -10), where the machine is not quiet")
    parser.add_argument("--servers", default=",".join(EVERY), help="which servers (default all)")
    plan = parser.parse_args()
    quick = plan.quick
    plan.rounds = plan.rounds or (1 if quick else 3)
    plan.levels = [int(level) for level in (plan.levels or ("1000,10000" if quick else "1000,10000,100000")).split(",")]
    plan.servers = [name for name in plan.servers.split(",") if name in servers.ALL]
    plan.pairs = [name for name in plan.pairs.split(",") if name == "twinlease" or name in pairs.PAIRS]
    plan.rejoin_leases = plan.rejoin_leases or (10_000 if quick else 100_000)
    plan.seconds = 2 if quick else 5
    plan.step_seconds = 1 if quick else 2
    plan.tries = 1 if quick else 2
    # A level and its search for the highest rate of new leases stay inside the pool of a million addresses.
    plan.most_leases = 800_000
    plan.fill_limit_s = 15 if quick else 150 if plan.pair else 60
    # With fewer clients each would renew many times a second, which is no renewal but a storm.
    plan.renew_from = 10_000
    return plan


def main():
    plan = arguments()
    if plan.first:
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    if os.getloadavg()[0] > 0.5:
        measure.say(f"other programs run on this machine (load {os.getloadavg()[0]:.1f}); the figures will be lower and less steady")
    out = os.environ["BENCH_OUT"]
    lab = Lab()
    state = os.path.join(out, "state")
    os.makedirs(state, exist_ok=True)
    if plan.pages:
        found = dashboard.measured(lab, state, plan)
        table = dashboard.markdown(found)
        put(out, {"pages.json": json.dumps(found, indent=1), "pages.md": table})
        print(table)
        return
    machines = {name: servers.ALL[name](lab, os.path.join(state, name)) for name in plan.servers}
    results = {"date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "rounds": plan.rounds, "levels": [], "rates": [],
               "by_level": {}, "direct": {}, "pair": {}, "pair_rates": [], "rejoin": {}, "rejoin_leases": plan.rejoin_leases, "agreement": [], "machine": machine(), "versions": versions(plan.servers),
               "ceiling": measure.ceiling(lab, state)}
    measure.say(f"the generator alone: {results['ceiling']['per_s']:,.0f} DORA/s")
    if not plan.agree and not plan.pair:
        compare(plan, lab, state, machines, results)
    if not plan.agree and plan.pairs:
        compare_pairs(plan, lab, state, results)
    if plan.pair:
        write(out, results)
        return
    judged = [machines[name] for name in ("kea", "twinlease") if name in machines]
    results["agreement"] = measure.agreement(lab, state, judged, 2 if plan.quick else 4, plan.rounds)
    write(out, results)


def compare(plan, lab, state, machines, results):
    if "kea" in machines:
        results["rates"] = measure.common_rates(machines["kea"], Load(lab, state), plan)
        measure.say(f"common rates: {results['rates']}")
    for level in plan.levels:
        results["levels"].append(level)
        for turn in range(plan.rounds):
            for name in rotated(plan.servers, turn):
                entry = results["by_level"].setdefault(str(level), {}).setdefault(name, empty(machines[name]))
                one(entry, f"{name}, {level:,} leases, round {turn + 1}", lambda name=name, level=level: measure.at_level(
                    machines[name], Load(lab, state), level, plan, results["rates"]))
            write(os.environ["BENCH_OUT"], results)
    for turn in range(plan.rounds):
        for name in rotated(plan.servers, turn):
            entry = results["direct"].setdefault(name, empty(machines[name]))
            one(entry, f"{name}, clients on the link, round {turn + 1}", lambda name=name: measure.direct_clients(
                machines[name], lab, state, plan))


def compare_pairs(plan, lab, state, results):
    lab.add_twin(pairs.TWIN)
    contestants = pairs.contestants(lab, state, plan.pairs)
    if "kea-hs" in contestants:
        results["pair_rates"] = measure.common_rates(contestants["kea-hs"], Load(lab, state, "direct"), plan)
        measure.say(f"the pairs' common rates: {results['pair_rates']}")
    for turn in range(plan.rounds):
        for name in rotated(plan.pairs, turn):
            entry = results["pair"].setdefault(name, empty(contestants[name]))
            one(entry, f"{entry['label']}, round {turn + 1}", lambda name=name: measure.pair_round(
                contestants[name], lab, state, plan, results["pair_rates"]))
            write(os.environ["BENCH_OUT"], results)
    for turn in range(plan.rounds):
        for name in rotated([name for name in plan.pairs if name in pairs.PAIRS], turn):
            entry = results["rejoin"].setdefault(name, empty(contestants[name]))
            one(entry, f"{entry['label']} rejoins, round {turn + 1}", lambda name=name: measure.rejoin(contestants[name], lab, state, plan))
            write(os.environ["BENCH_OUT"], results)


def rotated(names, turn):
    """Each round begins with another server, so that none always has the warm or the cold machine."""
    turn %= len(names)
    return names[turn:] + names[:turn]


def empty(server):
    return {"label": server.label, "runs": [], "reasons": []}


def one(entry, what, run):
    """A server that once gave up at this point would only cost the same time again."""
    if entry["reasons"]:
        return
    started = time.time()
    try:
        found = run()
        entry["runs"].append(found)
        figures = ", ".join(f"{key} {value:,.0f}" for key, value in found.items() if isinstance(value, (int, float)))
        measure.say(f"{what}: {figures} ({time.time() - started:.0f} s)")
    except (measure.GaveUp, RuntimeError, OSError) as reason:
        entry["reasons"].append(str(reason))
        measure.say(f"{what}: gave up: {reason}")


def machine():
    model = "unknown"
    with open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {"cpus": os.cpu_count(), "model": model, "kernel": platform.release()}


def versions(names):
    def first_line(*command):
        try:
            return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip().splitlines()[0]
        except (OSError, IndexError):
            return "unknown"

    peers = os.environ["BENCH_PEERS"]
    asked = {"kea": (f"{peers}/kea-dhcp4", "-v"), "dnsmasq": (f"{peers}/dnsmasq", "--version"),
             "twinlease": (os.environ["BENCH_TWINLEASE"], "version")}
    found = {name: first_line(*asked[name]) for name in names}
    return {name: line.removeprefix("Dnsmasq version ").removeprefix("twinlease ").split(" ")[0] for name, line in found.items()}


def write(out, results):
    """A run of the pairs alone leaves the files of a whole run as they are."""
    files = {"results.json": json.dumps(results, indent=1), "table.md": table.markdown(results)}
    if results["levels"] or not results["pair"]:
        files["plot.svg"] = plot.svg(results)
    else:
        files = {f"pair-{name}": text for name, text in files.items()}
    if results["pair"]:
        files["pair.svg"] = plot.pair_svg(results)
    put(out, files)


def put(out, files):
    for name, text in files.items():
        with open(os.path.join(out, name), "w") as file:
            file.write(text)
    measure.say(f"written in {out}: {', '.join(files)}")


if __name__ == "__main__":
    main()

"""What is measured on a server that holds a number of leases, and whether our generator agrees with perfdhcp."""

import contextlib
import os
import statistics
import subprocess
import sys
import time

from generator import Load, perfdhcp
from pairs import Pair
from servers import RELAY, SERVER, START_LIMIT_S, TICKS_PER_S

AGREE_RATES = (500, 1000, 2000)
REFERENCE_US = 2000
# How long clients go on asking while a node rejoins; most are back sooner.
TOGETHER_LOAD_S = 10


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


class GaveUp(Exception):
    """A server that cannot do what is measured; the text goes into the table."""


@contextlib.contextmanager
def running(server, load):
    server.fresh()
    started = load.first_offer(server, START_LIMIT_S)
    try:
        if started is None:
            raise GaveUp(f"does not answer: {server.last_words()[-200:]}")
        yield
    finally:
        server.stop()


def common_rates(server, load, plan):
    """Kea's own maximum and half of it: the rates at which all are compared. Found once, before the rounds."""
    found = {}
    with running(server, load):
        fill(server, load, plan.levels[0], plan, found)
        search(server, load, "dora", found["fill_per_s"], plan, found)
    top = found["dora_per_s"] or found["fill_per_s"] / 2
    return [round(top / 2), round(top)]


class Foreign:
    """How much of the CPUs went to programs that are no part of the measurement, as a warning in the table."""

    def __init__(self):
        self.busy, self.own = machine_busy_s(), own_s()
        self.began = time.monotonic()

    def percent(self):
        seconds = (time.monotonic() - self.began) * os.cpu_count()
        foreign = machine_busy_s() - self.busy - (own_s() - self.own)
        return max(0.0, 100 * foreign / seconds)


def machine_busy_s():
    with open("/proc/stat") as stat:
        user, nice, system, _idle, _wait, irq, softirq, *_ = map(int, stat.readline().split()[1:])
    return (user + nice + system + irq + softirq) / TICKS_PER_S


def own_s():
    """This program, and its children that have ended: generators and, once stopped, servers."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def at_level(server, load, level, plan, rates):
    """All figures of one server at one number of leases."""
    foreign = Foreign()
    found = measured_at_level(server, load, level, plan, rates)
    found["foreign_cpu_percent"] = foreign.percent()
    return found


def measured_at_level(server, load, level, plan, rates):
    found = {}
    with running(server, load):
        fill(server, load, level, plan, found)
        found["rss_mb"] = server.rss_mb()
        restart(server, load, found)
        for rate in rates:
            # A flood far above what it can do says nothing about its latency, and its queues would spoil what follows.
            if rate < found["fill_per_s"] * 1.3:
                found.setdefault("latency", {})[str(rate)] = latency(server, load, rate, plan.seconds)
        search(server, load, "dora", found["fill_per_s"], plan, found)
        if level >= plan.renew_from:
            search(server, load, "renew", found["fill_per_s"] * 1.5, plan, found)
    return found


def fill(server, load, level, plan, found):
    # dnsmasq does not reserve what it offers: with many clients at once it sends most of them back.
    window = 8 if server.name == "dnsmasq" else 64
    report = load.call("fill", level, "--window", window, "--seconds", plan.fill_limit_s)
    found["fill_per_s"] = report["completed_per_s"]
    found["fill_cpu_of_generator_us"] = report["cpu_us_per_exchange"]
    if report["completed"] < level * 0.99:
        raise GaveUp(f"only {report['completed']:,} leases after {plan.fill_limit_s:.0f} s ({report['completed_per_s']:.0f}/s)")


def restart(server, load, found):
    server.stop()
    found["start_ms"] = load.first_offer(server, START_LIMIT_S)
    if found["start_ms"] is None:
        raise GaveUp(f"does not start again: {server.last_words()[-200:]}")


def latency(server, load, rate, seconds):
    cpu_before = server.cpu_s()
    report = load.call("dora", "--rate", rate, "--seconds", seconds)
    cpu_us = (server.cpu_s() - cpu_before) * 1e6 / max(report["completed"], 1)
    keep = {name: report[name] for name in ("lost_percent", "naks", "valid", "worst_lag_ms", "cpu_us_per_exchange")}
    whole, offer, ack = (report[name] or {} for name in ("whole", "offer", "ack"))
    return keep | {"cpu_us": cpu_us, "p50_ms": whole.get("p50_us", 0) / 1e3, "p99_ms": whole.get("p99_us", 0) / 1e3,
                   "offer_p50_ms": offer.get("p50_us", 0) / 1e3, "offer_p99_ms": offer.get("p99_us", 0) / 1e3,
                   "ack_p99_ms": ack.get("p99_us", 0) / 1e3}


def search(server, load, scenario, guess, plan, found):
    cpu_before = server.cpu_s()
    result = load.call(scenario, "--search", "--rate", max(round(guess), 20), "--seconds", plan.step_seconds,
                       "--tries", plan.tries, "--most", plan.most_leases)
    done = sum(step["completed"] for step in result["steps"])
    found[f"{scenario}_per_s"] = result["rate"]
    found[f"{scenario}_bound"] = result["bounded_by"]
    found[f"{scenario}_cpu_us"] = (server.cpu_s() - cpu_before) * 1e6 / max(done, 1)
    found["active"] = result["steps"][-1]["active_leases"] if result["steps"] else None
    found["generator_cpu_us"] = result["steps"][-1]["cpu_us_per_exchange"] if result["steps"] else None


def direct_clients(server, lab, folder, plan):
    """The same search with clients on the link: unicast replies to MACs without an address, as at home."""
    load = Load(lab, folder, "direct")
    found = {}
    with running(server, load):
        fill(server, load, 1000, plan, found)
        search(server, load, "dora", found["fill_per_s"], plan, found)
    return found


def pair_round(pair, lab, folder, plan, rates):
    """A pair, or a single node beside it, with clients on the link: their broadcasts reach both."""
    foreign = Foreign()
    load = Load(lab, folder, "direct")
    found = {}
    with running(pair, load):
        expect_together(pair)
        fill(pair, load, 1000, plan, found)
        found["rss_mb"] = pair.rss_mb()
        for rate in rates:
            if rate < found["fill_per_s"] * 1.3:
                found.setdefault("latency", {})[str(rate)] = latency(pair, load, rate, plan.seconds)
        search(pair, load, "dora", found["fill_per_s"], plan, found)
        expect_together(pair)
    found["foreign_cpu_percent"] = foreign.percent()
    return found


def rejoin(pair, lab, folder, plan):
    """The second node is lost, leases are made without it, and it comes back while the first serves."""
    load = Load(lab, folder, "direct")
    found = {}
    with running(pair, load):
        expect_together(pair)
        fill(pair, load, plan.rejoin_leases, plan, found)
        expect_together(pair)
        pair.lose_second()
        # The survivor may take its time until it answers; Kea's template gives it 60 s and more.
        load.first_offer_of_running(START_LIMIT_S)
        away = load.call("fill", 1000, "--window", 16, "--seconds", 60)
        found["made_while_away"] = away["completed"]
        with load.going_on("dora", "--rate", 200, "--seconds", TOGETHER_LOAD_S) as going_on:
            pair.nodes[1].start()
            took_s = pair.wait_until_together()
            if took_s is None:
                raise GaveUp(f"the second node does not rejoin: {pair.last_words()[-200:]}")
            found["rejoin_s"] = took_s
            found["rejoin_lost_percent"] = going_on()["lost_percent"]
    return found


def expect_together(pair):
    if isinstance(pair, Pair) and pair.wait_until_together() is None:
        raise GaveUp(f"the two do not come together: {pair.last_words()[-200:]}")


def agreement(lab, folder, servers, seconds, rounds):
    """Both generators as relays, in turn: against real servers, and against mirrors, whose delay is known exactly.

    What a tool measures against the mirror without a delay is its own share, its floor."""
    targets = [("answers at once", lambda: mirror(lab, 0)), (f"answers after {REFERENCE_US:,} µs", lambda: mirror(lab, REFERENCE_US))]
    targets += [(server.label, lambda server=server: running(server, Load(lab, folder))) for server in servers]
    rows = []
    salt = int(time.time()) & 0xFFFF
    for label, target in targets:
        for rate in AGREE_RATES:
            runs = {"perfdhcp": [], "dhcpload": []}
            try:
                for turn in range(rounds):
                    salt += 1
                    tools = {"perfdhcp": lambda: perfdhcp(lab, rate, seconds, salt), "dhcpload": lambda: ours(Load(lab, folder), rate, seconds)}
                    # A fresh server for each tool, and neither is always the first.
                    for name in sorted(tools, reverse=turn % 2 == 0):
                        with target():
                            runs[name].append(tools[name]())
            except (GaveUp, RuntimeError) as reason:
                say(f"agree: {label}: gave up: {reason}")
                break
            middle = {name: {key: statistics.median(run[key] for run in found) for key in found[0]} for name, found in runs.items()}
            rows.append({"target": label, "rate": rate, **middle})
            say(f"agree: {label}, {rate}/s: " + ", ".join(
                f"{name} {found['completed_per_s']:.0f}/s OFFER {found['offer_us']:.0f} ACK {found['ack_us']:.0f} µs" for name, found in middle.items()))
    return rows


def ours(load, rate, seconds):
    report = load.call("dora", "--rate", rate, "--seconds", seconds, "--program-time")
    return {"completed_per_s": report["completed_per_s"], "offer_us": report["offer"]["p50_us"], "ack_us": report["ack"]["p50_us"]}


@contextlib.contextmanager
def mirror(lab, delay_us):
    command = [os.environ["BENCH_LOAD"], "mirror", "--mode", "relay", "--relay-address", SERVER, "--server", RELAY,
               "--delay-us", str(delay_us), "--seconds", "600"]
    process = subprocess.Popen(lab.inside("server", command), stdout=subprocess.DEVNULL)
    try:
        Load(lab, os.environ["BENCH_OUT"]).call("first-offer", "--seconds", 20)
        yield
    finally:
        process.kill()
        process.wait()


def ceiling(lab, folder):
    """What the generator itself can do here: closed loop against the server that answers at once."""
    with mirror(lab, 0):
        report = Load(lab, folder).call("fill", 100_000)
    return {"per_s": report["completed_per_s"], "cpu_us": report["cpu_us_per_exchange"]}

"""The two load generators: ours and perfdhcp, called on the lab's host `client`."""

import contextlib
import json
import os
import re
import statistics
import subprocess

from servers import RELAY, SERVER


class Lab:
    """A server and a client on one bridge."""

    def __init__(self):
        self.lab = os.environ["BENCH_LAB"]
        self.run("bridge", "lan")
        self.run("host", "server", "lan", f"{SERVER}/12")
        self.run("host", "client", "lan", f"{RELAY}/12")
        # 100,000 MACs would fill the bridge's table of who is where. Two ports need none: what does not go back goes to the other.
        subprocess.run(["bridge", "link", "set", "dev", "client.0", "learning", "off"], check=True)

    def run(self, *words):
        subprocess.run([self.lab, *words], check=True)

    def add_twin(self, address):
        """The machine of a pair's second server. Answers to clients, whose MACs the bridge does not know, go to the client alone."""
        self.run("host", "twin", "lan", f"{address}/12")
        for port in ("server.0", "twin.0"):
            subprocess.run(["bridge", "link", "set", "dev", port, "flood", "off"], check=True)

    def inside(self, host, command):
        """The command line that runs `command` on a host, without a shell that would count into start-up times."""
        with open(os.path.join(os.environ["LAB_DIR"], host, "pid")) as file:
            pid = file.read().strip()
        return ["nsenter", "--target", pid, "--net", "--mount", "--uts", f"--wd={os.getcwd()}", "--", *command]


class Load:
    """dhcpload with one state file, so that its clients are remembered from call to call."""

    def __init__(self, lab, folder, link="relay"):
        self.lab = lab
        self.link = link
        self.state = os.path.join(folder, "clients")
        if os.path.exists(self.state):
            os.remove(self.state)

    def command(self, scenario, *arguments):
        where = {"relay": ["--mode", "relay", "--relay-address", RELAY, "--server", SERVER],
                 "direct": ["--mode", "direct", "--interface", "eth0"]}[self.link]
        return self.lab.inside("client", [os.environ["BENCH_LOAD"], scenario, *where, "--state", self.state, "--json",
                                          *map(str, arguments)])

    def call(self, scenario, *arguments):
        done = subprocess.run(self.command(scenario, *arguments), capture_output=True, text=True)
        if done.returncode == 3:
            raise SystemExit(f"bench: the server gave one address to two clients\n{done.stderr}")
        if not done.stdout.strip():
            raise RuntimeError(f"dhcpload {scenario}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    @contextlib.contextmanager
    def going_on(self, scenario, *arguments):
        """Load in the background; what is yielded waits for its end and returns its report."""
        process = subprocess.Popen(self.command(scenario, *arguments), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            yield lambda: json.loads(process.communicate()[0])
        finally:
            process.kill()
            process.wait()

    def first_offer_of_running(self, limit_s):
        subprocess.run(self.command("first-offer", "--seconds", limit_s, "--interval-ms", 200), capture_output=True, check=False)

    def first_offer(self, server, limit_s):
        """Starts `server` while a client is already asking; returns ms from exec to the first OFFER."""
        process = subprocess.Popen(self.command("first-offer", "--seconds", limit_s), stdout=subprocess.PIPE, text=True)
        started_ns = server.start()
        out, _ = process.communicate()
        if process.returncode != 0:
            return None
        return (json.loads(out)["answered_unix_ns"] - started_ns) / 1e6


def perfdhcp(lab, rate, seconds, salt):
    """One run of perfdhcp; counted from its packets, as its own rate includes the wait at the end."""
    command = [os.path.join(os.environ["BENCH_PEERS"], "perfdhcp"), "-4", "-r", str(rate), "-R", "4000000",
               "-b", f"mac=00:0c:{salt >> 8 & 255:02x}:{salt & 255:02x}:00:00", "-d", "1", "-W", "1200000", "-x", "t",
               "-p", str(seconds), "-l", RELAY, SERVER]
    done = subprocess.run(lab.inside("client", command), capture_output=True, text=True)
    parts = done.stdout.split("***Timestamps for packets: ")
    if len(parts) != 3:
        raise RuntimeError(f"perfdhcp: unexpected output\n{done.stdout[-500:]}{done.stderr[-500:]}")
    medians, counts = [], []
    for part in parts[1:]:
        times = [(float(sent), float(received))
                 for sent, received in re.findall(r"sent / received: (\S+) / (\d\S+)", part)]
        if not times:
            raise RuntimeError(f"perfdhcp: no answers at {rate}/s")
        medians.append(statistics.median(received - sent for sent, received in times) * 1e6)
        counts.append(len(times))
    return {"completed_per_s": counts[1] / seconds, "offer_us": medians[0], "ack_us": medians[1]}

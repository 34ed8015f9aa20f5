"""The pairs that are compared: two servers that act as one, their settings made alike, and their processes."""

import json
import os
import signal
import socket
import subprocess
import time

from servers import FIRST, LAST, NETWORK, SERVER, Kea, Server, Twinlease

TWIN = "10.64.0.3"
HOSTS = {"a": ("server", SERVER), "b": ("twin", TWIN)}
LINK_PORT = 8067
LISTENER_PORT = 8001
# Kea's two start, look for each other and copy what they have: minutes with many leases.
TOGETHER_LIMIT_S = 300
POLL_S = 0.05


class Pair:
    """Two nodes with the face of one server: its CPU and memory are those of both."""

    name = ""
    label = ""
    node = None

    def __init__(self, lab, folder):
        self.folder = folder
        self.nodes = [self.node(lab, os.path.join(folder, side), side) for side in HOSTS]

    def fresh(self):
        for node in self.nodes:
            node.fresh()

    def start(self):
        began_ns = [node.start() for node in self.nodes]
        return began_ns[0]

    def stop(self):
        for node in self.nodes:
            node.stop()

    def alive(self):
        return all(node.alive() for node in self.nodes)

    def last_words(self):
        return " / ".join(node.last_words() for node in self.nodes)

    def cpu_s(self):
        return sum(node.cpu_s() for node in self.nodes)

    def rss_mb(self):
        return sum(node.rss_mb() for node in self.nodes)

    def lose_second(self):
        """As by a power cut."""
        self.nodes[1].process.send_signal(signal.SIGKILL)
        self.nodes[1].process.wait()

    def is_together(self):
        return all(node.is_together() for node in self.nodes)

    def wait_until_together(self, limit_s=TOGETHER_LIMIT_S):
        """Seconds until both say that they are in contact and in sync; `None`: they do not get there."""
        began = time.monotonic()
        while not self.is_together():
            if time.monotonic() - began > limit_s or not self.alive():
                return None
            time.sleep(POLL_S)
        return time.monotonic() - began


class TwinleaseNode(Twinlease):
    mode = ""

    def __init__(self, lab, folder, side):
        super().__init__(lab, folder)
        self.host, self.address = HOSTS[side]
        self.partner = next(address for other, (_, address) in HOSTS.items() if other != side)

    def command(self):
        return super().command() + ["--pair-key-file", f"{self.folder}/pair.key", "--twin-listen", f"{self.address}:{LINK_PORT}",
                                    "--twin", f"{self.partner}:{LINK_PORT}"]

    def write_settings(self):
        super().write_settings()
        with open(f"{self.folder}/settings.toml", "a") as settings:
            settings.write(f'[twin]\nmode = "{self.mode}"\n')
        with open(f"{self.folder}/pair.key", "w") as key:
            key.write("correct horse battery staple of the bench\n")

    def is_together(self):
        command = [os.environ["BENCH_TWINLEASE"], "status", "--json", "--data", f"{self.folder}/data"]
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        try:
            node = json.loads(said)["twin"]
        except (ValueError, KeyError):
            return False
        # Under load there is always something on its way, so whether the two are level cannot be asked.
        return node is not None and node["state"] == "normal"


class TwinleaseHotStandbyNode(TwinleaseNode):
    mode = "hot-standby"


class TwinleaseLoadBalancingNode(TwinleaseNode):
    mode = "load-balancing"


class KeaNode(Kea):
    mode = ""
    second_role = ""
    threads = 1

    def __init__(self, lab, folder, side):
        super().__init__(lab, folder)
        self.host, self.address = HOSTS[side]
        self.side = side

    def environment(self):
        return super().environment() | {"KEA_CONTROL_SOCKET_DIR": f"{self.folder}/data"}

    def write_settings(self):
        super().write_settings()
        # Kea refuses a folder that others may enter.
        os.chmod(f"{self.folder}/data", 0o750)
        with open(f"{self.folder}/kea.json") as file:
            settings = json.load(file)
        hooks = subprocess.run([os.path.join(os.path.dirname(os.environ["BENCH_LAB"]), "peers"), "hooks"],
                               capture_output=True, text=True, check=True).stdout.strip()
        server = settings["Dhcp4"]
        server["multi-threading"] = {"enable-multi-threading": True, "thread-pool-size": self.threads}
        server["control-socket"] = {"socket-type": "unix", "socket-name": f"{self.folder}/data/control"}
        server["subnet4"][0]["pools"] = self.pools()
        # The delays are those of Kea's own template.
        pair = {"this-server-name": self.side, "mode": self.mode, "heartbeat-delay": 10000, "max-response-delay": 60000,
                "max-ack-delay": 5000, "max-unacked-clients": 5,
                "multi-threading": {"enable-multi-threading": True, "http-dedicated-listener": True,
                                    "http-listener-threads": self.threads, "http-client-threads": self.threads},
                "peers": [{"name": side, "url": f"http://{address}:{LISTENER_PORT}/", "auto-failover": True,
                           "role": "primary" if side == "a" else self.second_role} for side, (_, address) in HOSTS.items()]}
        server["hooks-libraries"] = [{"library": f"{hooks}/libdhcp_lease_cmds.so"},
                                     {"library": f"{hooks}/libdhcp_ha.so", "parameters": {"high-availability": [pair]}}]
        with open(f"{self.folder}/kea.json", "w") as file:
            json.dump(settings, file, indent=1)

    def pools(self):
        return [{"pool": f"{FIRST} - {LAST}"}]

    def start(self):
        # A killed one leaves its process id behind, and refuses to start where another process has it now.
        for name in ("kea.kea-dhcp4.pid", "control", "control.lock"):
            if os.path.exists(f"{self.folder}/data/{name}"):
                os.remove(f"{self.folder}/data/{name}")
        return super().start()

    def is_together(self):
        try:
            with socket.socket(socket.AF_UNIX) as door:
                door.settimeout(2)
                door.connect(f"{self.folder}/data/control")
                door.sendall(b'{"command": "ha-heartbeat"}')
                answer = b""
                while part := door.recv(65536):
                    answer += part
            return json.loads(answer)["arguments"]["state"] == self.mode
        except (OSError, ValueError, KeyError):
            return False


class KeaHotStandbyNode(KeaNode):
    mode, second_role, threads = "hot-standby", "standby", 1


class KeaLoadBalancingNode(KeaNode):
    mode, second_role, threads = "load-balancing", "secondary", 2

    def pools(self):
        return [{"pool": f"{FIRST} - 10.71.255.255", "client-class": "HA_a"}, {"pool": f"10.72.0.0 - {LAST}", "client-class": "HA_b"}]


class TwinleasePair(Pair):
    name, label, node = "twins", "twinlease pair, hot-standby", TwinleaseHotStandbyNode


class TwinleaseBalancedPair(Pair):
    name, label, node = "twins-lb", "twinlease pair, load-balancing", TwinleaseLoadBalancingNode


class KeaPair(Pair):
    name, label, node = "kea-hs", "Kea pair, hot-standby, 1 thread", KeaHotStandbyNode


class KeaBalancedPair(Pair):
    name, label, node = "kea-lb", "Kea pair, load-balancing, 2 threads", KeaLoadBalancingNode


PAIRS = {pair.name: pair for pair in (TwinleasePair, TwinleaseBalancedPair, KeaPair, KeaBalancedPair)}


def contestants(lab, folder, names):
    """What is compared in the pairs' part, by name: our single node beside the pairs."""
    kinds = {"twinlease": Twinlease} | PAIRS
    return {name: kinds[name](lab, os.path.join(folder, f"pair-{name}")) for name in names}

"""The servers that are compared: their settings, made alike, and their processes."""

import json
import os
import shutil
import signal
import subprocess
import time

SERVER = "10.64.0.1"
RELAY = "10.64.0.2"
NETWORK = "10.64.0.0/12"
FIRST, LAST = "10.64.1.0", "10.79.255.254"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Kea and dnsmasq of Debian run as they are; a server that has not answered by then has failed.
START_LIMIT_S = 400


class Server:
    """One server process on a host of the lab, with its data in a folder of its own."""

    host = "server"
    name = ""
    label = ""

    def __init__(self, lab, folder):
        self.lab = lab
        self.folder = folder
        self.process = None

    def command(self):
        raise NotImplementedError

    def environment(self):
        return {}

    def fresh(self):
        """Forgets everything that an earlier round wrote."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(os.path.join(self.folder, "data"))
        self.write_settings()

    def write_settings(self):
        raise NotImplementedError

    def start(self):
        """Starts the process; returns the wall clock just before."""
        log = open(os.path.join(self.folder, "log"), "ab")
        environment = dict(os.environ, **self.environment())
        before_ns = time.time_ns()
        self.process = subprocess.Popen(self.lab.inside(self.host, self.command()), stdin=subprocess.DEVNULL,
                                        stdout=log, stderr=log, env=environment)
        return before_ns

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def last_words(self):
        with open(os.path.join(self.folder, "log"), "rb") as log:
            return log.read()[-600:].decode(errors="replace").strip()

    def cpu_s(self):
        """User and system time of the whole process so far."""
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def rss_mb(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) / 1024
        return None


class Twinlease(Server):
    name = "twinlease"
    label = "twinlease"

    def command(self):
        return [os.environ["BENCH_TWINLEASE"], "run", "--data", f"{self.folder}/data", "--settings", f"{self.folder}/settings.toml",
                "--web-listen", "off", "--web-tls-listen", "off"]

    def environment(self):
        # As quiet as the others: warnings only.
        return {"RUST_LOG": "warn"}

    def write_settings(self):
        with open(f"{self.folder}/settings.toml", "w") as settings:
            settings.write(f"""[server]
probe = false
[lease]
default = "1h"
[[subnet]]
network = "{NETWORK}"
[[subnet.pool]]
range = "{FIRST}-{LAST}"
[subnet.options]
router = ["{SERVER}"]
dns = ["{SERVER}"]
""")


class Kea(Server):
    name = "kea"
    label = "Kea memfile, 1 thread"

    def command(self):
        return [os.path.join(os.environ["BENCH_PEERS"], "kea-dhcp4"), "-c", f"{self.folder}/kea.json"]

    def environment(self):
        run = f"{self.folder}/data"
        return {"KEA_LOCKFILE_DIR": run, "KEA_PIDFILE_DIR": run, "KEA_DHCP_DATA_DIR": run, "KEA_LOG_FILE_DIR": run}

    def write_settings(self):
        settings = {"Dhcp4": {
            "interfaces-config": {"interfaces": ["eth0"], "dhcp-socket-type": "raw"},
            # Written for every lease, not synced. The clean-up of the file is off: it would run in the middle of some rounds.
            "lease-database": {"type": "memfile", "persist": True, "name": f"{self.folder}/data/leases.csv", "lfc-interval": 0},
            "multi-threading": {"enable-multi-threading": False},
            "valid-lifetime": 3600,
            "subnet4": [{
                "id": 1,
                "subnet": NETWORK,
                "pools": [{"pool": f"{FIRST} - {LAST}"}],
                "option-data": [{"name": "routers", "data": SERVER}, {"name": "domain-name-servers", "data": SERVER}],
            }],
            "loggers": [{"name": "kea-dhcp4", "severity": "WARN", "output_options": [{"output": "stderr"}]}],
        }}
        with open(f"{self.folder}/kea.json", "w") as file:
            json.dump(settings, file, indent=1)


class Dnsmasq(Server):
    name = "dnsmasq"
    label = "dnsmasq --no-ping"

    def command(self):
        return [os.path.join(os.environ["BENCH_PEERS"], "dnsmasq"), "--keep-in-foreground", "--conf-file=/dev/null", "--port=0",
                "--no-ping", "--interface=eth0", "--bind-interfaces", "--user=root", "--group=root", "--quiet-dhcp",
                f"--pid-file={self.folder}/data/pid", f"--dhcp-leasefile={self.folder}/data/leases",
                "--dhcp-lease-max=1000000", "--log-facility=-", "--dhcp-authoritative",
                f"--dhcp-range={FIRST},{LAST},255.240.0.0,1h",
                f"--dhcp-option=3,{SERVER}", f"--dhcp-option=6,{SERVER}"]

    def write_settings(self):
        pass


ALL = {server.name: server for server in (Twinlease, Kea, Dnsmasq)}

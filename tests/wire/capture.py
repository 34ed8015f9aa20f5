"""What really was on the cable: frames from AF_PACKET, taken apart by hand so that no library hides a mistake."""

import ctypes
import os
import socket
import struct
import threading
import time

ETH_P_ALL = 3
PACKET_OUTGOING = 4


def socket_on(host):
    """A raw socket on eth0 of a host of the lab."""
    made = []

    def work():
        with open(f"/run/netns/{host}") as network:
            if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), 0) != 0:
                raise OSError(ctypes.get_errno(), f"setns {host}")
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        raw.bind(("eth0", 0))
        made.append(raw)

    # setns moves only the calling thread.
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return made[0]


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def read_options(field):
    """[(code, value)] in the order of the wire, and what follows END."""
    options = []
    at = 0
    while at < len(field):
        code = field[at]
        if code == 0:
            at += 1
        elif code == 255:
            return options, field[at + 1 :]
        else:
            length = field[at + 1]
            assert at + 2 + length <= len(field), f"option {code} runs past its field"
            options.append((code, field[at + 2 : at + 2 + length]))
            at += 2 + length
    raise AssertionError("no END option")


class Reply:
    """A server's answer. Rules that hold for every answer are judged right here."""

    def __init__(self, frame):
        self.eth_dst, self.eth_src = frame[0:6], frame[6:12]
        ip = frame[14:]
        assert ip[0] == 0x45, "IPv4 without options"
        self.ip_len = struct.unpack("!H", ip[2:4])[0]
        assert self.ip_len <= len(ip), "cut short"
        ip = ip[: self.ip_len]
        flags = struct.unpack("!H", ip[6:8])[0]
        assert flags & 0x4000 == 0, "DF is set"
        assert flags & 0x3FFF == 0, "it is a fragment"
        assert ip[8] == 64, f"TTL {ip[8]}"
        assert checksum(ip[:20]) == 0xFFFF, "IP checksum"
        self.ip_src, self.ip_dst = socket.inet_ntoa(ip[12:16]), socket.inet_ntoa(ip[16:20])
        udp = ip[20:]
        self.sport, self.dport, udp_len, udp_sum = struct.unpack("!HHHH", udp[:8])
        assert self.sport == 67, f"source port {self.sport}"
        assert udp_len == len(udp), "UDP length"
        assert udp_sum != 0, "no UDP checksum"
        assert checksum(ip[12:20] + struct.pack("!HH", 17, udp_len) + udp) == 0xFFFF, "UDP checksum"

        bootp = self.payload = udp[8:]
        assert len(bootp) >= 300, f"{len(bootp)} bytes, shorter than 300"
        self.op, self.htype, self.hlen, self.hops, self.xid, self.secs, self.flags = struct.unpack("!BBBBIHH", bootp[:12])
        assert (self.op, self.hops, self.secs) == (2, 0, 0), "op 2, hops 0, secs 0"
        addresses = [socket.inet_ntoa(bootp[at : at + 4]) for at in (12, 16, 20, 24)]
        self.ciaddr, self.yiaddr, self.siaddr, self.giaddr = addresses
        self.chaddr, self.sname, self.file = bootp[28:44], bootp[44:108], bootp[108:236]
        assert bootp[236:240] == bytes([99, 130, 83, 99]), "magic cookie"
        self.options, padding = read_options(bootp[240:])
        assert not any(padding), "padding is not zero"
        self.codes = [code for code, _ in self.options]
        self.kind = dict(self.options).get(53, b"\0")[0]

    def get(self, code):
        """All pieces joined (RFC 3396): options field, then file, then sname where option 52 says so."""
        pieces = list(self.options)
        overload = dict(self.options).get(52, b"\0")[0]
        if overload & 1:
            pieces += read_options(self.file)[0]
        if overload & 2:
            pieces += read_options(self.sname)[0]
        found = [value for other, value in pieces if other == code]
        return b"".join(found) if found else None


class Cable:
    """eth0 of a host: sends frames, keeps all that came in."""

    def __init__(self, host):
        self.raw = socket_on(host)
        self.mac = self.raw.getsockname()[4]

    def send(self, packet):
        self.drain()
        self.raw.send(bytes(packet))

    def drain(self):
        self.raw.setblocking(False)
        try:
            while True:
                self.raw.recv(4096)
        except BlockingIOError:
            pass

    def heard(self, secs, enough=lambda frames: False):
        """Frames that came in (not our own) for so long, or until it is enough."""
        frames = []
        deadline = time.monotonic() + secs
        while (left := deadline - time.monotonic()) > 0 and not enough(frames):
            self.raw.settimeout(left)
            try:
                frame, (_, _, direction, *_) = self.raw.recvfrom(4096)
            except TimeoutError:
                break
            if direction != PACKET_OUTGOING:
                frames.append(frame)
        return frames


def is_dhcp(frame):
    return frame[12:14] == b"\x08\x00" and frame[23] == 17 and frame[34:36] == b"\x00\x43"


def asks_for(frame, address):
    """By ARP."""
    return frame[12:14] == b"\x08\x06" and frame[38:42] == socket.inet_aton(address)

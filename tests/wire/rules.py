"""The wire rules of the server, one function each, with packets made by scapy. Run by tests/wire.rs inside the lab.

World: `server` 192.0.2.1/24, `client` without an address at first, `relay` 192.0.2.2/24, all on one bridge.
Prints one line for each rule; exit code 1 when one is broken.
"""

import logging
import subprocess
import sys
import traceback

logging.getLogger("scapy").setLevel(logging.ERROR)

from scapy.all import BOOTP, DHCP, IP, UDP, Ether, Raw  # noqa: E402

from capture import Cable, Reply, asks_for, is_dhcp  # noqa: E402

SERVER, RELAY = "192.0.2.1", "192.0.2.2"
EVERYBODY = "ff:ff:ff:ff:ff:ff"
WAIT_SECS = 2.0
SILENCE_SECS = 0.4
DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM = range(1, 9)
# As tests/wire.rs sets them.
LONG, MIDDLE, SHORT = 224, 225, 226

client = Cable("client")
relay = Cable("relay")
last_xid = 0x7000_0000


def device(number):
    return bytes([0x00, 0x16, 0, 0, 0, number])


def text(mac):
    return ":".join(f"{byte:02x}" for byte in mac)


def packet(mac, options, ip=None, ether_dst=EVERYBODY, sport=68, eth_src=None, raw_options=None, **bootp):
    """An Ethernet frame with a BOOTP request; options as scapy takes them, or raw bytes behind the cookie."""
    global last_xid
    last_xid += 1
    fields = {"chaddr": mac + bytes(10), "xid": last_xid, "hlen": 6, **bootp}
    ip = ip or IP(src="0.0.0.0", dst="255.255.255.255")
    head = Ether(src=eth_src or text(mac), dst=ether_dst) / ip / UDP(sport=sport, dport=67)
    if raw_options is not None:
        return head / BOOTP(**fields, options=bytes([99, 130, 83, 99])) / Raw(raw_options)
    return head / BOOTP(**fields, options=bytes([99, 130, 83, 99])) / DHCP(options=[*options, "end"])


def ask(frame, cable=client, secs=WAIT_SECS):
    """The answer, and all frames that came before it."""
    cable.send(frame)
    mine = lambda frames: any(is_dhcp(f) and f[46:50] == last_xid.to_bytes(4, "big") for f in frames)
    frames = cable.heard(secs, mine)
    return (Reply(frames[-1]) if mine(frames) else None), frames


def answer(frame, kind, cable=client):
    reply, _ = ask(frame, cable)
    assert reply is not None, "no answer"
    assert reply.kind == kind, f"message type {reply.kind}, not {kind}"
    return reply


def silence(frame, cable=client):
    reply, _ = ask(frame, cable, SILENCE_SECS)
    assert reply is None, f"answered with message type {reply.kind}"


def discover(mac, *options, **fields):
    return packet(mac, [("message-type", "discover"), *options], **fields)


def select(mac, address, *options, **fields):
    wanted = [("message-type", "request"), ("server_id", SERVER), ("requested_addr", address)]
    return packet(mac, [*wanted, *options], **fields)


def lease(mac):
    offer = answer(discover(mac), OFFER)
    return answer(select(mac, offer.yiaddr), ACK)


def wants(*codes):
    return ("param_req_list", list(codes))


def via_relay(mac, *options, **fields):
    ip = IP(src=RELAY, dst=SERVER)
    more = {"ip": ip, "giaddr": RELAY, "hops": 1, "sport": 67, "eth_src": text(relay.mac), "ether_dst": server_mac(), **fields}
    return discover(mac, *options, **more)


def server_mac():
    return text(Cable("server").mac)


# ---- the rules ------------------------------------------------------------------------------------------


def header_fields_are_copied_or_zero():
    reply = answer(discover(device(1), flags=0x8000, secs=77), OFFER)
    assert (reply.htype, reply.hlen, reply.xid, reply.flags) == (1, 6, last_xid, 0x8000), vars(reply)
    assert reply.chaddr == device(1) + bytes(10) and reply.ciaddr == "0.0.0.0" and reply.giaddr == "0.0.0.0"


def options_come_in_the_order_that_clients_want():
    reply = answer(discover(device(2), wants(42, 3, 15, 1, 6), ("client_id", b"\x01abc")), OFFER)
    assert reply.codes == [53, 54, 51, 58, 59, 1, 42, 3, 15, 6, 61], reply.codes
    ack = answer(select(device(2), reply.yiaddr, wants(6, 3, 1), ("client_id", b"\x01abc")), ACK)
    assert ack.codes == [53, 54, 51, 58, 59, 1, 6, 3, 61], ack.codes


def option_82_is_echoed_last():
    agent = b"\x01\x04port\x02\x03abc"
    reply = answer(via_relay(device(3), wants(1, 3, 6), ("relay_agent_information", agent)), OFFER, relay)
    assert reply.codes == [53, 54, 51, 58, 59, 1, 3, 6, 82], reply.codes
    assert reply.get(82) == agent


def option_121_comes_before_3():
    reply = answer(discover(device(4), wants(1, 3, 121)), OFFER)
    assert reply.codes[5:] == [1, 121, 3], reply.codes


def offer_and_ack_carry_the_same_options():
    offer = answer(discover(device(5)), OFFER)
    ack = answer(select(device(5), offer.yiaddr), ACK)
    assert offer.options[1:] == ack.options[1:], (offer.options, ack.options)


def a_small_reply_is_padded_to_300_bytes():
    reply = answer(discover(device(6), wants(1)), OFFER)
    assert len(reply.payload) == 300, len(reply.payload)


def without_option_57_the_payload_ends_at_548():
    reply = answer(discover(device(7), wants(1, 3, LONG, MIDDLE, SHORT)), OFFER)
    assert len(reply.payload) <= 548, len(reply.payload)
    small = answer(discover(device(7), ("max_dhcp_size", 300), wants(1, 3, LONG, MIDDLE, SHORT)), OFFER)
    assert len(small.payload) == len(reply.payload), "57 below 576 counts as 576"


def option_57_allows_more_up_to_the_mtu():
    everything = wants(1, 3, LONG, MIDDLE, SHORT, 227, 228, 229, 230)
    reply = answer(discover(device(8), ("max_dhcp_size", 1000), everything), OFFER)
    assert 700 < reply.ip_len <= 1000, reply.ip_len
    reply = answer(discover(device(8), ("max_dhcp_size", 65535), everything), OFFER)
    assert 1000 < reply.ip_len <= 1500, reply.ip_len


def a_long_option_is_split():
    # No setting is longer than 255 bytes, but the client-id that is echoed may be.
    pieces = b"\x35\x01\x01\x37\x01\x01" + b"\x3d\xff" + b"i" * 255 + b"\x3d\x2d" + b"i" * 45 + b"\xff"
    reply = answer(packet(device(9), [], raw_options=b"\x39\x02\x05\x00" + pieces), OFFER)
    assert reply.codes[-2:] == [61, 61] and reply.get(61) == b"i" * 300, reply.options
    assert [len(value) for code, value in reply.options if code == 61] == [255, 45]
    assert 52 not in reply.codes, "it fits without overload"


def what_does_not_fit_overloads_file_then_sname():
    reply = answer(discover(device(10), wants(1, LONG, MIDDLE, SHORT)), OFFER)
    assert reply.get(52) == b"\x03", reply.options
    assert reply.get(LONG) == b"L" * 250 and reply.get(MIDDLE) == b"M" * 100 and reply.get(SHORT) == b"S" * 50
    assert reply.file[:2] == bytes([MIDDLE, 100]), "file first"
    assert reply.sname[:2] == bytes([SHORT, 50]), "sname last"


def option_82_stays_out_of_file_and_sname():
    agent = b"\x01\x20" + b"p" * 32
    full = ("relay_agent_information", agent)
    reply = answer(via_relay(device(11), wants(1, LONG, MIDDLE, SHORT), full), OFFER, relay)
    assert reply.options[-1] == (82, agent), reply.codes


def a_client_without_an_address_is_answered_in_a_frame_and_without_arp():
    reply, frames = ask(discover(device(12)))
    assert reply.eth_dst == device(12), reply.eth_dst
    assert reply.ip_dst == reply.yiaddr and reply.dport == 68 and reply.ip_src == SERVER
    assert not any(asks_for(frame, reply.yiaddr) for frame in frames), "ARP before the answer"
    ack, frames = ask(select(device(12), reply.yiaddr))
    assert (ack.kind, ack.eth_dst, ack.ip_dst) == (ACK, device(12), reply.yiaddr)
    assert not any(asks_for(frame, reply.yiaddr) for frame in frames), "ARP before the answer"


def the_b_flag_is_answered_by_broadcast():
    reply = answer(discover(device(13), flags=0x8000), OFFER)
    assert (reply.eth_dst, reply.ip_dst, reply.dport) == (b"\xff" * 6, "255.255.255.255", 68)


def a_renewal_is_answered_by_unicast_to_ciaddr():
    held = lease(client.mac).yiaddr
    address = ["ip", "-n", "client", "address"]
    subprocess.run([*address, "replace", f"{held}/24", "dev", "eth0"], check=True)
    try:
        # The B flag does not matter here (RFC 2131 §4.1).
        fields = {"ciaddr": held, "flags": 0x8000, "ip": IP(src=held, dst=SERVER), "ether_dst": server_mac()}
        ack = answer(packet(client.mac, [("message-type", "request")], **fields), ACK)
        assert (ack.eth_dst, ack.ip_dst, ack.dport) == (client.mac, held, 68)
        assert (ack.ciaddr, ack.yiaddr) == (held, held)
        inform(held)
    finally:
        subprocess.run([*address, "flush", "dev", "eth0"], check=True)


def inform(held):
    fields = {"ciaddr": held, "ip": IP(src=held, dst=SERVER), "ether_dst": server_mac()}
    ack = answer(packet(client.mac, [("message-type", "inform"), wants(1, 3, 6)], **fields), ACK)
    assert (ack.eth_dst, ack.ip_dst, ack.dport, ack.yiaddr) == (client.mac, held, 68, "0.0.0.0")
    assert ack.codes == [53, 54, 1, 3, 6], ack.codes


def a_relayed_client_is_answered_to_its_relay():
    reply = answer(via_relay(device(14)), OFFER, relay)
    assert (reply.eth_dst, reply.ip_dst, reply.dport, reply.giaddr) == (relay.mac, RELAY, 67, RELAY)
    fields = {"ip": IP(src=RELAY, dst=SERVER), "giaddr": RELAY, "sport": 67, "ether_dst": server_mac()}
    nak = answer(select(device(14), "203.0.113.9", **fields), NAK, relay)
    assert (nak.ip_dst, nak.dport, nak.flags & 0x8000) == (RELAY, 67, 0x8000), "a NAK sets the B flag"


def a_nak_carries_nothing_but_the_reason():
    nak = answer(select(device(15), "203.0.113.9", wants(1, 3, 6), ("client_id", b"\x00me")), NAK)
    assert nak.codes == [53, 54, 56, 61], nak.codes
    assert {nak.ciaddr, nak.yiaddr, nak.siaddr, nak.giaddr} == {"0.0.0.0"}
    assert not any(nak.sname) and not any(nak.file)
    assert (nak.eth_dst, nak.ip_dst, nak.dport) == (b"\xff" * 6, "255.255.255.255", 68)


def hlen_above_16_is_silence():
    for hlen in (17, 64, 255):
        silence(discover(device(16), hlen=hlen))
    answer(discover(device(16)), OFFER)


def a_truncated_option_costs_itself_only():
    # 53, 61 and a host name that claims more bytes than there are.
    reply = answer(packet(device(17), [], raw_options=b"\x35\x01\x01\x3d\x04\x01abc\x0c\x40short"), OFFER)
    assert reply.get(61) == b"\x01abc"
    # Its length byte is missing.
    answer(packet(device(18), [], raw_options=b"\x35\x01\x01\x0c"), OFFER)
    # Cut inside the cookie: no DHCP any more.
    silence(Ether(bytes(discover(device(18)))[: 14 + 20 + 8 + 238]))


def options_in_file_and_sname_are_read():
    # 52 = 3: the list in `file`, the client-id in `sname`, the type where it belongs.
    fields = {"file": b"\x37\x02\x01\x06\xff", "sname": b"\x3d\x03\x00xy\xff"}
    reply = answer(packet(device(19), [], raw_options=b"\x34\x01\x03\x35\x01\x01\xff", **fields), OFFER)
    assert reply.codes == [53, 54, 51, 58, 59, 1, 6, 61], reply.codes
    assert reply.get(61) == b"\x00xy"


def repeated_options_are_joined():
    halves = b"\x35\x01\x01\x37\x01\x01\x3d\x02\x00a\x37\x01\x06\x3d\x02bc\xff"
    reply = answer(packet(device(20), [], raw_options=halves), OFFER)
    assert reply.get(61) == b"\x00abc" and reply.codes[5:7] == [1, 6], reply.options


def option_82_from_the_client_itself_is_not_trusted():
    # Link selection (5) and server identifier (11) would move it to another network and server.
    agent = b"\x05\x04\xc6\x33\x64\x00\x0b\x04\xcb\x00\x71\x01"
    reply = answer(discover(device(21), ("relay_agent_information", agent)), OFFER)
    assert reply.yiaddr.startswith("192.0.2.") and reply.get(54) == b"\xc0\x00\x02\x01", vars(reply)


def bootp_is_answered_in_64_bytes_of_options_and_without_dhcp():
    reply = answer(packet(device(99), [], raw_options=b"\xff"), 0)
    assert len(reply.payload) == 300 and reply.yiaddr == "192.0.2.99"
    assert not {51, 52, 53, 54, 58, 59} & set(reply.codes), reply.codes


def release_and_decline_are_not_answered():
    held = lease(device(22)).yiaddr
    fields = {"ciaddr": held, "ip": IP(src=held, dst=SERVER), "ether_dst": server_mac()}
    silence(packet(device(22), [("message-type", "release"), ("server_id", SERVER)], **fields))
    held = lease(device(22)).yiaddr
    silence(packet(device(22), [("message-type", "decline"), ("server_id", SERVER), ("requested_addr", held)]))
    assert lease(device(22)).yiaddr != held, "a declined address rests"


def replies_and_foreign_servers_are_ignored():
    silence(discover(device(23), op=2))
    silence(packet(device(23), [("message-type", "offer")]))
    chosen = [("message-type", "request"), ("server_id", "203.0.113.1"), ("requested_addr", "192.0.2.50")]
    silence(packet(device(23), chosen))


def a_device_that_hears_broadcasts_only_gets_broadcasts():
    reply = answer(discover(device(98)), OFFER)
    assert (reply.eth_dst, reply.ip_dst, reply.yiaddr) == (b"\xff" * 6, "255.255.255.255", "192.0.2.98")
    assert reply.flags == 0, "the flag is copied all the same"


RULES = [rule for rule in list(globals().values()) if getattr(rule, "__module__", "") == "__main__" and callable(rule)]
HELPERS = {device, text, packet, ask, answer, silence, discover, select, lease, wants, via_relay, server_mac, inform}

failed = 0
for rule in RULES:
    if rule in HELPERS:
        continue
    try:
        rule()
        print(f"ok      {rule.__name__}")
    except Exception:
        failed += 1
        print(f"BROKEN  {rule.__name__}\n{traceback.format_exc(limit=-2)}")
sys.exit(1 if failed else 0)

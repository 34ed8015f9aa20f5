"""A visitor of the dashboard, on the lab's host `client`: signs in, then loads pages one by one, at a rate, or keeps them open.

    visitor.py ADDRESS pages LOADS | rate PATH RATE SECONDS | open PAGE COUNT

Prints one JSON object. `open` prints it when all are open, and keeps them so until its input ends. Standard library only."""

import http.client
import json
import math
import re
import socket
import sys
import threading
import time
import urllib.parse

PASSWORD = "correct horse battery"
PAGES = ("/", "/devices", "/map", "/activity", "/activity/changes", "/twins", "/settings")
CONNECTIONS = 16
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


def connect(address):
    return http.client.HTTPConnection(address, 80, timeout=30)


def sign_in(address):
    """The cookie; the first visitor sets the password."""
    for path, fields in (("/claim", ("password", "again")), ("/sign-in", ("password",))):
        connection = connect(address)
        body = urllib.parse.urlencode({name: PASSWORD for name in fields})
        connection.request("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"http://{address}"})
        answer = connection.getresponse()
        answer.read()
        cookie = answer.getheader("Set-Cookie")
        if answer.status == 303 and cookie:
            return {"Cookie": cookie.split(";")[0], "Accept": "text/html"}
    raise SystemExit(f"visitor: {path} answers {answer.status}")


class Pages:
    """Loads one page after the other on one connection. http.client takes more of a processor for a page than the server does, and at a
    rate its own waiting would be measured."""

    def __init__(self, address, headers):
        self.socket = socket.create_connection((address, 80), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.headers = "".join(f"{name}: {value}\r\n" for name, value in ({"Host": address} | headers).items())

    def load(self, path):
        """Its size."""
        self.socket.sendall(f"GET {path} HTTP/1.1\r\n{self.headers}\r\n".encode())
        came = self.more(path)
        while (head := came.find(b"\r\n\r\n") + 4) < 4:
            came += self.more(path)
        if not came.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(f"visitor: {path} answers {came[:80]!r}")
        length = LENGTH.search(came, 0, head)
        if not length:
            raise SystemExit(f"visitor: {path} does not say how long it is")
        size = int(length[1])
        left = head + size - len(came)
        while left > 0:
            left -= len(self.more(path))
        return size

    def more(self, path):
        came = self.socket.recv(262144)
        if not came:
            raise SystemExit(f"visitor: {path} breaks off")
        return came


def quantile(values, share):
    """The smallest value that so many are not above."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def figures(waits_s):
    return {"loads": len(waits_s), "p50_ms": quantile(waits_s, 0.5) * 1e3, "p99_ms": quantile(waits_s, 0.99) * 1e3,
            "worst_ms": max(waits_s) * 1e3}


def pages(address, headers, loads):
    connection = Pages(address, headers)
    found = {}
    for path in PAGES:
        waits_s = []
        for _ in range(loads):
            began = time.perf_counter()
            size = connection.load(path)
            waits_s.append(time.perf_counter() - began)
        found[path] = figures(waits_s) | {"bytes": size}
    return found


def rate(address, headers, path, per_s, seconds):
    """Each load is due at a moment of its own, whatever became of the others, and its wait counts from there."""
    begin = time.perf_counter() + 0.2
    waits_s, guard = [], threading.Lock()

    def work(first):
        connection, own = Pages(address, headers), []
        for number in range(first, per_s * seconds, CONNECTIONS):
            due = begin + number / per_s
            time.sleep(max(0.0, due - time.perf_counter()))
            connection.load(path)
            own.append(time.perf_counter() - due)
        with guard:
            waits_s.extend(own)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s = time.perf_counter() - begin
    return figures(waits_s) | {"done_per_s": len(waits_s) / took_s}


def keep_open(address, headers, page, count):
    streams = []
    for _ in range(count):
        connection = connect(address)
        connection.request("GET", f"/live?live={page.strip('/')}&at={urllib.parse.quote(page)}",
                           headers=headers | {"Accept": "text/event-stream"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise SystemExit(f"visitor: the stream of {page} answers {answer.status}")
        streams.append(answer)

    def listen(answer):
        while answer.read1(65536):
            pass

    for answer in streams:
        threading.Thread(target=listen, args=(answer,), daemon=True).start()
    print(json.dumps({"open": len(streams)}), flush=True)
    sys.stdin.read()


def main():
    address, what, *words = sys.argv[1:]
    headers = sign_in(address)
    if what == "open":
        keep_open(address, headers, words[0], int(words[1]))
        return
    found = pages(address, headers, int(words[0])) if what == "pages" else rate(address, headers, words[0], int(words[1]), int(words[2]))
    print(json.dumps(found))


if __name__ == "__main__":
    main()

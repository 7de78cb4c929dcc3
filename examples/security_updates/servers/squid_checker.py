# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Requests to squid whose answers are known, and the faults that its patches mend."""

import hashlib
import re
import socket
import struct

from checker import expect
from http_client import HttpChecker, HttpClient
from servers.squid_origin import FtpOrigin, content

KEPT = [0, 1, 100, 5000, 100000]
LANGUAGES = ["el", "en", "de"]
ICP_QUERY, ICP_HIT, ICP_MISS, ICP_ERR = 1, 2, 3, 4


class SquidChecker(HttpChecker):
    """What is kept and what is not, in memory and on disk; errors; tunnels; FTP; ICP and SNMP; the cache manager."""

    def __init__(self, port, origin, ports):
        super().__init__(port)
        self.origin = f"http://127.0.0.1:{origin.port}"
        self.ftp = f"ftp://127.0.0.1:{origin.ftp_port}"
        self.host = f"127.0.0.1:{origin.port}"
        self.ports = ports
        self.steps = [self.kept, self.kept, self.new, self.ranges, self.again, self.not_modified, self.by_language, self.head,
                      self.sent, self.sent_in_pieces, self.pieces, self.statuses, self.denied, self.hidden, self.tunnel, self.wrong,
                      self.manager, self.guarded, self.file, self.folder, self.icp, self.snmp]

    def kept(self):
        size = self.random.choice(KEPT)
        self.expect(200, content(size), "GET", f"{self.origin}/kept/{size}")

    def new(self):
        path = f"/new/{self.random.random()}"
        self.expect(200, path.encode(), "GET", self.origin + path)

    def ranges(self):
        size = self.random.choice([5000, 100000])
        first = self.random.randrange(4000)
        self.expect(200, content(size), "GET", f"{self.origin}/kept/{size}")
        self.expect(206, content(size)[first:first + 100], "GET", f"{self.origin}/kept/{size}", Range=f"bytes={first}-{first + 99}")

    def again(self):
        size = self.random.choice(KEPT)
        self.expect(200, content(size), "GET", f"{self.origin}/again/{size}")

    def not_modified(self):
        size = self.random.choice(KEPT)
        self.expect(200, content(size), "GET", f"{self.origin}/kept/{size}")
        self.expect(304, b"", "GET", f"{self.origin}/kept/{size}", If_None_Match=f'"{size}"')

    def by_language(self):
        language = self.random.choice(LANGUAGES)
        self.expect(200, f"a in {language}".encode(), "GET", f"{self.origin}/by_language/a", Accept_Language=language)

    def head(self):
        size = self.random.choice(KEPT)
        seen = self.expect(200, b"", "HEAD", f"{self.origin}/kept/{size}")
        expect(seen["content-length"], str(size), "HEAD")

    def sent(self):
        body = b"%f" % self.random.random() * self.random.choice([1, 1000])
        self.expect(200, body, "POST", self.origin + "/new/x", body)

    def sent_in_pieces(self):
        body = b"%f" % self.random.random() * self.random.choice([1, 1000])
        half = len(body) // 2
        self.client.socket.sendall(in_pieces(self.origin + "/new/x", [body[:half], body[half:]]))
        code, _, answer = self.client.answer("POST")
        expect((code, answer), (200, body), "POST in pieces")

    def pieces(self):
        size = self.random.choice(KEPT[1:])
        self.expect(200, content(size), "GET", f"{self.origin}/pieces/{size}")

    def statuses(self):
        code = self.random.choice([404, 410, 500, 503])
        self.expect(code, b"status %d" % code, "GET", f"{self.origin}/status/{code}")

    def denied(self):
        self.expect(403, None, "GET", "http://192.0.2.1/x")

    def hidden(self):
        by = ["203.0.113.8", "203.0.113.9"]
        self.expect(200, b"/new/x", "GET", self.origin + "/new/x", X_Forwarded_For=", ".join([by[0]] * 5))
        self.expect(403, None, "GET", self.origin + "/new/x", X_Forwarded_For=", ".join([by[1]] + [by[0]] * 5))

    def tunnel(self):
        client = HttpClient(self.port)
        expect(client.ask("CONNECT", self.host)[0], 200, "CONNECT")
        path = f"/new/{self.random.random()}"
        expect(client.ask("GET", path)[2], path.encode(), "through a tunnel")
        client.close()

    def wrong(self):
        self.client.socket.sendall(b"GET http://[/ HTTP/1.1\r\n\r\n")
        expect(self.client.answer()[0], 400, "no URL")
        self.connect()

    def manager(self):
        code, _, body = self.client.ask("GET", "cache_object://127.0.0.1/info")
        expect((code, b"Squid Object Cache: Version" in body), (200, True), "the cache manager")
        self.connect()
        expect(self.client.ask("GET", "cache_object://127.0.0.1/nonsense")[0], 404, "the cache manager, of nothing")
        self.connect()

    def guarded(self):
        path = f"{self.origin}/guarded/{self.random.random()}"
        code, seen, _ = self.client.ask("GET", path)
        expect(code, 407, "without a password")
        if seen.get("connection") == "close":
            self.connect()
        password = self.random.choice(["secret", "wrong"])
        said = answer_to(seen["proxy-authenticate"], path, password)
        self.expect(200 if password == "secret" else 407, None, "GET", path, Proxy_Authorization=said)

    def file(self):
        size = self.random.choice(FtpOrigin.SIZES)
        self.expect(200, content(size), "GET", f"{self.ftp}/{size}.bin")

    def folder(self):
        code, seen, body = self.client.ask("GET", self.ftp + "/")
        names = re.findall(r'HREF="([^"/]*\.bin)"', body.decode("latin-1"), re.IGNORECASE)
        expect((code, sorted(set(names))), (200, sorted([f"{size}.bin" for size in FtpOrigin.SIZES] + ["dos.bin"])), "FTP, a folder")
        if seen.get("connection") == "close":
            self.connect()

    def icp(self):
        self.expect(200, content(100), "GET", f"{self.origin}/kept/100")
        expect(ask_icp(self.ports["icp"], f"{self.origin}/kept/100")[0], ICP_HIT, "ICP")
        expect(ask_icp(self.ports["icp"], f"{self.origin}/never/100")[0], ICP_MISS, "ICP of what is not there")

    def snmp(self):
        number = self.random.randrange(1 << 16, 1 << 22)
        # cacheAdmin
        answer = ask_udp("127.0.0.1", self.ports["snmp"], snmp_question(number, (1, 3, 6, 1, 4, 1, 3495, 1, 2, 1, 0)))
        expect((number.to_bytes(3, "big") in answer, b"check@squid.test" in answer), (True, True), "SNMP")


def in_pieces(url, pieces, size=b"%x"):
    """A POST of these chunks."""
    return (f"POST {url} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode() +
            b"".join(size % len(piece) + b"\r\n" + piece + b"\r\n" for piece in pieces) + b"0\r\n\r\n")


def answer_to(asked, url, password):
    """What a client with that password says to a Proxy-Authenticate."""
    nonce = re.search(r'nonce="([^"]*)"', asked)[1]

    def digest(text):
        return hashlib.md5(text.encode()).hexdigest()

    response = digest(f"{digest('check:squid:' + password)}:{nonce}:00000001:abc:auth:{digest('GET:' + url)}")
    return (f'Digest username="check", realm="squid", nonce="{nonce}", uri="{url}", qop=auth, nc=00000001, cnonce="abc", '
            f'response="{response}"')


def ask_udp(address, port, packet):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(20)
        client.connect((address, port))
        client.send(packet)
        return client.recv(65536)


def ask_icp(port, url, behind=b""):
    """The operation code and the URL of the answer. RFC 2186."""
    payload = bytes(4) + url.encode() + b"\0" + behind
    # squid takes what comes from its own address as sent by itself.
    answer = ask_udp("127.0.0.2", port, struct.pack(">BBHIIII", ICP_QUERY, 2, 20 + len(payload), 1, 0, 0, 0) + payload)
    return answer[0], answer[20:].split(b"\0")[0].decode()


def snmp_question(number, name):
    """A GetRequest of version 1, in BER."""
    def field(kind, data):
        assert len(data) < 128
        return bytes([kind, len(data)]) + data

    encoded = bytes([name[0] * 40 + name[1]])
    for part in name[2:]:
        encoded += bytes([0x80 | part >> 7, part & 0x7f]) if part > 127 else bytes([part])
    variables = field(0x30, field(0x30, field(6, encoded) + field(5, b"")))
    request = field(2, number.to_bytes(3, "big")) + field(2, b"\0") + field(2, b"\0") + variables
    return field(0x30, field(2, b"\0") + field(4, b"public") + field(0xa0, request))


def faults(server):
    """{patch: whether its fault is seen}."""
    def origin():
        return f"http://127.0.0.1:{server.origin.port}"

    def ask(port, data):
        client = HttpClient(port)
        try:
            client.socket.sendall(data)
            return client.answer()
        finally:
            client.close()

    def takes_0x(port):
        try:
            return ask(port, in_pieces(origin() + "/new/x", [b"hello"], b"0x%x"))[0] == 200
        except ConnectionError:
            return False  # closed before all had been read

    def bytes_with_a_sign(port):
        return b"%FFFFFFE9" in ask(port, b"GET ftp://us%E9r@192.0.2.1/x HTTP/1.1\r\n\r\n")[2]

    def follows_any_number(port):
        by = ", ".join(["203.0.113.9"] + ["203.0.113.8"] * 70)
        return ask(port, f"GET {origin()}/new/x HTTP/1.1\r\nX-Forwarded-For: {by}\r\n\r\n".encode())[0] == 403

    def shows_passwords(port):
        return b"c2VjcmV0" in ask(port, f"TRACE {origin()}/new/x HTTP/1.1\r\nMax-Forwards: 0\r\nProxy-Authorization: "
                                        "Basic c2VjcmV0\r\nAuthorization: Basic c2VjcmV0\r\n\r\n".encode())[2]

    def tries_gopher(port):
        return b"ERR_UNSUP_REQ" not in ask(port, b"GET gopher://127.0.0.1:1/ HTTP/1.1\r\n\r\n")[1].get("x-squid-error", "").encode()

    def escapes_twice(_):
        return ask_icp(server.ports["icp"], origin() + "/a b")[1] != origin() + "/a%20b"

    def takes_garbage(_):
        return ask_icp(server.ports["icp"], origin() + "/x", b"garbage\0")[0] != ICP_ERR

    return {"CVE-2023-46846.patch": takes_0x, "CVE-2023-46848.patch": bytes_with_a_sign,
            "CVE-2023-50269.patch": follows_any_number, "CVE-2025-62168.patch": shows_passwords,
            "CVE-2023-46728.patch": tries_gopher, "CVE-2026-33526.patch": escapes_twice, "CVE-2026-33515.patch": takes_garbage}

# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""dnsmasq, a DNS and DHCP server."""

import os
import socket
import struct

from checker import PATIENCE_S, Checker, Stream, expect
from servers.dns import A, AAAA, CNAME, MX, NAME_ERROR, PTR, REFUSED, SRV, TXT, answer_to, edns, parse, query, record
from servers.dns_server import DnsServer
from sources import run


class Description(DnsServer):
    name = "dnsmasq"
    program = "src/dnsmasq"
    first = "CVE-2026-2291.patch"
    objects = "src"
    options = {"CVE-2026-2291.patch": [("--allow-type=bigname", "all that are in use get the new size")]}
    load_options = ["-Q", "4000"]
    headers = {"nettle/nettle-meta.h": "nettle-dev", "idn2.h": "libidn2-dev", "dbus-1.0/dbus/dbus.h": "libdbus-1-dev"}

    def make(self, tree, instar, log):
        environment = self.environment(instar)
        run(["make", "CC=" + environment["CC"], "CFLAGS=" + environment["CFLAGS"] + " " + environment["CPPFLAGS"],
             "LDFLAGS=" + environment["LDFLAGS"], "VERSION=-DVERSION=\"2.90\"",
             "COPTS=-DHAVE_DBUS -DHAVE_LIBIDN2 -DHAVE_DNSSEC"], cwd=tree, env=environment, log=log)

    def start(self, folder, work, port):
        # The server that it asks is the checker.
        self.upstream = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.upstream.bind(("127.0.0.1", 0))
        options = [f"--server=/far/127.0.0.1#{self.upstream.getsockname()[1]}", "--no-resolv", "--no-hosts", "--cache-size=1000",
                   "--bind-interfaces", "--listen-address=127.0.0.1", "--dns-forward-max=1000", "--local-ttl=0",
                   "--txt-record=text.near,hello", "--mx-host=near,mail.near,5", "--srv-host=_x._tcp.near,host1.near,99",
                   "--cname=alias.near,host1.near", "--pid-file=" + os.path.join(work, "pid"), "--conf-file=/dev/null",
                   "--user=root", "--address=/wild.near/10.9.9.9"]
        options += [f"--host-record=host{i}.near,10.0.0.{i},fd00::{i:x}" for i in range(1, 100)]
        with open(os.path.join(work, "queries"), "w", encoding="ascii") as file:
            file.write("".join(f"host{i}.near A\nhost{i}.near AAAA\n" for i in range(1, 100)))
        return [os.path.join(folder, self.program), "--keep-in-foreground", f"--port={port}", *options]

    def checker(self, port):
        return DnsmasqChecker(port, self.upstream)


class DnsmasqChecker(Checker):
    """What it knows, and what it asks another server for, by UDP and by TCP."""

    def __init__(self, port, upstream):
        super().__init__(port)
        self.upstream = upstream
        self.asked = 0

    def connect(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(("127.0.0.1", self.port))
        for one in (self.socket, self.upstream):
            one.settimeout(PATIENCE_S)
        self.known = {}

    def request(self):
        self.random.choice([self.hosts, self.hosts, self.others, self.missing, self.forwarded, self.over_tcp])()

    def query(self, host, kind):
        self.number = self.random.getrandbits(16)
        return query(self.number, host, kind, extension=edns() if self.random.random() < 0.5 else b"")

    def records(self, data):
        """Of an answer: the code, and the records' kinds and data."""
        answer = parse(data)
        expect((answer.number, answer.questions), (self.number, 1), "number of an answer")
        return answer.flags & 15, [(found.kind, found.data) for found in answer.answers]

    def ask(self, host, kind):
        self.socket.send(self.query(host, kind))
        return self.records(self.socket.recv(4096))

    def hosts(self):
        i = self.random.randrange(1, 100)
        expect(self.ask(f"host{i}.near", A), (0, [(A, bytes([10, 0, 0, i]))]), "A")
        expect(self.ask(f"host{i}.near", AAAA), (0, [(AAAA, b"\xfd" + b"\0" * 14 + bytes([i]))]), "AAAA")
        code, found = self.ask(f"{i}.0.0.10.in-addr.arpa", PTR)
        expect((code, found[0][1][:len(str(i)) + 5]), (0, bytes([4 + len(str(i))]) + b"host%d" % i), "PTR")

    def others(self):
        expect(self.ask("text.near", TXT), (0, [(TXT, b"\x05hello")]), "TXT")
        expect(self.ask(f"a{self.random.random()}.wild.near", A), (0, [(A, bytes([10, 9, 9, 9]))]), "a wild card")
        code, found = self.ask("near", MX)
        expect((code, found[0][0], found[0][1][:7]), (0, MX, b"\0\x05\x04mail"), "MX")
        code, found = self.ask("_x._tcp.near", SRV)
        expect((code, found[0][0], found[0][1][4:6]), (0, SRV, struct.pack(">H", 99)), "SRV")
        code, found = self.ask("alias.near", A)
        expect((code, [kind for kind, _ in found], found[1][1]), (0, [CNAME, A], bytes([10, 0, 0, 1])), "CNAME")

    def missing(self):
        code, found = self.ask(f"x{self.random.random()}.nowhere", A)
        expect((code in (NAME_ERROR, REFUSED), found), (True, []), "a name that is not there")

    def forwarded(self):
        # A new name is asked for; one of the last hundred is kept, and is not.
        if self.known and self.random.random() < 0.5:
            host = self.random.choice(list(self.known))
            expect(self.ask(host, A), (0, [(A, self.known[host])]), host)
            return
        self.asked += 1
        # Long ones are kept elsewhere, a tenth of all at most.
        host = f"H{self.asked}.{'long' * 12 + '.' if self.random.random() < 0.05 else ''}far"
        self.socket.send(self.query(host, A))
        asked, asker = self.upstream.recvfrom(4096)
        address = bytes(self.random.randrange(1, 255) for _ in range(4))
        self.upstream.sendto(answer_to(asked, [record(A, address)]), asker)
        expect(self.records(self.socket.recv(4096)), (0, [(A, address)]), host)
        self.known[host] = address
        if len(self.known) > 100:
            del self.known[next(iter(self.known))]

    def over_tcp(self):
        i = self.random.randrange(1, 100)
        stream = Stream(self.port)
        asked = self.query(f"host{i}.near", A)
        stream.send(struct.pack(">H", len(asked)) + asked)
        size = struct.unpack(">H", stream.read(2))[0]
        expect(self.records(stream.read(size)), (0, [(A, bytes([10, 0, 0, i]))]), "TCP")
        stream.close()

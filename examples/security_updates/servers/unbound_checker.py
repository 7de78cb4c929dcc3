# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""What unbound is asked, and what it asks; and whether the faults that patches mend are there."""

import random
import select
import socket
import struct
import time

from checker import PATIENCE_S, Checker, Stream, Wrong, expect
from servers.dns import (A, AAAA, AUTHENTIC, CLIENT_SUBNET, CNAME, MX, NAME_ERROR, NS, PTR, RECURSE, SERVER_FAILURE, TXT, answer_to, edns,
                         name, name_at, option, parse, query, record)


def client_subnet(network):
    """An EDNS option: the client's address is 10.9.`network`.0/24."""
    return struct.pack(">2H2H2B", CLIENT_SUBNET, 7, 1, 24 << 8, 10, 9) + bytes([network])


class UnboundChecker(Checker):
    """What it knows, what is signed, and what it asks another server for; by UDP and by TCP, from several sockets: each thread has
    some of them."""

    def __init__(self, port, upstream, control):
        super().__init__(port)
        self.upstream = upstream
        self.control = control
        self.asked = 0

    def connect(self):
        self.sockets = []
        for _ in range(6):
            self.sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            self.sockets[-1].connect(("127.0.0.1", self.port))
        for one in [*self.sockets, self.upstream]:
            one.settimeout(PATIENCE_S)
        self.known = {}
        self.nets = {}

    def request(self):
        self.socket = self.random.choice(self.sockets)
        self.random.choice([self.hosts, self.others, self.signed, self.signed, self.denied, self.forged, self.forwarded, self.forwarded,
                            self.referred, self.subnet, self.over_tcp, self.controlled])()

    def query(self, host, kind, extension=b"", flags=RECURSE):
        self.number = self.random.getrandbits(16)
        return query(self.number, host, kind, flags, extension)

    def served(self, answers):
        """The answer; meanwhile, what the server asks is answered by these, name -> function(message) -> bytes, also again: when an
        answer takes long it asks once more."""
        while True:
            ready, _, _ = select.select([self.socket, self.upstream], [], [], PATIENCE_S)
            if not ready:
                raise TimeoutError("no answer to " + " or ".join(answers))
            if self.upstream not in ready:
                return self.answer()
            message, asker = self.upstream.recvfrom(4096)
            answer = answers.get(name_at(message, 12))
            if answer:
                self.upstream.sendto(answer(message), asker)

    def answer(self):
        answer = parse(self.socket.recv(4096))
        expect((answer.number, answer.questions), (self.number, 1), "number of an answer")
        return answer

    def ask(self, host, kind, extension=b""):
        """The code, and the records' kinds and data."""
        self.socket.send(self.query(host, kind, extension))
        return of(self.answer())

    def hosts(self):
        i = self.random.randrange(1, 100)
        extension = self.random.choice([b"", edns(), edns(dnssec=True)])
        expect(self.ask(f"host{i}.near", A, extension), (0, [(A, bytes([10, 0, 0, i]))]), "A")
        expect(self.ask(f"host{i}.near", AAAA, extension), (0, [(AAAA, b"\xfd" + b"\0" * 14 + bytes([i]))]), "AAAA")
        self.socket.send(self.query(f"{i}.0.0.10.in-addr.arpa", PTR))
        data = self.socket.recv(4096)
        found = parse(data)
        expect([name_at(data, one.at) for one in found.answers], [f"host{i}.near"], "PTR")

    def others(self):
        expect(self.ask("text.near", TXT), (0, [(TXT, b"\x05hello")]), "TXT")
        expect(self.ask("alias.near", CNAME)[1][0][0], CNAME, "CNAME")
        code, found = self.ask("near", MX)
        expect((code, found[0][0], found[0][1][:7]), (0, MX, b"\0\x05\x04mail"), "MX")
        expect(self.ask(f"x{self.random.random()}.near", A), (NAME_ERROR, []), "a name that is not there")
        expect(self.ask(f"x{self.random.random()}.nowhere", A), (NAME_ERROR, []), "a name that is nowhere")

    def proved(self, host, kind):
        """The answer, which has to say that it was proved to be right."""
        self.socket.send(self.query(host, kind, edns(dnssec=True)))
        answer = self.answer()
        expect(bool(answer.flags & AUTHENTIC), True, f"{host} is signed")
        return answer.flags & 15, [(one.kind, one.data) for one in answer.answers if one.kind == kind]

    def signed(self):
        i = self.random.randrange(1, 21)
        expect(self.proved(f"host{i}.signed", A), (0, [(A, bytes([10, 1, 0, i]))]), "signed")
        # A new name each time: it has to be proved that there is no other.
        expect(self.proved(f"x{self.random.random()}.wild.signed", A), (0, [(A, bytes([10, 1, 9, 9]))]), "a signed wild card")
        expect(self.proved("text.signed", TXT), (0, [(TXT, b"\x05hello")]), "signed TXT")
        expect(self.proved("alias.signed", A), (0, [(A, bytes([10, 1, 0, 1]))]), "a signed CNAME")

    def denied(self):
        expect(self.proved(f"x{self.random.random()}.signed", A), (NAME_ERROR, []), "a signed name that is not there")
        expect(self.proved(f"host{self.random.randrange(1, 21)}.signed", MX), (0, []), "a signed name without that kind")

    def forged(self):
        expect(self.ask(f"host{self.random.randrange(1, 21)}.forged", A), (SERVER_FAILURE, []), "a forged answer")
        expect(self.ask(f"x{self.random.random()}.wild.forged", A), (0, [(A, bytes([10, 1, 9, 9]))]), "one that is not forged")

    def forwarded(self):
        # A new name is asked for; one of the last hundred is kept, and is not.
        if self.known and self.random.random() < 0.5:
            host = self.random.choice(list(self.known))
            expect(self.ask(host, A), (0, [(A, self.known[host])]), host)
            return
        host = self.new_name("far")
        address = self.address()
        self.socket.send(self.query(host, A, self.random.choice([b"", edns()])))
        expect(of(self.served({host: lambda asked: answer_to(asked, [record(A, address)], edns())})), (0, [(A, address)]), host)
        self.known[host] = address
        if len(self.known) > 100:
            del self.known[next(iter(self.known))]

    def new_name(self, zone):
        self.asked += 1
        return f"h{self.asked}.{'long' * self.random.randrange(12) + 'x'}.{zone}"

    def address(self):
        return bytes(self.random.randrange(1, 255) for _ in range(4))

    def referred(self):
        """A name of another, which is asked for, too."""
        host, other, address = self.new_name("far"), self.new_name("far"), self.address()
        self.socket.send(self.query(host, A))
        code, found = of(self.served({host: lambda asked: answer_to(asked, [record(CNAME, name(other))], edns()),
                                      other: lambda asked: answer_to(asked, [record(A, address)], edns())}))
        expect((code, [kind for kind, _ in found], found[-1][1]), (0, [CNAME, A], address), "CNAME")

    def subnet(self):
        """An answer is for a network of clients, and kept for that."""
        network = self.random.randrange(1, 50)
        if network in self.nets and self.random.random() < 0.7:
            host, address = self.nets[network]
            expect(self.ask(host, A, edns(client_subnet(network))), (0, [(A, address)]), "a network of clients")
            return
        host, address = self.new_name("net.far"), self.address()
        self.socket.send(self.query(host, A, edns(client_subnet(network))))

        def answer(asked):
            expect(option(parse(asked), CLIENT_SUBNET), struct.pack(">HBB", 1, 24, 0) + bytes([10, 9, network]), "the clients' network")
            return answer_to(asked, [record(A, address)], edns(struct.pack(">2H2H2B", CLIENT_SUBNET, 7, 1, 24 << 8 | 24, 10, 9) +
                                                               bytes([network])))
        expect(of(self.served({host: answer})), (0, [(A, address)]), host)
        self.nets[network] = (host, address)

    def over_tcp(self):
        i = self.random.randrange(1, 100)
        stream = Stream(self.port)
        for host, kind in [(f"host{i}.near", A), ("many.near", MX), ("host2.signed", A)]:
            asked = self.query(host, kind, edns())
            stream.send(struct.pack(">H", len(asked)) + asked)
            data = stream.read(struct.unpack(">H", stream.read(2))[0])
            found = parse(data).answers
            if kind == MX:
                expect(sorted((struct.unpack(">H", one.data[:2])[0], name_at(data, one.at + 2)) for one in found),
                       [(n, f"mail{n}.of.many.near") for n in range(1, 100)] +
                       [(n + 100, f"post{n}.of.many.near") for n in range(1, 100)], "many names")
            else:
                expect([one.data for one in found], [bytes([10, 0, 0, i] if host.endswith("near") else [10, 1, 0, 2])], "TCP")
        stream.close()

    def controlled(self):
        """The program that controls it: all threads answer."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(PATIENCE_S)
            control.connect(self.control)
            control.sendall(b"UBCT1 stats_noreset\n")
            said = b""
            while part := control.recv(65536):
                said += part
        values = dict(line.split(b"=") for line in said.splitlines() if b"=" in line)
        try:
            counts = [int(values[part + b".num.queries"]) for part in (b"thread0", b"thread1", b"total")]
        except (KeyError, ValueError) as error:
            raise Wrong(f"stats: {said[:300]}") from error
        expect((counts[0] + counts[1], counts[2] > 0), (counts[2], True), "stats")


def of(answer):
    return answer.flags & 15, [(one.kind, one.data) for one in answer.answers]


class Looked:
    """A question for a new name, with an upstream of its own."""

    def __init__(self, server, port, zone="seen"):
        self.upstream = server.upstreams[1]
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(("127.0.0.1", port))
        self.host = f"x{random.random()}.{zone}"
        self.asked = []  # what the server has asked for it

    def send(self, flags=RECURSE, extension=b""):
        self.socket.send(query(1, self.host, A, flags, extension))

    def serve(self, seconds, authority=(), silent=False):
        """Answers what the server asks, for at most that time and not long after it has answered; returns that, or None."""
        until, answer = time.monotonic() + seconds, None
        while (left := until - time.monotonic()) > 0:
            ready, _, _ = select.select([self.upstream] + [self.socket] * (answer is None), [], [], left)
            if self.socket in ready:
                answer = parse(self.socket.recv(4096))
                until = min(until, time.monotonic() + 0.5)
            if self.upstream in ready:
                message, asker = self.upstream.recvfrom(4096)
                if name_at(message, 12) == self.host:
                    self.asked.append((message, asker))
                    if not silent:
                        self.reply(message, asker, authority)
        return answer

    def reply(self, message, asker, authority=()):
        # With an option that says nothing: without any the server does not look for the one that it wants.
        self.upstream.sendto(answer_to(message, [record(A, bytes([10, 3, 3, 3]))], edns(struct.pack(">2H", 65001, 0)), authority), asker)


def faults(server):
    def forwards_without_recursion(port):
        looked = Looked(server, port)
        looked.send(flags=0)
        return len(looked.serve(PATIENCE_S).answers) == 1

    def many_compressed(port):
        """Of 198 names in an answer, all refer to others."""
        stream = Stream(port)
        asked = query(1, "many.near", MX)
        stream.send(struct.pack(">H", len(asked)) + asked)
        data = stream.read(struct.unpack(">H", stream.read(2))[0])
        stream.close()
        return all(one.data[-2] >= 192 for one in parse(data).answers)

    def late_answer(port):
        """What takes longer than 1.9 s is answered all the same."""
        looked = Looked(server, port)
        looked.send()
        looked.serve(2.3, silent=True)
        for message, asker in looked.asked:
            looked.reply(message, asker)
        return looked.serve(4) is not None

    def subnet_not_known(port):
        """An answer without the clients' network, to a question with it, is kept for all: it is not asked for without."""
        looked = Looked(server, port, "net.seen")
        looked.send(extension=edns(client_subnet(7)))
        expect(len(looked.serve(PATIENCE_S).answers), 1, "an answer without a network")
        return all(option(parse(message), CLIENT_SUBNET) is not None for message, _ in looked.asked)

    def name_server_taken(port):
        """An answer brings a name server along, unasked."""
        looked = Looked(server, port)
        looked.send()
        answer = looked.serve(PATIENCE_S, [record(NS, name("evil.seen"), owner=name("seen"))])
        return any(one.kind == NS for one in answer.authority)

    return {server.first: forwards_without_recursion, "CVE-2024-8508.patch": many_compressed, "CVE-2024-33655.patch": late_answer,
            "CVE-2025-5994.patch": subnet_not_known,
            "CVE-2025-11411/2-possible-domain-hijacking-attack.patch": name_server_taken}

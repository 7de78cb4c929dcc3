# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""mosquitto, an MQTT broker."""

import os
import socket
import struct

from checker import Checker, Stream, expect
from servers.description import Server
from sources import run


class Description(Server):
    name = "mosquitto"
    program = "build/src/mosquitto"
    first = "Fix-CONNECT-performance-with-many-user-properties.patch"
    objects = "build/src/CMakeFiles/mosquitto.dir"
    headers = {"cjson/cJSON.h": "libcjson-dev", "openssl/ssl.h": "libssl-dev", "systemd/sd-daemon.h": "libsystemd-dev",
               "libwebsockets.h": "libwebsockets-dev", "tcpd.h": "libwrap0-dev", "uthash.h": "uthash-dev"}
    tools = dict(Server.tools, cmake="cmake", mosquitto_pub="mosquitto-clients")
    skipped = {r"^(0019|0020|0021)": "tests and certificates only"}
    together = [("CVE-2024-8376-1of3.patch", "CVE-2024-8376-3of3.patch")]
    options = {"CVE-2021-34434.patch": [("--allow-type=mosquitto", "what a member points to is converted"),
                                        ("--allow-type=P_msg_store", "it holds one of them")]}
    fixes = {
        "Fix-CONNECT-performance-with-many-user-properties.patch": "CVE-2021-41039",
        "CVE-2024-8376-1of3.patch": "CVE-2024-8376", "CVE-2024-8376-2of3.patch": "CVE-2024-8376",
        "CVE-2024-8376-3of3.patch": "CVE-2024-8376",
        "0015-Fix-QoS-1-QoS-2-publish-incorrectly-returning-no-sub.patch": "QoS regression",
        "0016-Fix-crash-on-bridge-using-remapped-topic-being-sent-.patch": "CVE-2024-3935",
        "0017-Don-t-allow-SUBACK-with-missing-reason-codes.patch": "CVE-2024-10525",
        "CVE-2023-28366-regression.patch": "CVE-2023-28366",
        "0018-Further-fix-for-CVE-2023-28366.patch": "CVE-2023-28366",
    }

    def configure(self, tree, instar, log):
        run(["cmake", "-S", ".", "-B", "build", "-DCMAKE_BUILD_TYPE=None", "-DWITH_BUNDLED_DEPS=OFF", "-DWITH_ADNS=ON",
             "-DUSE_LIBWRAP=ON", "-DWITH_WEBSOCKETS=ON", "-DWITH_DLT=OFF", "-DWITH_SYSTEMD=ON", "-DDOCUMENTATION=OFF",
             "-DWITH_CLIENTS=OFF"], cwd=tree, env=self.environment(instar), log=log)

    def make(self, tree, instar, log):
        run(["make", "-C", "build", "mosquitto"], cwd=tree, env=self.environment(instar), log=log)

    def start(self, folder, work, port):
        with open(os.path.join(work, "mosquitto.conf"), "w", encoding="utf-8") as file:
            # Nobody's files are in the work folder.
            user = "user nobody\n" if os.getuid() == 0 else ""
            file.write(f"{user}listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 10000\nset_tcp_nodelay true\n")
        return [os.path.join(folder, self.program), "-c", os.path.join(work, "mosquitto.conf")]

    def load(self, tree, work, port):
        return ["sh", "-c", f"mosquitto_sub -p {port} -t load/# -q 1 >/dev/null & "
                f"while :; do seq 100; sleep 0.02; done | mosquitto_pub -p {port} -t load/a -q 1 -l"]

    def checker(self, port):
        return MosquittoChecker(port)

    def effects(self):
        return {"CVE-2023-0809.patch": keeps_what_is_no_client}


def keeps_what_is_no_client(port):
    """Whether a connection whose first packet is no CONNECT, and announces 240 MB, is kept."""
    stream = Stream(port)
    stream.send(b"\x30\xff\xff\xff\x72")
    stream.socket.settimeout(1)
    try:
        return stream.socket.recv(1) != b""
    except socket.timeout:
        return True
    except ConnectionError:
        return False
    finally:
        stream.close()


(CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PING, PONG,
 DISCONNECT) = (
    0x10, 0x20, 0x30, 0x40, 0x50, 0x62, 0x70, 0x82, 0x90, 0xa2, 0xb0, 0xc0, 0xd0, 0xe0)


def text(value):
    return struct.pack(">H", len(value)) + value


class Client(Stream):
    """Speaks MQTT, in version 4 (3.1.1) or 5."""

    def __init__(self, port, name, version=4, will=None, clean=True):  # pylint: disable=too-many-arguments
        super().__init__(port)
        self.version = version
        self.number = 0
        flags = (2 if clean else 0) | (4 if will else 0)
        body = text(b"MQTT") + bytes([version, flags]) + struct.pack(">H", 60)
        properties = b"\x05\x11" + struct.pack(">I", 10) if version == 5 else b""
        body += properties + text(name)
        if will:
            body += (b"\0" if version == 5 else b"") + text(will[0]) + text(will[1])
        self.packet(CONNECT, body)
        kind, answer = self.receive()
        expect((kind, answer[1]), (CONNACK, 0), "CONNECT")

    def packet(self, kind, body=b""):
        size, length = len(body), b""
        while True:
            length += bytes([size % 128 | (128 if size > 127 else 0)])
            size //= 128
            if not size:
                break
        self.send(bytes([kind]) + length + body)

    def receive(self):
        kind, size, shift = self.read(1)[0], 0, 0
        while True:
            byte = self.read(1)[0]
            size |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return kind, self.read(size)

    def answer_of(self, wanted):
        """Of that kind; what comes before is the end of a message that it has got."""
        while True:
            kind, body = self.receive()
            if kind != PUBREL:
                expect(kind, wanted, "kind of a packet")
                return body
            self.packet(PUBCOMP, body[:2])

    def next_number(self):
        self.number = self.number % 60000 + 1
        return struct.pack(">H", self.number)

    def subscribe(self, topic, quality):
        number = self.next_number()
        self.packet(SUBSCRIBE, number + (b"\0" if self.version == 5 else b"") + text(topic) + bytes([quality]))
        answer = self.answer_of(SUBACK)
        expect((answer[:2], answer[-1]), (number, quality), "SUBSCRIBE")

    def unsubscribe(self, topic):
        number = self.next_number()
        self.packet(UNSUBSCRIBE, number + (b"\0" if self.version == 5 else b"") + text(topic))
        expect(self.answer_of(UNSUBACK)[:2], number, "UNSUBSCRIBE")

    def publish(self, topic, data, quality, retain=False):
        """Through all steps of its quality. Returns what of its own subscriptions came meanwhile."""
        number = self.next_number()
        self.packet(PUBLISH | quality << 1 | retain,
                    text(topic) + (number if quality else b"") + (b"\0" if self.version == 5 else b"") + data)
        came = []
        waits = {0: None, 1: PUBACK, 2: PUBREC}[quality]
        while waits:
            kind, answer = self.receive()
            if kind & 0xf0 == PUBLISH:
                came.append(self.accept(kind, answer))
            elif kind == PUBREL:
                self.packet(PUBCOMP, answer[:2])
            else:
                expect((kind, answer[:2]), (waits, number), "PUBLISH")
                waits = None
                if kind == PUBREC:
                    self.packet(PUBREL, number)
                    waits = PUBCOMP
        return came

    def accept(self, kind, body):
        """A message: (topic, data). Says that it has come."""
        size = struct.unpack(">H", body[:2])[0]
        topic, rest = body[2:2 + size], body[2 + size:]
        quality = kind >> 1 & 3
        if quality:
            self.packet(PUBACK if quality == 1 else PUBREC, rest[:2])
            rest = rest[2:]
        if self.version == 5:
            rest = rest[1 + rest[0]:]
        return topic, rest

    def end(self):
        """When the broker has read all."""
        self.packet(PING)
        expect(self.answer_of(PONG), b"", "PINGREQ")
        self.packet(DISCONNECT)
        self.close()

    def message(self):
        while True:
            kind, body = self.receive()
            if kind & 0xf0 == PUBLISH:
                return self.accept(kind, body)
            if kind == PUBREL:
                self.packet(PUBCOMP, body[:2])


class MosquittoChecker(Checker):
    """Messages of all qualities to itself, kept ones, wills, shared subscriptions, both versions."""

    pause_s = 0.002

    def connect(self):
        self.count = 0
        self.clients = {version: Client(self.port, b"check%d" % version, version) for version in (4, 5)}
        for version, client in self.clients.items():
            client.subscribe(b"check/%d/+/a" % version, 2)
        self.clients[5].subscribe(b"$share/long/held/+", 1)
        lasting = Client(self.port, b"lasting", clean=False)
        lasting.subscribe(b"lasting/#", 1)
        lasting.end()

    def request(self):
        self.random.choice([self.echo, self.echo, self.echo, self.kept, self.filters, self.will, self.shared, self.held,
                            self.held_anew, self.lasting, self.ping])()

    def echo(self):
        version = self.random.choice([4, 5])
        client, data = self.clients[version], b"%d" % self.random.getrandbits(60) * self.random.choice([1, 3, 200])
        topic = b"check/%d/%d/a" % (version, self.random.randrange(100))
        came = client.publish(topic, data, self.random.randrange(3))
        expect(came[0] if came else client.message(), (topic, data), "PUBLISH")

    def kept(self):
        topic, data = b"kept/%d" % self.random.randrange(10), b"%d" % self.random.getrandbits(60)
        self.clients[4].publish(topic, data, 1, retain=True)
        self.clients[5].subscribe(topic, 1)
        expect(self.clients[5].message(), (topic, data), "a kept message")
        self.clients[5].unsubscribe(topic)

    def filters(self):
        client, topic = self.clients[self.random.choice([4, 5])], b"a/%d/#" % self.random.randrange(1000)
        client.subscribe(topic, 1)
        client.unsubscribe(topic)

    def will(self):
        self.count += 1
        self.clients[4].subscribe(b"will/x", 0)
        Client(self.port, b"dies%d" % self.count, self.random.choice([4, 5]), (b"will/x", b"%d" % self.count)).close()
        expect(self.clients[4].message(), (b"will/x", b"%d" % self.count), "a will")
        self.clients[4].unsubscribe(b"will/x")

    def shared(self):
        data = b"%d" % self.random.getrandbits(60)
        self.clients[5].subscribe(b"$share/group/s/+", 1)
        self.clients[4].publish(b"s/1", data, 1)
        expect(self.clients[5].message(), (b"s/1", data), "a shared subscription")
        self.clients[5].unsubscribe(b"$share/group/s/+")

    def held(self):
        data = b"%d" % self.random.getrandbits(60)
        self.clients[4].publish(b"held/1", data, 1)
        expect(self.clients[5].message(), (b"held/1", data), "a shared subscription that was made before")

    def held_anew(self):
        """It has to go before it is made again: what comes in between would be found by the next request."""
        self.clients[5].unsubscribe(b"$share/long/held/+")
        self.clients[4].publish(b"held/2", b"nobody wants it", 1)
        self.clients[5].subscribe(b"$share/long/held/+", 1)
        self.held()

    def lasting(self):
        """A session that goes on from one connection to the next."""
        data = b"%d" % self.random.getrandbits(60)
        self.clients[4].publish(b"lasting/1", data, 1)
        client = Client(self.port, b"lasting", clean=False)
        expect(client.message(), (b"lasting/1", data), "a session that goes on")
        client.end()

    def ping(self):
        client = self.clients[self.random.choice([4, 5])]
        client.packet(PING)
        expect(client.answer_of(PONG), b"", "PINGREQ")

# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""DNS messages."""

import collections
import struct

A, NS, CNAME, PTR, MX, TXT, AAAA, SRV, OPT = 1, 2, 5, 12, 15, 16, 28, 33, 41
# Flags of a message.
RESPONSE, TRUNCATED, RECURSE, RECURSES, AUTHENTIC = 0x8000, 0x0200, 0x0100, 0x0080, 0x0020
# Codes of an answer.
SERVER_FAILURE, NAME_ERROR, REFUSED = 2, 3, 5
CLIENT_SUBNET = 8  # an EDNS option

Message = collections.namedtuple("Message", "number flags questions answers authority additional")
# `at`: where its data is in the message: names in it may refer to others.
Record = collections.namedtuple("Record", "kind data at")


def name(words):
    return b"".join(bytes([len(word)]) + word.encode() for word in words.split(".")) + b"\0"


def edns(options=b"", dnssec=False):
    """The record that says that the sender knows EDNS."""
    return b"\0" + struct.pack(">2HIH", OPT, 4096, 0x8000 if dnssec else 0, len(options)) + options


def query(number, host, kind, flags=RECURSE, extension=b""):
    return struct.pack(">6H", number, flags, 1, 0, 0, 1 if extension else 0) + name(host) + struct.pack(">2H", kind, 1) + extension


def record(kind, data, ttl=3600, owner=b"\xc0\x0c"):
    """The owner is the name that was asked for, unless said otherwise."""
    return owner + struct.pack(">2HIH", kind, 1, ttl, len(data)) + data


def skip(data, at):
    """Where the name ends that begins there."""
    while data[at] and data[at] < 192:
        at += 1 + data[at]
    return at + (2 if data[at] else 1)


def name_at(data, at):
    words = []
    while data[at]:
        if data[at] >= 192:
            at = struct.unpack(">H", data[at:at + 2])[0] & 0x3fff
            continue
        words.append(data[at + 1:at + 1 + data[at]].decode("latin-1"))
        at += 1 + data[at]
    return ".".join(words).lower()


def parse(data):
    number, flags, questions, *counts = struct.unpack(">6H", data[:12])
    at = 12
    for _ in range(questions):
        at = skip(data, at) + 4
    sections = []
    for count in counts:
        sections.append([])
        for _ in range(count):
            at = skip(data, at)
            kind, _, _, size = struct.unpack(">2HIH", data[at:at + 10])
            sections[-1].append(Record(kind, data[at + 10:at + 10 + size], at + 10))
            at += 10 + size
    return Message(number, flags, questions, *sections)


def option(message, code):
    """An EDNS option of it, or None."""
    for extension in message.additional:
        at, data = 0, extension.data
        while extension.kind == OPT and at + 4 <= len(data):
            found, size = struct.unpack(">2H", data[at:at + 4])
            if found == code:
                return data[at + 4:at + 4 + size]
            at += 4 + size
    return None


def answer_to(asked, records, extension=b"", authority=()):
    """What a server that is asked so sends back."""
    end = skip(asked, 12) + 4
    return (asked[:2] + struct.pack(">5H", RESPONSE | RECURSE | RECURSES, 1, len(records), len(authority), 1 if extension else 0) +
            asked[12:end] + b"".join(records) + b"".join(authority) + extension)

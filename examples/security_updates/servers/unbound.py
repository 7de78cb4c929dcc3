# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""unbound, a DNS resolver that validates: two threads."""

import os
import re
import socket

from servers.description import Server
from servers.dns_server import DnsServer
from servers.unbound_checker import UnboundChecker, faults
from sources import git, run


class Description(DnsServer):
    name = "unbound"
    program = "unbound"
    first = "fix-not-following-cleared-RD-flags-amplification.patch"
    skipped = {r"^CVE-2024-43167/0[234]": "tests and documentation only"}
    fixes = {
        first: "RD=0 amplification",
        "0017-Updated-IPv4-and-IPv6-address-for-b.root-servers.net.patch": "address of b.root-servers.net",
        "fix-595-unbound-anchor-cannot-deal-with-full-disk.patch": "unbound-anchor, issue 595",
    }
    options = {
        "CVE-2023-50387-DNSSEC-verification-complexity.patch": [("--allow-type=val_qstate", "those that exist are replaced when used")],
        "CVE-2023-50868-NSEC3-closest-encloser-proof-exhaust-CPU.patch": [("--allow-type=val_qstate", "as before")],
        "CVE-2024-33655.patch": [("--allow-type=ip_rate_key", "they are made by calloc()")],
        "CVE-2025-5994.patch": [("--allow-type=subnet_qstate", "its padding was cleared")],
    }
    load_options = ["-c", "8", "-Q", "2000"]
    headers = {"event2/event.h": "libevent-dev", "expat.h": "libexpat1-dev", "nghttp2/nghttp2.h": "libnghttp2-dev",
               "openssl/ssl.h": "libssl-dev", "protobuf-c/protobuf-c.h": "libprotobuf-c-dev", "systemd/sd-daemon.h": "libsystemd-dev"}
    tools = dict(Server.tools, bison="bison", flex="flex", dnsperf="dnsperf",
                 **{"ldns-signzone": "ldnsutils", "protoc-c": "protobuf-c-compiler"})

    def configure(self, tree, instar, log):
        # The package's, but for Python and for link-time optimization, after which there are no objects to compare.
        run(["./configure", "--disable-rpath", "--with-pidfile=/run/unbound.pid", "--with-libevent", "--enable-tfo-client",
             "--enable-tfo-server", "--with-rootkey-file=/usr/share/dns/root.key", "--enable-subnet", "--enable-dnstap",
             "--enable-systemd", "--with-libnghttp2", "--with-chroot-dir=", "--with-dnstap-socket-path=/run/dnstap.sock",
             "--disable-flto", "--disable-shared"], cwd=tree, env=self.environment(instar), log=log)
        # What reads the configuration is generated, and stays so when the next patch is checked out.
        run(["touch", "util/configparser.y", "util/configlexer.lex"], cwd=tree)
        git(tree, "update-index", "--skip-worktree", "util/configparser.c", "util/configparser.h", "util/configlexer.c")

    # What the package's makefile does not know the headers of.
    without_headers = ["subnetmod", "subnet-whitelist", "edns-subnet", "dnstap", "dnstap_fstrm", "dtstream"]

    def make(self, tree, instar, log):
        changed = max(os.path.getmtime(os.path.join(tree, name)) for name in git(tree, "ls-files", "*.h").splitlines())
        for path in [os.path.join(tree, name + end) for name in self.without_headers for end in (".o", ".lo")]:
            if os.path.exists(path) and os.path.getmtime(path) < changed:
                os.unlink(path)
        run(["make", "unbound"], cwd=tree, env=self.environment(instar), log=log)

    def start(self, folder, work, port):
        # The servers that it asks are the checker, and what looks for faults.
        self.upstreams = []
        for _ in range(2):
            self.upstreams.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            self.upstreams[-1].bind(("127.0.0.1", 0))
        asked, other = (one.getsockname()[1] for one in self.upstreams)
        anchors = [signed_zone(work, name) for name in ["signed", "forged"]]
        # What is signed is not what is served.
        path = os.path.join(work, "forged.zone")
        with open(path, encoding="ascii") as file:
            text = file.read()
        with open(path, "w", encoding="ascii") as file:
            file.write(re.sub(r"(?m)(\tA\t)10\.1\.0\.", r"\g<1>10.2.0.", text))
        self.control = os.path.join(work, "control")
        with open(os.path.join(work, "unbound.conf"), "w", encoding="ascii") as file:
            file.write(CONFIGURATION.format(work=work, port=port, asked=asked, other=other, anchors="\n".join(
                f"trust-anchor-file: {anchor}" for anchor in anchors), hosts="\n".join(
                    f'local-data: "host{i}.near. A 10.0.0.{i}"\nlocal-data: "host{i}.near. AAAA fd00::{i:x}"\n'
                    f'local-data-ptr: "10.0.0.{i} host{i}.near."\nlocal-data: "many.near. MX {i} mail{i}.of.many.near."\n'
                    f'local-data: "many.near. MX {i + 100} post{i}.of.many.near."'
                    for i in range(1, 100))))
        with open(os.path.join(work, "queries"), "w", encoding="ascii") as file:
            file.write("".join(f"host{i}.near A\nhost{i}.near AAAA\nhost{i % 20 + 1}.signed A\n" for i in range(1, 100)))
        return [os.path.join(folder, self.program), "-d", "-c", os.path.join(work, "unbound.conf")]

    def checker(self, port):
        return UnboundChecker(port, self.upstreams[0], self.control)

    def effects(self):
        return faults(self)


ZONE = """$ORIGIN {name}.
$TTL 3600
@ SOA ns host 1 3600 600 86400 300
@ NS ns
ns A 127.0.0.1
alias CNAME host1
text TXT "hello"
*.wild A 10.1.9.9
{hosts}
"""


def signed_zone(work, name):
    """Makes {name}.zone in `work`, with NSEC3; returns the path of its trust anchor."""
    plain = os.path.join(work, name)
    with open(plain, "w", encoding="ascii") as file:
        file.write(ZONE.format(name=name, hosts="\n".join(f"host{i} A 10.1.0.{i}" for i in range(1, 21))))
    key = run(["ldns-keygen", "-a", "ECDSAP256SHA256", "-k", name], cwd=work).split()[-1]
    run(["ldns-signzone", "-n", "-t", "1", "-f", os.path.join(work, name + ".zone"), plain, key], cwd=work)
    return os.path.join(work, key + ".ds")


CONFIGURATION = """
server:
directory: "{work}"
username: ""
chroot: ""
pidfile: "{work}/pid"
use-syslog: no
interface: 127.0.0.1@{port}
num-threads: 2
do-not-query-localhost: no
do-ip6: no
access-control: 127.0.0.1 allow_snoop
module-config: "subnetcache validator iterator"
send-client-subnet: 127.0.0.1
client-subnet-zone: "net.far"
client-subnet-zone: "net.seen"
client-subnet-always-forward: yes
minimal-responses: no
rrset-roundrobin: no
trust-anchor-signaling: no
root-key-sentinel: no
domain-insecure: "far"
domain-insecure: "seen"
{anchors}
local-zone: "." static
local-zone: "far." transparent
local-zone: "seen." transparent
local-zone: "signed." transparent
local-zone: "forged." transparent
local-zone: "near." static
local-zone: "10.in-addr.arpa." static
local-data: "text.near. TXT hello"
local-data: "alias.near. CNAME host1.near."
local-data: "near. MX 5 mail.near."
{hosts}
remote-control:
control-enable: yes
control-interface: "{work}/control"
forward-zone:
name: "far."
forward-addr: 127.0.0.1@{asked}
forward-zone:
name: "seen."
forward-addr: 127.0.0.1@{other}
auth-zone:
name: "signed."
zonefile: "{work}/signed.zone"
for-downstream: no
for-upstream: yes
auth-zone:
name: "forged."
zonefile: "{work}/forged.zone"
for-downstream: no
for-upstream: yes
"""

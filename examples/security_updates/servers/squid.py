# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""squid, a proxy, in C++."""

import http.server
import multiprocessing
import os

from checker import expect
from http_client import HttpChecker, HttpClient
from servers.description import Server
from sources import run


class Description(Server):
    name = "squid"
    language = "C++"
    program = "src/squid"
    runs_with = ("src/mime.conf.default", "errors/templates")
    first = "CVE-2023-46724.patch"
    tools = dict(Server.tools, **{"g++": "g++", "automake": "automake", "autoconf": "autoconf", "libtool": "libtool-bin"})
    headers = {"gnutls/gnutls.h": "libgnutls28-dev", "ltdl.h": "libltdl-dev", "sys/capability.h": "libcap-dev"}
    flags_of_package = [
        "--enable-inline", "--disable-arch-native", "--enable-async-io=8", "--enable-storeio=ufs,aufs,diskd,rock",
        "--enable-removal-policies=lru,heap", "--enable-delay-pools", "--enable-cache-digests", "--enable-icap-client",
        "--enable-follow-x-forwarded-for", "--enable-auth-basic=fake", "--enable-auth-digest=file",
        "--enable-auth-negotiate=no", "--enable-auth-ntlm=fake", "--enable-external-acl-helpers=file_userip",
        "--enable-security-cert-validators=fake", "--enable-storeid-rewrite-helpers=file", "--enable-url-rewrite-helpers=fake",
        "--enable-eui", "--enable-icmp", "--enable-zph-qos", "--disable-translation", "--with-filedescriptors=65536",
        "--with-large-files", "--with-default-user=proxy", "--disable-esi", "--enable-linux-netfilter", "--with-gnutls",
        "--with-build-environment=default", "--with-pidfile=/run/squid.pid", "--sysconfdir=/etc/squid"]

    def configure(self, tree, instar, log):
        environment = self.environment(instar)
        run(["autoreconf", "--force", "--install"], cwd=tree, log=log)
        run(["./configure", "BUILDCXX=g++", "BUILDCXXFLAGS=-O1", *self.flags_of_package], cwd=tree, env=environment, log=log)

    def make(self, tree, instar, log):
        # The program and what it is linked from, not the helpers.
        for folder, target in [("compat", "all"), ("lib", "all"), ("libltdl", "all"), ("src", "all")]:
            if os.path.exists(os.path.join(tree, folder, "Makefile")):
                run(["make", "-C", folder, target], cwd=tree, env=self.environment(instar), log=log)

    def start(self, folder, work, port):
        self.origin = Origin()
        for name in ["cache", "logs"]:
            os.makedirs(os.path.join(work, name))
            os.chmod(os.path.join(work, name), 0o777)
        os.chmod(work, 0o777)
        for name in ["mime.conf", "errors"]:
            os.symlink(os.path.join(folder, {"mime.conf": "src/mime.conf.default", "errors": "errors"}[name]),
                       os.path.join(work, name))
        with open(os.path.join(work, "squid.conf"), "w", encoding="utf-8") as file:
            file.write(CONFIGURATION.format(work=work, port=port, origin=self.origin.port))
        return [os.path.join(folder, self.program), "-N", "-f", os.path.join(work, "squid.conf")]

    def load(self, tree, work, port):
        return ["ab", "-q", "-c", "10", "-n", "100000000", "-k", "-X", f"127.0.0.1:{port}",
                f"http://127.0.0.1:{self.origin.port}/kept/1000"]

    def checker(self, port):
        return SquidChecker(port, self.origin.port)


CONFIGURATION = """
http_port 127.0.0.1:{port}
pid_filename {work}/squid.pid
cache_log {work}/logs/cache.log
access_log stdio:{work}/logs/access.log
cache_store_log none
coredump_dir {work}
mime_table {work}/mime.conf
error_directory {work}/errors/templates
icon_directory {work}
pinger_enable off
visible_hostname squid.test
netdb_filename none
cache_mem 64 MB
cache_effective_user nobody
shutdown_lifetime 1 second
acl ours dst 127.0.0.1
acl CONNECT method CONNECT
http_access allow ours
http_access deny all
"""


class Origin:
    """The server behind the proxy, in a process of its own."""

    def __init__(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), OriginHandler)
        self.port = self.server.server_port
        multiprocessing.Process(target=self.server.serve_forever, daemon=True).start()
        self.server.socket.close()


class OriginHandler(http.server.BaseHTTPRequestHandler):
    """/kept/SIZE may be kept, /new/ANYTHING not; a body that is sent comes back."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(content(int(self.path.split("/")[2])) if self.path.startswith("/kept/") else self.path.encode(),
                    "max-age=1000" if self.path.startswith("/kept/") else "no-store")

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])), "no-store")

    def answer(self, body, kept):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", kept)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def content(size):
    return (b"0123456789abcdef" * (size // 16 + 1))[:size]


class SquidChecker(HttpChecker):
    """What is kept, what is not, what is refused, tunnels."""

    def __init__(self, port, origin):
        super().__init__(port)
        self.origin = f"http://127.0.0.1:{origin}"
        self.host = f"127.0.0.1:{origin}"
        self.steps = [self.kept, self.kept, self.new, self.ranges, self.sent, self.denied, self.tunnel, self.wrong]

    def kept(self):
        size = self.random.choice([0, 1, 100, 5000, 100000])
        self.expect(200, content(size), "GET", f"{self.origin}/kept/{size}")

    def new(self):
        path = f"/new/{self.random.random()}"
        self.expect(200, path.encode(), "GET", self.origin + path)

    def ranges(self):
        first = self.random.randrange(4000)
        self.client.ask("GET", f"{self.origin}/kept/5000")
        self.expect(206, content(5000)[first:first + 100], "GET", f"{self.origin}/kept/5000", Range=f"bytes={first}-{first + 99}")

    def sent(self):
        body = b"%f" % self.random.random() * self.random.choice([1, 1000])
        self.expect(200, body, "POST", self.origin + "/new/x", body)

    def denied(self):
        self.expect(403, None, "GET", "http://192.0.2.1/x")

    def tunnel(self):
        client = HttpClient(self.port)
        code = client.ask("CONNECT", self.host)[0]
        expect(code, 200, "CONNECT")
        path = f"/new/{self.random.random()}"
        expect(client.ask("GET", path)[2], path.encode(), "through a tunnel")
        client.close()

    def wrong(self):
        self.expect(400, None, "GET", "none://x y")
        self.connect()

# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""haproxy, a proxy, with two threads."""

import base64
import os
import signal

from checker import expect
from http_client import HttpChecker, HttpClient, well_loaded
from servers.description import Server
from sources import run


class Description(Server):
    name = "haproxy"
    program = "haproxy"
    first = "REORG-http-move-has_forbidden_char-from-h2.c-to-http.patch"
    objects = "."
    headers = {"pcre2.h": "libpcre2-dev", "openssl/ssl.h": "libssl-dev", "lua5.3/lua.h": "liblua5.3-dev",
               "systemd/sd-daemon.h": "libsystemd-dev"}
    tools = dict(Server.tools, wrk="wrk")
    skipped = {r"^(REGTESTS|DOC)-": "tests and documentation only"}
    fixes = {
        **dict.fromkeys(["REORG-http-move-has_forbidden_char-from-h2.c-to-http.patch",
                         "BUG-MAJOR-http-reject-any-empty-content-length-heade.patch"], "CVE-2023-40225"),
        "BUG-MAJOR-h3-reject-header-values-containing-invalid.patch": "CVE-2023-40225",
        **dict.fromkeys(["MINOR-ist-add-new-function-ist_find_range-to-find-a-.patch",
                         "MINOR-http-add-new-function-http_path_has_forbidden_.patch",
                         "MINOR-h2-pass-accept-invalid-http-request-down-the-r.patch",
                         "BUG-MINOR-h1-do-not-accept-as-part-of-the-URI-compon.patch",
                         "BUG-MINOR-h2-reject-more-chars-from-the-path-pseudo-.patch",
                         "BUG-MINOR-h3-reject-more-chars-from-the-path-pseudo-.patch"], "CVE-2023-45539"),
        "0001-BUG-MEDIUM-sample-fix-risk-of-overflow-when-replacin.patch": "CVE-2025-32464",
        "0001-BUG-CRITICAL-mjson-fix-possible-DoS-when-parsing-num.patch": "CVE-2025-11230",
    }

    def make(self, tree, instar, log):
        environment = self.environment(instar)
        run(["make", "V=1", "CC=" + environment["CC"], "LD=" + environment["CC"], "IGNOREGIT=true", "TARGET=linux-glibc",
             "USE_SYSTEMD=1", "USE_PCRE2=1", "USE_PCRE2_JIT=1", "USE_OPENSSL=1", "USE_SLZ=1", "USE_LUA=1", "USE_PROMEX=1",
             "LUA_INC=/usr/include/lua5.3", "VERSION=2.6.12", "SUBVERS=", "VERDATE=2023/03/28",
             "DEBUG_CFLAGS=" + environment["CFLAGS"] + " " + environment["CPPFLAGS"], "LDFLAGS=" + environment["LDFLAGS"],
             "haproxy"], cwd=tree, env=environment, log=log)

    def start(self, folder, work, port):
        with open(os.path.join(work, "haproxy.cfg"), "w", encoding="utf-8") as file:
            file.write(CONFIGURATION.format(port=port, work=work))
        return [os.path.join(folder, self.program), "-db", "-f", os.path.join(work, "haproxy.cfg")]

    def load(self, tree, work, port):
        return ["wrk", "-t", "1", "-c", "10", "-d", "600", f"http://127.0.0.1:{port}/far/1000"]

    load_signal = signal.SIGINT
    load_errors = staticmethod(well_loaded)

    def checker(self, port):
        return HaproxyChecker(port)

    def effects(self):
        return {
            "BUG-MAJOR-http-reject-any-empty-content-length-heade.patch": takes("GET /near HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n"),
            "BUG-MINOR-h1-do-not-accept-as-part-of-the-URI-compon.patch": takes("GET /far/1#a HTTP/1.1\r\nHost: a\r\n"),
        }


def takes(request):
    """Whether a request is taken that should be refused."""
    def see(port):
        client = HttpClient(port)
        client.socket.sendall((request + "\r\n").encode())
        code, _, _ = client.answer()
        client.close()
        return code == 200
    return see


# The one behind answers by itself.
CONFIGURATION = """
global
  nbthread 2
  maxconn 500
defaults
  mode http
  timeout connect 20s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:{port}
  http-request return status 200 content-type text/plain lf-string "near %[url_param(x)]" if {{ path /near }}
  http-request return status 200 content-type text/plain lf-string "%[path,field(3,/),upper,bytes(0,20)]" if {{ path_beg /upper/ }}
  http-request return status 200 content-type text/plain lf-string "%[url_param(x),regsub(a,b,g),base64]" if {{ path /coded }}
  http-request return status 200 content-type text/plain lf-string '%[req.body,json_query("$.n","int")]' if {{ path /json }}
  option http-buffer-request
  http-request redirect location /there code 302 if {{ path /away }}
  http-request deny deny_status 403 if {{ path_beg /denied }}
  http-response set-header X-Seen yes
  use_backend far if {{ path_beg /far/ }}
  default_backend none
backend far
  http-request set-header X-Sent "%[path,field(3,/)]"
  server one unix@{work}/far.sock
backend none
  http-request return status 404 content-type text/plain string "none"
frontend behind
  bind unix@{work}/far.sock
  http-request return status 200 content-type text/plain lf-string "far %[req.hdr(X-Sent)] %[req.body_len] %[method]"
  option http-buffer-request
"""


class HaproxyChecker(HttpChecker):
    """Answers of its own, of a server behind it, and what it refuses."""

    def __init__(self, port):
        super().__init__(port)
        self.steps = [self.near, self.far, self.far, self.upper, self.coded, self.json, self.refused, self.away]

    def near(self):
        number = self.random.randrange(10000)
        self.expect(200, f"near {number}".encode(), "GET", f"/near?x={number}")

    def far(self):
        number = self.random.randrange(10000)
        self.expect(200, f"far {number} 0 GET".encode(), "GET", f"/far/{number}")
        sent = b"x" * self.random.choice([1, 100, 10000])
        self.expect(200, f"far {number} {len(sent)} POST".encode(), "POST", f"/far/{number}", sent)

    def upper(self):
        word = "".join(self.random.choice("abcdef") for _ in range(15))
        self.expect(200, word.upper().encode(), "GET", f"/upper/{word}")

    def coded(self):
        word = "".join(self.random.choice("abc") for _ in range(15))
        self.expect(200, base64.b64encode(word.replace("a", "b").encode()), "GET", f"/coded?x={word}")

    def json(self):
        number = self.random.randrange(10**9)
        self.expect(200, str(number).encode(), "POST", "/json", b'{"m": [1, 2.5e3], "n": %d}' % number)

    def refused(self):
        self.expect(403, None, "GET", "/denied/x")
        self.expect(404, b"none", "GET", "/other")

    def away(self):
        expect(self.expect(302, None, "GET", "/away")["location"], "/there", "a redirection")

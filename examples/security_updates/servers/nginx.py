# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""nginx, a web server: a master and two workers."""

import os
import signal
import zlib

from checker import Stream, expect
from http_client import HttpChecker, HttpClient, well_loaded
from servers.description import Server, free_port
from sources import run


class Description(Server):
    name = "nginx"
    program = "objs/nginx"
    first = "CVE-2025-23419.patch"
    objects = "objs"
    headers = {"pcre2.h": "libpcre2-dev", "openssl/ssl.h": "libssl-dev", "zlib.h": "zlib1g-dev"}
    tools = dict(Server.tools, wrk="wrk", openssl="openssl")
    processes = 3
    fixes = {"CVE-2024-7347-1.patch": "CVE-2024-7347", "CVE-2024-7347-2.patch": "CVE-2024-7347"}

    def configure(self, tree, instar, log):
        environment = self.environment(instar)
        # As the package, but for what it builds as shared objects: mail and stream are in the program, others are left out.
        modules = ["http_ssl", "http_stub_status", "http_realip", "http_auth_request", "http_v2", "http_dav", "http_slice",
                   "http_addition", "http_flv", "http_gunzip", "http_gzip_static", "http_mp4", "http_random_index",
                   "http_secure_link", "http_sub", "mail_ssl", "stream_ssl", "stream_ssl_preread", "stream_realip"]
        run(["./configure", "--with-cc=" + environment["CC"], "--with-cc-opt=" + environment["CFLAGS"] + " " + environment["CPPFLAGS"],
             "--with-ld-opt=" + environment["LDFLAGS"], "--with-compat", "--with-debug", "--with-pcre-jit", "--with-threads",
             "--with-mail", "--with-stream", *[f"--with-{module}_module" for module in modules]], cwd=tree, env=environment, log=log)

    def make(self, tree, instar, log):
        # What configure reads has changed: it makes the table of modules.
        made = os.path.join(tree, "objs", "auto")
        read = run(["git", "-C", tree, "rev-parse", "HEAD:auto"])
        if not os.path.exists(made) or open(made, encoding="ascii").read() != read:
            self.configure(tree, instar, log)
            with open(made, "w", encoding="ascii") as file:
                file.write(read)
        run(["make", "-f", "objs/Makefile", "binary"], cwd=tree, env=self.environment(instar), log=log)

    def start(self, folder, work, port):
        self.ports = {"http": port, "tls": free_port(), "smtp": free_port(), "stream": free_port()}
        for name in ["static", "dav", "logs", "temp"]:
            os.makedirs(os.path.join(work, name))
            os.chmod(os.path.join(work, name), 0o777)
        for size in SIZES:
            with open(os.path.join(work, "static", f"{size}.txt"), "wb") as file:
                file.write(content(size))
        with open(os.path.join(work, "static", "greek.txt"), "w", encoding="utf-8") as file:
            file.write(GREEK)
        run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2", "-keyout",
             os.path.join(work, "key.pem"), "-out", os.path.join(work, "cert.pem")])
        with open(os.path.join(work, "nginx.conf"), "w", encoding="utf-8") as file:
            user = "user nobody nogroup;\n" if os.getuid() == 0 else ""
            file.write(user + CONFIGURATION.format(work=work, **self.ports))
        return [os.path.join(folder, self.program), "-p", work, "-c", os.path.join(work, "nginx.conf"), "-e",
                os.path.join(work, "logs", "error.log")]

    def load(self, tree, work, port):
        return ["wrk", "-t", "1", "-c", "10", "-d", "600", f"http://127.0.0.1:{port}/proxy/1000.txt"]

    load_signal = signal.SIGINT
    load_errors = staticmethod(well_loaded)

    def checker(self, port):
        return NginxChecker(self.ports)

    def effects(self):
        return {"FIX-HTTP2bomb.patch": takes_any_number_of_headers}


def takes_any_number_of_headers(port):
    client = HttpClient(port)
    client.socket.sendall(b"GET /1.txt HTTP/1.1\r\nHost: localhost\r\n" + b"a:b\r\n" * 1100 + b"\r\n")
    code = client.answer()[0]
    client.close()
    return code == 200


SIZES = [0, 1, 100, 1000, 20000, 300000]
GREEK = "Καλημέρα κόσμε " * 200
CONFIGURATION = """
worker_processes 2;
daemon off;
pid {work}/nginx.pid;
error_log {work}/logs/error.log warn;
events {{ worker_connections 512; }}
http {{
  access_log off;
  default_type text/plain;
  client_body_temp_path {work}/temp/body;
  proxy_temp_path {work}/temp/proxy;
  fastcgi_temp_path {work}/temp/fastcgi;
  scgi_temp_path {work}/temp/scgi;
  uwsgi_temp_path {work}/temp/uwsgi;
  keepalive_requests 1000000;
  upstream back {{ server unix:{work}/back.sock; keepalive 8; }}
  charset_map iso-8859-7 utf-8 {{
    C1 CE91; CA CE9A; DC CEAC; E1 CEB1; E5 CEB5; E7 CEB7; EB CEBB; EC CEBC; F1 CF81; FC CF8C; EA CEBA; F3 CF83; DD CEAD;
  }}
  server {{
    listen unix:{work}/back.sock;
    root {work}/static;
    location /status {{ return 200 "status $arg_x\\n"; }}
  }}
  server {{
    listen 127.0.0.1:{http};
    listen 127.0.0.1:{tls} ssl http2;
    ssl_certificate {work}/cert.pem;
    ssl_certificate_key {work}/key.pem;
    ssl_session_cache shared:s:1m;
    location / {{ root {work}/static; }}
    location /proxy/ {{ proxy_pass http://back/; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    location /zip/ {{ alias {work}/static/; gzip on; gzip_min_length 10; gzip_types text/plain; }}
    location /sub/ {{ alias {work}/static/; sub_filter 0123 abcd; sub_filter_once off; sub_filter_types *; }}
    location /charset/ {{ alias {work}/static/; charset iso-8859-7; source_charset utf-8; }}
    location /slice/ {{ alias {work}/static/; slice 1k; }}
    location /auth/ {{ auth_request /allow; alias {work}/static/; }}
    location = /allow {{ internal; if ($arg_no) {{ return 403; }} return 204; }}
    location /dav/ {{ root {work}; dav_methods PUT DELETE MKCOL COPY MOVE; create_full_put_path on; client_max_body_size 10m; }}
    location ~ ^/set/(?<one>[^/]*)/(.*)$ {{ set $two $2; return 200 "$one-$two-$arg_x\\n"; }}
    location /rewrite/ {{ rewrite ^/rewrite/([a-z]*)/(.*)$ /set/$1/$2?x=1 last; }}
    location /away/ {{ rewrite ^/away/(.*)$ /there/$1?from=away redirect; }}
  }}
}}
mail {{
  server_name mail.test;
  auth_http 127.0.0.1:1/;
  server {{ listen 127.0.0.1:{smtp}; protocol smtp; smtp_auth none plain login; }}
}}
stream {{
  server {{ listen 127.0.0.1:{stream}; return "you are $remote_addr\\n"; }}
}}
"""


def content(size):
    return (b"0123456789abcdef" * (size // 16 + 1))[:size]


class NginxChecker(HttpChecker):
    """All that the configuration offers."""

    def __init__(self, ports):
        super().__init__(ports["http"])
        self.ports = ports
        self.steps = [self.files, self.files, self.ranges, self.missing, self.proxied, self.filtered, self.charset, self.dav,
                      self.rewritten, self.over_tls, self.mail, self.stream]

    def files(self):
        size = self.random.choice(SIZES)
        self.expect(200, content(size), "GET", f"/{size}.txt")
        self.expect(200, b"", "HEAD", f"/{size}.txt")

    def ranges(self):
        first = self.random.randrange(10000)
        self.expect(206, content(20000)[first:first + 500], "GET", self.random.choice(["/20000.txt", "/slice/20000.txt"]),
                    Range=f"bytes={first}-{first + 499}")

    def missing(self):
        self.expect(404, None, "GET", f"/none/{self.random.random()}")
        self.expect(405, None, "PUT", "/1.txt", b"x")

    def proxied(self):
        size = self.random.choice(SIZES)
        self.expect(200, content(size), "GET", f"/proxy/{size}.txt")
        self.expect(200, f"status {size}\n".encode(), "GET", f"/proxy/status?x={size}")

    def filtered(self):
        size = self.random.choice(SIZES)
        self.expect(200, content(size).replace(b"0123", b"abcd"), "GET", f"/sub/{size}.txt")
        self.expect(200, content(size), "GET", f"/auth/{size}.txt")
        code, seen, body = self.client.ask("GET", "/zip/20000.txt", Accept_Encoding="gzip")
        expect((code, seen.get("content-encoding"), zlib.decompress(body, 31)), (200, "gzip", content(20000)), "gzip")

    def charset(self):
        self.expect(200, None, "GET", "/charset/100.txt")
        code, _, body = self.client.ask("GET", "/charset/greek.txt")
        expect((code, body[:2]), (200, b"\xca\xe1"), "charset")

    def dav(self):
        name, data = f"{self.random.randrange(100)}", b"%f" % self.random.random()
        self.expect(201, None, "PUT", f"/dav/new/{name}", data)
        self.expect(204, None, "COPY", f"/dav/new/{name}", Destination=f"/dav/copy-{name}")
        self.expect(200, data, "GET", f"/dav/copy-{name}")
        self.expect(204, None, "MOVE", f"/dav/copy-{name}", Destination=f"/dav/moved-{name}")
        self.expect(200, data, "GET", f"/dav/moved-{name}")
        self.expect(204, None, "DELETE", f"/dav/moved-{name}")
        self.expect(204, None, "DELETE", f"/dav/new/{name}")

    def rewritten(self):
        number = self.random.randrange(1000)
        self.expect(200, f"abc-{number}-1\n".encode(), "GET", f"/rewrite/abc/{number}")
        seen = self.expect(302, None, "GET", f"/away/{number}")
        expect(seen["location"].split("/", 3)[3], f"there/{number}?from=away", "redirect")

    def over_tls(self):
        client = HttpClient(self.ports["tls"], tls=True)
        for size in (100, 20000):
            code, _, body = client.ask("GET", f"/{size}.txt")
            expect((code, body), (200, content(size)), "TLS")
        client.close()

    def mail(self):
        stream = Stream(self.ports["smtp"])
        expect(stream.line(), b"220 mail.test ESMTP ready", "SMTP")
        stream.send(b"EHLO me\r\n")
        expect(stream.line(), b"250-mail.test", "EHLO")
        expect(stream.line(), b"250 AUTH PLAIN LOGIN", "EHLO")
        stream.send(b"QUIT\r\n")
        expect(stream.line(), b"221 2.0.0 Bye", "QUIT")
        stream.close()

    def stream(self):
        stream = Stream(self.ports["stream"])
        expect(stream.line(), b"you are 127.0.0.1", "stream")
        stream.close()

# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""What squid fetches from: an HTTP server and an FTP server, in a process of their own."""

import http.server
import multiprocessing
import socketserver
import time


class Origin:
    """Both servers, until end()."""

    def __init__(self):
        servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), HttpOrigin), FtpServer(("127.0.0.1", 0), FtpOrigin)]
        self.port, self.ftp_port = [server.server_address[1] for server in servers]
        self.processes = [multiprocessing.Process(target=server.serve_forever, daemon=True) for server in servers]
        for server, process in zip(servers, self.processes):
            process.start()
            server.socket.close()

    def end(self):
        for process in self.processes:
            process.kill()
            process.join()


def content(size):
    return (b"0123456789abcdef" * (size // 16 + 1))[:size]


class HttpOrigin(http.server.BaseHTTPRequestHandler):
    """What it answers is known from the path and from what is sent."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        """/KIND/ARGUMENT."""
        kind, argument = self.path.split("/")[1:3]
        if kind == "kept":
            self.answer(200, content(int(argument)), ("Cache-Control", "max-age=1000"), ("ETag", f'"{argument}"'))
        elif kind == "again":
            if self.headers["If-None-Match"] == f'"{argument}"':
                self.head(304, ("ETag", f'"{argument}"'))
            else:
                self.answer(200, content(int(argument)), ("Cache-Control", "no-cache"), ("ETag", f'"{argument}"'))
        elif kind == "by_language":
            self.answer(200, f"{argument} in {self.headers['Accept-Language']}".encode(), ("Cache-Control", "max-age=1000"),
                        ("Vary", "Accept-Language"))
        elif kind == "pieces":
            self.pieces(content(int(argument)))
        elif kind == "status":
            self.answer(int(argument), b"status " + argument.encode(), ("Cache-Control", "no-store"))
        else:
            self.answer(200, self.path.encode(), ("Cache-Control", "no-store"))

    do_HEAD = do_GET

    def do_POST(self):
        """Sends back what was sent."""
        if self.headers["Transfer-Encoding"] == "chunked":
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200, body, ("Cache-Control", "no-store"))

    def head(self, status, *headers):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()

    def answer(self, status, body, *headers):
        self.head(status, ("Content-Length", str(len(body))), *headers)
        if self.command != "HEAD":
            self.wfile.write(body)

    def pieces(self, body):
        self.head(200, ("Transfer-Encoding", "chunked"), ("Cache-Control", "no-store"))
        for at in range(0, len(body), 1000):
            piece = body[at:at + 1000]
            self.wfile.write(b"%x;piece=%d\r\n" % (len(piece), at) + piece + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_):
        pass


class FtpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class FtpOrigin(socketserver.StreamRequestHandler):
    """One folder with files named by their sizes. Passive connections only."""

    SIZES = [0, 1, 700, 40000]
    disable_nagle_algorithm = True

    def handle(self):
        self.waiting = None
        self.say("220 ready")
        while line := self.rfile.readline():
            command, _, argument = line.decode("latin-1").strip().partition(" ")
            method = getattr(self, "on_" + command.lower(), None)
            if command == "QUIT":
                self.say("221 bye")
                return
            if method:
                method(argument)
            else:
                self.say("500 not known")

    def say(self, line):
        self.wfile.write(line.encode() + b"\r\n")

    def on_user(self, _):
        self.say("331 password")

    def on_pass(self, _):
        self.say("230 welcome")

    def on_type(self, _):
        self.say("200 ok")

    def on_cwd(self, _):
        self.say("250 ok")

    def on_mdtm(self, _):
        self.say("213 " + time.strftime("%Y%m%d%H%M%S", time.gmtime()))

    def on_size(self, name):
        self.say(f"213 {self.size(name)}" if self.size(name) is not None else "550 no such file")

    def size(self, name):
        found = name.rsplit("/", 1)[-1].removesuffix(".bin")
        return int(found) if found.isdigit() and int(found) in self.SIZES else None

    def on_pasv(self, _):
        if self.waiting:
            self.waiting.server_close()
        self.waiting = socketserver.TCPServer(("127.0.0.1", 0), None)
        self.waiting.socket.settimeout(30)
        high, low = divmod(self.waiting.server_address[1], 256)
        self.say(f"227 entering passive mode (127,0,0,1,{high},{low})")

    def send(self, data):
        if not self.waiting:
            self.say("425 PASV first")
            return
        self.say("150 here it is")
        connection, _ = self.waiting.socket.accept()
        self.waiting.server_close()
        self.waiting = None
        with connection:
            connection.sendall(data)
        self.say("226 done")

    def on_retr(self, name):
        if self.size(name) is None:
            self.say("550 no such file")
        else:
            self.send(content(self.size(name)))

    def on_list(self, _):
        lines = [f"-rw-r--r-- 1 ftp ftp {size} Jan 02 03:04 {size}.bin\r\n" for size in self.SIZES]
        # Without a year or a time, as other systems have it.
        lines.append("01-02-23  03:04AM              5 dos.bin\r\n")
        self.send("".join(lines).encode())

    on_nlst = on_list

# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""A client of HTTP/1.1 that shows all of an answer."""

import socket
import ssl

from checker import PATIENCE_S, Checker, Wrong, expect


class HttpClient:
    """One connection. `target`: a port."""

    def __init__(self, target, tls=False):
        self.socket = socket.create_connection(("127.0.0.1", target), PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self.socket = context.wrap_socket(self.socket)
        self.file = self.socket.makefile("rb")

    def ask(self, method, path, body=None, **headers):
        """Returns the status, the headers by their names in small letters, and the body."""
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + (body or b""))
        return self.answer(method)

    def answer(self, method="GET"):
        status = self._line()
        if not status.startswith("HTTP/1."):
            raise ValueError(f"{status!r} is no answer")
        code = int(status.split()[1])
        seen = {}
        while True:
            line = self._line()
            if not line:
                break
            name, value = line.split(":", 1)
            seen[name.lower()] = value.strip()
        if method == "HEAD" or code in (204, 304) or (method == "CONNECT" and code == 200):
            return code, seen, b""
        if seen.get("transfer-encoding") == "chunked":
            body = b""
            while True:
                size = int(self._line().split(";")[0], 16)
                body += self._bytes(size)
                self._line()
                if size == 0:
                    return code, seen, body
        if "content-length" in seen:
            return code, seen, self._bytes(int(seen["content-length"]))
        return code, seen, self.file.read()

    def _line(self):
        line = self.file.readline()
        if not line.endswith(b"\n"):
            raise ConnectionError("the connection was closed")
        return line.decode("latin-1").rstrip("\r\n")

    def _bytes(self, size):
        data = self.file.read(size)
        if len(data) != size:
            raise ConnectionError("the connection was closed")
        return data

    def close(self):
        self.file.close()
        self.socket.close()


class HttpChecker(Checker):
    """Derive, and give `steps` in connect()."""

    steps = ()

    def __init__(self, port):
        super().__init__(port)
        self.client = None
        self.asked = 0

    def connect(self):
        if self.client:
            self.client.close()
        self.client = HttpClient(self.port)

    def request(self):
        # Servers and proxies end a connection after some hundred requests, and say so.
        self.asked += 1
        if self.asked % 50 == 0:
            self.connect()
        self.random.choice(self.steps)()

    def expect(self, status, body, method, path, sent=None, **headers):
        code, seen, answer = self.client.ask(method, path, sent, **headers)
        expect(code, status, f"{method} {path}")
        if body is not None:
            expect(answer, body, f"{method} {path}")
        if seen.get("connection", "").lower() == "close":
            self.connect()
        return seen


def well_loaded(said):
    """Of what wrk says at its end: an empty string, or what went wrong."""
    return "\n".join(line.strip() for line in said.splitlines() if "Socket errors" in line or "Non-2xx" in line)


__all__ = ["HttpChecker", "HttpClient", "Wrong", "expect", "well_loaded"]

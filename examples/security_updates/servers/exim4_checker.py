# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""What exim is asked, and whether the faults that patches mend are there."""

import base64
import hashlib
import hmac
import os
import socket
import ssl
import struct

from checker import PATIENCE_S, Checker, Wrong, expect

TEXT = b"The quick brown fox jumps over the lazy dog.\n"


class Session:
    """A connection, by which commands are sent and answers read."""

    def __init__(self, port, address="127.0.0.1", first=b""):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S, source_address=(address, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")
        self.socket.sendall(first)
        self.greeting = self.answer()

    def answer(self):
        """The code and the lines, without it."""
        lines = []
        while True:
            line = self.file.readline()
            if not line.endswith(b"\n"):
                raise ConnectionError("the connection was closed")
            lines.append(line[4:].rstrip(b"\r\n"))
            if line[3:4] != b"-":
                return int(line[:3]), lines

    def send(self, data):
        self.socket.sendall(data)

    def ask(self, command):
        self.send(command + b"\r\n")
        return self.answer()

    def hello(self):
        code, lines = self.ask(b"EHLO check.test")
        expect(code, 250, "EHLO")
        return lines

    def start_tls(self):
        expect(self.ask(b"STARTTLS")[0], 220, "STARTTLS")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.file.close()
        self.socket = context.wrap_socket(self.socket)
        self.file = self.socket.makefile("rb")
        return self.hello()

    def envelope(self, recipients=(b"check@near.test",)):
        expect(self.ask(b"MAIL FROM:<check@near.test>")[0], 250, "MAIL")
        for recipient in recipients:
            expect(self.ask(b"RCPT TO:<" + recipient + b">")[0], 250, "RCPT")

    def mail(self, message):
        """Sends it; returns the answer."""
        self.envelope()
        expect(self.ask(b"DATA")[0], 354, "DATA")
        self.send(message.replace(b"\n", b"\r\n").replace(b"\r\n.", b"\r\n..") + b".\r\n")
        return self.answer()

    def close(self):
        self.file.close()
        self.socket.close()


def message(text, *headers):
    return b"".join(header + b"\n" for header in (b"Subject: check", *headers)) + b"\n" + text


class EximChecker(Checker):
    """One session that lasts, and new ones; and what is in the queue."""

    pause_s = 0.002

    def __init__(self, port, spool):
        super().__init__(port)
        self.spool = spool

    def connect(self):
        self.session = self.log_in()
        self.sent = 0

    def log_in(self):
        session = Session(self.port)
        expect((session.greeting[0], session.greeting[1][0][:9]), (220, b"exim.test"), "greeting")
        expect({b"PIPELINING", b"CHUNKING", b"STARTTLS", b"AUTH PLAIN CRAM-MD5 EXTERNAL NTLM"} <= set(session.hello()), True, "EHLO")
        return session

    def request(self):
        self.random.choice([self.expanded, self.expanded, self.mail, self.mail, self.chunks, self.addresses, self.files, self.encrypted,
                            self.users, self.proxied, self.wrong])()

    def queued(self, answer, text):
        """What is in the queue, and takes it out."""
        expect(answer[0], 250, "DATA")
        number = answer[1][-1].removeprefix(b"OK id=").decode("ascii")
        path = os.path.join(self.spool, "input", number)
        try:
            with open(path + "-D", "rb") as file:
                stored = file.read()
            with open(path + "-H", "rb") as file:
                headers = file.read()
            os.unlink(path + "-D")
            os.unlink(path + "-H")
        except FileNotFoundError as error:
            raise Wrong(f"a message that was taken is not there: {error}") from error
        expect(stored, f"{number}-D\n".encode() + text, "what was stored")
        expect(b"Subject: check\n" in headers, True, "headers")

    def text(self):
        return TEXT * self.random.randrange(1, 60) + b"%f\n.\n.end\n" % self.random.random()

    def mail(self):
        text = self.text()
        self.queued(self.session.mail(message(text)), text)

    def chunks(self, session=None):
        session, text = session or self.session, self.text()
        parts = [message(text)[:100], message(text)[100:]]
        session.envelope([b"check@near.test", b"other@near.test"])
        for part, command in zip(parts, [b"BDAT %d", b"BDAT %d LAST"]):
            part = part.replace(b"\n", b"\r\n")
            session.send(command % len(part) + b"\r\n" + part)
            answer = session.answer()
            expect(answer[0], 250, "BDAT")
        self.queued(answer, text)

    def expanded(self):
        word = "".join(self.random.choice("abcdefghij") for _ in range(self.random.randrange(1, 30)))
        items = [f"{self.random.randrange(1000)}x{word}" for _ in range(self.random.randrange(1, 20))]
        kind, given, wanted = self.random.choice([
            ("tr", word, word.translate(str.maketrans("abcdef", "uvwxyz"))), ("clean", word + "\u00e4\u20ac", word + "\u00e4\u20ac"),
            ("hash", word, hashlib.sha256(word.encode()).hexdigest().upper()), ("json", f'{{"a":"{word}","b":"{word}{word}"}}', word + word),
            ("list", ",".join(items), ",".join(items).upper()), ("sort", ",".join(items), ",".join(sorted(items))),
            ("run", word, "a-b")])
        expect(self.session.ask(f"EXPN {kind} {given}".encode()), (550, [wanted.encode()]), kind)

    def addresses(self):
        expect(self.session.ask(b"MAIL FROM:<check@near.test>")[0], 250, "MAIL")
        for local, said in [("refused", "REFUSED is refused"), ("10.0.0.1", "an address of four"), ("fe80::1.2.3.4", "an address of six")]:
            expect(self.session.ask(f'RCPT TO:<"{local}"@near.test>'.encode()), (550, [said.encode()]), local)
        expect(self.session.ask(b"RCPT TO:<check@far.test>"), (550, [b"relay not permitted"]), "a domain")
        expect(self.session.ask(b'RCPT TO:<"10.0.0.256"@near.test>')[0], 250, "no address")
        expect(self.session.ask(b"RSET")[0], 250, "RSET")

    def files(self):
        bad = self.random.random() < 0.5
        file = f"{self.random.randrange(1000)}.{'bad' if bad else 'good'}"
        text = f"--x\nContent-Type: text/plain\nContent-Disposition: attachment; filename=\"{file}\"\n\nfile\n--x--\n".encode()
        answer = self.session.mail(message(text, b"MIME-Version: 1.0", b"Content-Type: multipart/mixed; boundary=x"))
        if bad:
            expect(answer, (550, [b"a file " + file.encode()]), "an attached file")
        else:
            self.queued(answer, text)

    def encrypted(self):
        session = self.log_in()
        session.start_tls()
        text = self.text()
        self.queued(session.mail(message(text)), text)
        self.chunks(session)
        expect(session.ask(b"QUIT")[0], 221, "QUIT")
        session.close()

    def users(self):
        session = self.log_in()
        right = self.random.random() < 0.5
        secret = b"secret" if right else b"wrong"
        answers = {True: 235, False: 535}
        kind = self.random.choice([self.plain, self.challenged, self.outside, self.ntlm])
        code = kind(session, secret, right)
        expect(code, answers[right and kind != self.ntlm], kind.__name__)
        expect(session.ask(b"QUIT")[0], 221, "QUIT")
        session.close()

    @staticmethod
    def plain(session, secret, _):
        return session.ask(b"AUTH PLAIN " + base64.b64encode(b"\0check\0" + secret))[0]

    @staticmethod
    def challenged(session, secret, _):
        code, lines = session.ask(b"AUTH CRAM-MD5")
        expect(code, 334, "CRAM-MD5")
        digest = hmac.new(secret, base64.b64decode(lines[0]), "md5").hexdigest()
        return session.ask(base64.b64encode(b"check " + digest.encode()))[0]

    @staticmethod
    def outside(session, _, right):
        return session.ask(b"AUTH EXTERNAL " + base64.b64encode(b"check" if right else b"nobody"))[0]

    @staticmethod
    def ntlm(session, *_):
        """Its answer to the challenge is not right."""
        code, lines = session.ask(b"AUTH NTLM " + base64.b64encode(b"NTLMSSP\0" + struct.pack("<2I", 1, 0xb207) + b"\0" * 16))
        challenge = base64.b64decode(lines[0])
        expect((code, challenge[:12]), (334, b"NTLMSSP\0\2\0\0\0"), "NTLM")
        # Headers of six strings, then the user, and two digests.
        user, at = "check".encode("utf-16-le"), 64
        headers = [(24, at + len(user)), (24, at + len(user) + 24), (0, at), (len(user), at), (0, at), (0, at)]
        return session.ask(base64.b64encode(b"NTLMSSP\0" + struct.pack("<I", 3) + b"".join(
            struct.pack("<2HI", size, size, where) for size, where in headers) + struct.pack("<I", 0x8201) + user + b"\0" * 48))[0]

    def proxied(self):
        address = f"203.0.113.{self.random.randrange(1, 255)}"
        if self.random.random() < 0.5:
            first = f"PROXY TCP4 {address} 127.0.0.1 1000 25\r\n".encode()
        else:
            first = proxy_header(0x11, socket.inet_aton(address) + socket.inet_aton("127.0.0.1") + struct.pack(">2H", 1000, 25))
        session = Session(self.port, "127.0.0.2", first)
        expect(session.ask(b"EHLO who"), (550, [b"you are " + address.encode()]), "a client behind a proxy")
        session.close()

    def wrong(self):
        expect(self.session.ask(b"DATA")[0], 503, "DATA without an address")
        expect(self.session.ask(b"MAIL FROM:<a b>")[0], 501, "no address")
        # Too many of these end a session.
        expect(self.session.ask(b"QUIT")[0], 221, "QUIT")
        self.session.close()
        self.session = self.log_in()


def proxy_header(family, addresses):
    return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack(">2BH", 0x21, family, len(addresses)) + addresses


def faults():
    def session(port):
        one = Session(port)
        one.hello()
        return one

    def surrogates(port):
        return session(port).ask(b"EXPN clean \xed\xa0\x80") == (550, [b"\xed\xa0\x80"])

    def smuggled(port):
        """A message ends at a line that only looks like its end; what follows counts as commands."""
        one = session(port)
        one.envelope()
        expect(one.ask(b"DATA")[0], 354, "DATA")
        one.send(b"Subject: check\r\n\r\na\n.\nNOOP\r\n.\r\n")
        return one.answer()[0] != 250 or one.ask(b"QUIT")[0] != 221

    def named_in_parts(*lines):
        """The name of an attached file, given in parts, is not seen."""
        def fault(port):
            headers = [b"MIME-Version: 1.0", b"Content-Type: multipart/mixed; boundary=x"]
            return session(port).mail(message(b"--x\n" + b"\n".join(lines) + b"\n\nfile\n--x--\n", *headers))[0] != 550
        return fault

    def proxy_without_address(port):
        """What has not been read is taken for the client's address."""
        one = Session(port, "127.0.0.2", proxy_header(0x21, b""))
        return one.ask(b"EHLO who")[1][0].startswith(b"you are ")

    return {
        "75_76-Expansions-disallow-UTF-16-surrogates-from-utf8clean.patch": surrogates,
        "77_CVE-2023-51766_4.97.1-release.diff": smuggled,
        "78_01-Fix-MIME-parsing-of-filenames-specified-using-multip.patch": named_in_parts(
            b"Content-Type: text/plain", b"Content-Disposition: attachment;", b' filename*0="x";', b' filename*1=".bad"'),
        "78_02-MIME-support-RFC-2331-for-name-.-Bug-3099.patch": named_in_parts(
            b"Content-Type: text/plain;", b' name*0="x";', b' name*1=".bad"'),
        "84_Security-fix-PROXYv2-uninitialised-stack-disclosure-.patch": proxy_without_address,
    }

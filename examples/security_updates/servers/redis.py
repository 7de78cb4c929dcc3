# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""redis, a database in memory."""

import os

from checker import Checker, Stream, Wrong, expect
from servers.description import Server
from sources import run


class Description(Server):
    name = "redis"
    program = "src/redis-server"
    first = "0001-Apply-security-fixes-for-CVEs-1113.patch"
    headers = {"jemalloc/jemalloc.h": "libjemalloc-dev", "liblzf/lzf.h": "liblzf-dev", "openssl/ssl.h": "libssl-dev",
               "systemd/sd-daemon.h": "libsystemd-dev"}
    fixes = {
        "0001-Apply-security-fixes-for-CVEs-1113.patch": "CVE-2024-31227, -31228, -31449",
        "0001-Limiting-output-buffer-for-unauthenticated-client-CV.patch": "CVE-2025-21605",
    }

    def environment(self, instar):
        environment = super().environment(instar)
        environment["CFLAGS"] += " -I/usr/include/liblzf"
        environment["LDFLAGS"] += " -Wl,-no-as-needed -ldl -latomic -llzf"
        # The program says of which commit it is, where there is git: each build would differ.
        environment["GIT_DIR"] = "/nonexistent"
        return environment

    def make(self, tree, instar, log):
        environment = self.environment(instar)
        arguments = ["CC=" + environment["CC"], "USE_SYSTEM_JEMALLOC=yes", "USE_JEMALLOC=yes", "USE_SYSTEMD=yes", "BUILD_TLS=yes"]
        for library in ["lua", "hdr_histogram", "hiredis"]:
            # The package's build looks at these only once.
            if os.path.exists(os.path.join(tree, "src", ".make-settings")):
                run(["make", "-C", "deps", library, *arguments], cwd=tree, env=environment, log=log)
        if os.path.exists(os.path.join(tree, self.program)):
            os.unlink(os.path.join(tree, self.program))
        run(["make", "-C", "src", "redis-server", "redis-benchmark", *arguments], cwd=tree, env=environment, log=log)

    def start(self, folder, work, port):
        return [os.path.join(folder, self.program), "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no",
                "--dir", work, "--enable-debug-command", "yes"]

    def load(self, tree, work, port):
        return [os.path.join(tree, "src", "redis-benchmark"), "-h", "127.0.0.1", "-p", str(port), "-c", "10", "-l", "-q", "-r", "10000",
                "-t", "set,get,incr,lpush,lpop,sadd,hset,spop,zadd,zpopmin,lrange_100,mset"]

    def answers(self, port):
        try:
            client = Client(port)
            client.ask("PING")
            client.close()
            return True
        except OSError:
            return False

    def checker(self, port):
        return RedisChecker(port)

    def effects(self):
        return {
            "0001-Apply-security-fixes-for-CVEs-1113.patch": accepts("ACL", "SETUSER", "fault", "%~x"),
            "0002-Fix-Read-Write-key-pattern-selector-CVE-2024-51741-1.patch": accepts("ACL", "SETUSER", "fault", "%"),
            "0001-Limiting-output-buffer-for-unauthenticated-client-CV.patch": keeps_unauthenticated_client,
            "CVE-2025-46818.patch": lets_scripts_change_what_others_use,
            "CVE-2025-67733.patch": breaks_line_of_error,
            "CVE-2026-25243.patch": accepts("RESTORE", "fault", "0", SHORT_ZIPMAP, "REPLACE"),
            "CVE-2026-66373.patch": accepts("RESTORE", "fault", "0", SHARED_NACK, "REPLACE"),
        }


class Error(str):
    """An answer that is an error."""


class Client(Stream):
    """Speaks RESP, in its second version."""

    def ask(self, *words):
        encoded = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        self.send(b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded))
        return self.answer()

    def answer(self):
        line = self.line()
        kind, text = line[:1], line[1:].decode()
        if kind == b"+":
            return text
        if kind == b"-":
            return Error(text)
        if kind == b":":
            return int(text)
        if kind == b"$":
            return None if text == "-1" else self.read(int(text) + 2)[:-2].decode("latin-1")
        if kind == b"*":
            return None if text == "-1" else [self.answer() for _ in range(int(text))]
        raise ValueError(f"{line!r} is no answer")


def accepts(*words):
    """Whether the server takes a request that it should refuse. What it makes is removed."""
    def see(port):
        client = Client(port)
        answer = client.ask(*words)
        client.ask("DEL", "fault")
        client.ask("ACL", "DELUSER", "fault")
        client.close()
        return not isinstance(answer, Error)
    return see


def keeps_unauthenticated_client(port):
    """Whether one that has not said who it is can have the server keep more and more answers for it."""
    client = Client(port)
    expect(client.ask("CONFIG", "SET", "requirepass", "secret"), "OK")
    stranger = Client(port)
    try:
        stranger.send(b"GET x\r\n" * 5000)
        read = 0
        while read < 5000:
            stranger.line()
            read += 1
        return True
    except OSError:
        return False
    finally:
        stranger.close()
        client.ask("CONFIG", "SET", "requirepass", "")
        client.close()


def lets_scripts_change_what_others_use(port):
    return (accepts("EVAL", "local m = getmetatable(''); m.__index = m.__index", "0")(port) or
            accepts("EVAL", "return type(setfenv)", "0")(port))


def breaks_line_of_error(port):
    """Whether what a client sends becomes a line of its own in the answer."""
    client = Client(port)
    client.ask("FUNCTION", "LIST", "a\r\n+b")
    answer = client.ask("PING")
    client.close()
    return answer != "PONG"


# Of the tests of the patches.
SHORT_ZIPMAP = (b"\x09\x0e\x01\x01\x6b\xfe\x04\x00\x00\x00\x00\x76\x61\x6c\x31\xff\x09\x00\xd0\xf9\xe4\x1d\xe4\xfb\x11\x4c")
SHARED_NACK = (
    b"\x0f\x01\x10\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x25\x25\x00\x00\x00\x0a\x00\x01\x01\x00"
    b"\x01\x01\x01\x85\x66\x69\x65\x6c\x64\x06\x00\x01\x02\x01\x00\x01\x00\x01\x85\x76\x61\x6c\x75\x65\x06\x04\x01\xff\x01"
    b"\x01\x00\x01\x07\x6d\x79\x67\x72\x6f\x75\x70\x01\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00"
    b"\x00\x4a\x79\x89\x8f\x9f\x01\x00\x00\x01\x02\x09\x63\x6f\x6e\x73\x75\x6d\x65\x72\x41\x4a\x79\x89\x8f\x9f\x01\x00\x00"
    b"\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x09\x63\x6f\x6e\x73\x75\x6d\x65\x72\x42\x54\x79"
    b"\x89\x8f\x9f\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x09\x00\xf6\xea\x7b\x6c"
    b"\xb8\xb8\xd8\xb4")


class RedisChecker(Checker):
    """All types, scripts and functions, patterns of keys and of users."""

    def connect(self):
        self.client = Client(self.port)
        ask = self.client.ask
        for key in ["s", "n", "l", "h", "z", "u", "p", "d", "x", "x:stream"]:
            ask("DEL", "check:" + key)
        self.string, self.number, self.list, self.hash, self.sorted, self.set, self.seen = "", 0, [], {}, {}, set(), set()
        self.entries = 0
        expect(ask("FUNCTION", "LOAD", "REPLACE", "#!lua name=check\nredis.register_function('twice', "
                   "function(keys, args) return {args[1], args[1]} end)"), "check")
        self.steps = [self.strings, self.numbers, self.lists, self.hashes, self.sorted_sets, self.sets, self.counted,
                      self.scripts, self.functions, self.patterns, self.users, self.dumped, self.streams, self.transactions,
                      self.errors]

    def request(self):
        self.random.choice(self.steps)()

    def expect(self, wanted, *words):
        expect(self.client.ask(*words), wanted, " ".join(str(word) for word in words)[:80])

    def strings(self):
        if len(self.string) > 500 or not self.string:
            self.string = "%016x" % self.random.getrandbits(64) * self.random.randrange(1, 10)
            self.expect("OK", "SET", "check:s", self.string)
        elif self.random.random() < 0.5:
            more = "%x" % self.random.getrandbits(30)
            self.string += more
            self.expect(len(self.string), "APPEND", "check:s", more)
        else:
            first = self.random.randrange(len(self.string))
            self.expect(self.string[first:first + 20], "GETRANGE", "check:s", first, first + 19)

    def numbers(self):
        by = self.random.randrange(-1000, 1000)
        self.number += by
        self.expect(self.number, "INCRBY", "check:n", by)

    def lists(self):
        if len(self.list) < 40:
            value = str(self.random.random())
            self.list.append(value)
            self.expect(len(self.list), "RPUSH", "check:l", value)
        elif self.random.random() < 0.9:
            self.expect(self.list, "LRANGE", "check:l", 0, -1)
        else:
            self.expect(self.list[:20], "LPOP", "check:l", 20)
            del self.list[:20]

    def hashes(self):
        field, value = f"f{self.random.randrange(30)}", str(self.random.random())
        if self.random.random() < 0.5:
            is_new = field not in self.hash
            self.hash[field] = value
            self.expect(int(is_new), "HSET", "check:h", field, value)
        else:
            self.expect(self.hash.get(field), "HGET", "check:h", field)

    def sorted_sets(self):
        member, score = f"m{self.random.randrange(30)}", self.random.randrange(10**6)
        if self.random.random() < 0.5:
            is_new = member not in self.sorted
            self.sorted[member] = score
            self.expect(int(is_new), "ZADD", "check:z", score, member)
        else:
            order = sorted(self.sorted, key=lambda one: (self.sorted[one], one))
            self.expect(order[:10], "ZRANGE", "check:z", 0, 9)

    def sets(self):
        member = str(self.random.randrange(100))
        if self.random.random() < 0.7:
            is_new = member not in self.set
            self.set.add(member)
            self.expect(int(is_new), "SADD", "check:u", member)
        else:
            self.expect(len(self.set), "SCARD", "check:u")

    def counted(self):
        # Of some tens it is exact.
        member = str(self.random.randrange(20))
        is_new = member not in self.seen
        self.seen.add(member)
        self.expect(int(is_new), "PFADD", "check:p", member)
        self.expect(len(self.seen), "PFCOUNT", "check:p")

    def scripts(self):
        a, b = self.random.randrange(1, 1000), self.random.randrange(1, 1000)
        self.expect(a, "EVAL", "return tonumber(ARGV[1])", 0, a)
        self.expect([a & b, a | b, a << 3], "EVAL", "local a, b = tonumber(ARGV[1]), tonumber(ARGV[2]); "
                    "return {bit.band(a, b), bit.bor(a, b), bit.lshift(a, 3)}", 0, a, b)
        self.expect(f"[{a},{b}]", "EVAL", "return cjson.encode({tonumber(ARGV[1]), tonumber(ARGV[2])})", 0, a, b)
        self.expect([a, b], "EVAL", "return {unpack({tonumber(ARGV[1]), tonumber(ARGV[2])}, 1, 2)}", 0, a, b)
        self.expect(f"line\n{a}", "EVAL", "local f = loadstring('return [==[line\\n' .. ARGV[1] .. ']==]'); return f()", 0, a)
        self.expect(str(a), "EVAL", f"--[[{b}]] redis.call('SET', KEYS[1], ARGV[1]); return redis.call('GET', KEYS[1])", 1,
                    "check:x", a)

    def functions(self):
        value = str(self.random.random())
        self.expect([value, value], "FCALL", "twice", 0, value)

    def patterns(self):
        if self.random.random() < 0.1:
            self.expect(["check:s"] if self.string else [], "KEYS", "check:[s]*")

    def users(self):
        name = f"user{self.random.randrange(5)}"
        self.expect("OK", "ACL", "SETUSER", name, "reset", "on", "nopass", "%R~read:*", "%W~write:*", "+@all")
        self.expect("OK", "ACL", "DRYRUN", name, "GET", "read:1")
        answer = self.client.ask("ACL", "DRYRUN", name, "SET", "read:1", "x")
        if "permission" not in str(answer):
            raise Wrong(f"ACL DRYRUN: {answer}")
        if not isinstance(self.client.ask("ACL", "SETUSER", name, "%X~a"), Error):
            raise Wrong("ACL SETUSER takes %X~a")

    def dumped(self):
        value = [str(self.random.random()) for _ in range(5)]
        self.client.ask("DEL", "check:d")
        self.expect(5, "RPUSH", "check:d", *value)
        # latin-1, as it was read.
        dump = self.client.ask("DUMP", "check:d").encode("latin-1")
        self.expect("OK", "RESTORE", "check:d", 0, dump, "REPLACE")
        self.expect(value, "LRANGE", "check:d", 0, -1)

    def streams(self):
        self.entries += 1
        self.expect(f"{self.entries}-0", "XADD", "check:x:stream", f"{self.entries}-0", "n",
                    self.entries)
        self.expect([[f"{self.entries}-0", ["n", str(self.entries)]]], "XRANGE", "check:x:stream", f"{self.entries}-0", "+")

    def transactions(self):
        self.expect("OK", "MULTI")
        self.number += 1
        self.expect("QUEUED", "INCR", "check:n")
        self.expect("QUEUED", "PING")
        self.expect([self.number, "PONG"], "EXEC")

    def errors(self):
        answer = self.client.ask("LPUSH", "check:n", "x") if self.number else Error("WRONGTYPE")
        if not (isinstance(answer, Error) and answer.startswith("WRONGTYPE")):
            raise Wrong(f"LPUSH of a number: {answer}")
        answer = self.client.ask("EVAL", "return redis.error_reply('MY error')", 0)
        if answer != "MY error":
            raise Wrong(f"error_reply: {answer}")

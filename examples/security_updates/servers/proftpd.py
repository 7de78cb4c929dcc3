# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""proftpd, an FTP server: a process for each session."""

import ftplib
import io
import os
import pwd
import re

from checker import PATIENCE_S, Checker, Wrong, expect
from servers.description import Server
from sources import run


class Description(Server):
    name = "proftpd"
    package = "proftpd-dfsg"
    program = "proftpd"
    first = "upstream_bug_1597.diff"
    # After that nearly all has to be built anew: it comes last.
    moved = [("97bbe68363ccf2de0c07f67170ec64a8b4d62592.diff", "2052_pghmcfc.diff")]
    # Sessions run as another user, who may not have a manager where root has them: those that come get what was loaded.
    is_forking = True
    skipped = {r"^0[123]_disable": "tests only"}
    fixes = {
        "upstream_bug_1597.diff": "bug 1597",
        "upstream_1707.diff": "bug 1707",
        "bcec15efe6c53dac40420731013f1cd2fd54123b.diff": "CVE-2023-48795",
        "97bbe68363ccf2de0c07f67170ec64a8b4d62592.diff": "CVE-2023-51713",
        "5031d498a71c493b9659e2b5ccafde58b0897e30.diff": "CVE-2024-48651",
        "9b2b4a3e32d251798bf8fa841b124ab15ba58f11.diff": "CVE-2024-57392",
        "3cf5ad4b7e6df0e5a980aeab9021ef25c63dbfd6.diff": "RADIUS, issue 1840",
        "2052_pghmcfc.diff": "CVE-2026-42167",
    }
    headers = {"openssl/ssl.h": "libssl-dev", "pcre2.h": "libpcre2-dev", "sqlite3.h": "libsqlite3-dev"}

    def configure(self, tree, instar, log):
        environment = self.environment(instar)
        # The package builds these modules as shared objects.
        run(["./configure", "--prefix=/usr", "--sysconfdir=/etc/proftpd", "--localstatedir=/run", "--enable-sendfile",
             "--enable-autoshadow", "--enable-ctrls", "--enable-openssl", "--enable-ipv6", "--enable-pcre2", "--disable-strip",
             "--with-modules=mod_sftp:mod_tls:mod_radius:mod_wrap2:mod_wrap2_file:mod_rewrite:mod_site_misc:mod_sql:mod_sql_sqlite:"
             "mod_quotatab:mod_quotatab_file:mod_copy:mod_ifversion:mod_ban:mod_ctrls_admin:mod_digest"],
            cwd=tree, env=environment, log=log)

    def make(self, tree, instar, log):
        # The package's build does not know which file includes which.
        changed = run(["git", "-C", tree, "diff", "--name-only", "HEAD~1", "HEAD"]).split()
        for folder in {re.sub(r"^(contrib/mod_\w+|).*", r"\1", name) for name in changed if re.search(r"\.h(\.in)?$", name)}:
            if os.path.exists(os.path.join(tree, self.program)):
                run(["make", "clean"], cwd=os.path.join(tree, folder), log=log)
            if os.path.exists(os.path.join(tree, folder, "config.status")):
                run(["./config.status"], cwd=os.path.join(tree, folder), log=log)
        run(["make", "proftpd"], cwd=tree, env=self.environment(instar), log=log)

    def start(self, folder, work, port):
        home = os.path.join(work, "home")
        os.makedirs(home)
        os.chmod(home, 0o777)
        user, group = (pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid) if os.getuid() == 0 else (os.getuid(), os.getgid())
        secret = run(["openssl", "passwd", "-6", "secret"]).strip()
        with open(os.path.join(work, "passwd"), "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(f"check:{secret}:{user}:{group}::{home}:/bin/false\n")
        for size in SIZES:
            with open(os.path.join(home, f"{size}.bin"), "wb") as file:
                file.write(content(size))
        with open(os.path.join(work, "proftpd.conf"), "w", encoding="utf-8") as file:
            file.write(CONFIGURATION.format(work=work, port=port))
        return [os.path.join(folder, self.program), "-n", "-q", "-c", os.path.join(work, "proftpd.conf")]

    def load(self, tree, work, port):
        return ["sh", "-c", f"while curl -sS -o /dev/null --user check:secret ftp://127.0.0.1:{port}/100000.bin; do :; done"]

    def checker(self, port):
        return FtpChecker(port)


SIZES = [0, 1, 1000, 100000]
CONFIGURATION = """
ServerName test
ServerType standalone
DefaultServer on
DefaultAddress 127.0.0.1
Port {port}
UseIPv6 off
UseReverseDNS off
User nobody
Group nogroup
AuthOrder mod_auth_file.c
AuthUserFile {work}/passwd
RequireValidShell off
PidFile {work}/pid
ScoreboardFile {work}/scoreboard
SystemLog {work}/log
WtmpLog off
DelayEngine off
MaxInstances 100
AllowOverwrite on
Umask 022
"""


def content(size):
    return (b"0123456789abcdef" * (size // 16 + 1))[:size]


class FtpChecker(Checker):
    """One session that lasts, and new ones: files there and back, lists, names."""

    pause_s = 0.002

    def connect(self):
        self.session = self.log_in()

    def log_in(self):
        session = ftplib.FTP(timeout=PATIENCE_S)
        session.connect("127.0.0.1", self.port)
        expect(session.login("check", "secret")[:3], "230", "PASS")
        return session

    def request(self):
        try:
            self.random.choice([self.files, self.files, self.stored, self.listed, self.facts, self.new_session, self.refused])()
        except EOFError as error:
            raise ConnectionError("the connection was closed") from error
        except ftplib.Error as error:
            raise Wrong(str(error)) from error

    def fetch(self, name, session=None):
        parts = []
        (session or self.session).retrbinary(f"RETR {name}", parts.append)
        return b"".join(parts)

    def files(self):
        size = self.random.choice(SIZES)
        expect(self.fetch(f"{size}.bin"), content(size), "RETR")
        expect(self.session.size(f"{size}.bin"), size, "SIZE")

    def stored(self):
        name, data = f"new{self.random.randrange(100)}", b"%f" % self.random.random() * 100
        self.session.storbinary(f"STOR {name}", io.BytesIO(data))
        expect(self.fetch(name), data, "STOR")
        self.session.rename(name, name + ".moved")
        self.session.delete(name + ".moved")

    def listed(self):
        expect({f"{size}.bin" for size in SIZES} <= set(self.session.nlst()), True, "NLST")
        lines = []
        self.session.dir("1000.bin", lines.append)
        expect((len(lines), lines[0].split()[4]), (1, "1000"), "LIST")

    def facts(self):
        found = {name: facts for name, facts in self.session.mlsd()}
        expect(found["100000.bin"]["size"], "100000", "MLSD")
        expect(self.session.pwd()[-4:], "home", "PWD")

    def new_session(self):
        session = self.log_in()
        expect(self.fetch("1000.bin", session), content(1000), "RETR in a new session")
        expect(session.quit()[:3], "221", "QUIT")

    def refused(self):
        session = ftplib.FTP(timeout=PATIENCE_S)
        session.connect("127.0.0.1", self.port)
        try:
            session.login("check", "wrong")
        except ftplib.error_perm as error:
            expect(str(error)[:3], "530", "PASS")
        else:
            raise Wrong("a wrong password is taken")
        finally:
            session.close()

# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""squid, a proxy, in C++."""

import os
import re
import shutil
import signal

from servers.description import Server, free_port
from servers.squid_checker import SquidChecker, faults
from servers.squid_origin import Origin
from sources import git, run


class Description(Server):
    name = "squid"
    language = "C++"
    program = "src/squid"
    unchanged = ("squidS.c",)  # libtool makes it to link, and removes it
    runs_with = ("src/unlinkd", "src/mime.conf.default", "errors/templates")
    first = "1f13f721263a4cc75e4b798a230022561047899c.patch"
    fixes = {"1f13f721263a4cc75e4b798a230022561047899c.patch": "bug 5162"}
    options = {"CVE-2023-50269.patch": [("--allow-type=ClientRequestContext", "pools give memory that is zero")]}
    # After some of them nearly all has to be built anew: they come last.
    moved = [("1f13f721263a4cc75e4b798a230022561047899c.patch", "0005-Use-RuntimeDirectory-to-create-run-squid.patch"),
             ("CVE-2024-25617.patch", "CVE-2026-33515.patch"),
             ("CVE-2025-62168.patch", "CVE-2024-25617.patch"),
             ("CVE-2023-46728.patch", "CVE-2025-62168.patch"),
             # A server in which this one is refused has the two before, and none that builds on it.
             ("CVE-2025-54574_CVE-2023-5824.patch", "CVE-2023-46728.patch"),
             ("CVE-2026-50012.patch", "CVE-2025-54574_CVE-2023-5824.patch")]
    tools = dict(Server.tools, **{"g++": "g++", "automake": "automake", "autoconf": "autoconf", "libtool": "libtool-bin",
                                  "ab": "apache2-utils"})
    headers = {"gnutls/gnutls.h": "libgnutls28-dev", "ltdl.h": "libltdl-dev", "sys/capability.h": "libcap-dev",
               "expat.h": "libexpat1-dev", "libxml2/libxml/tree.h": "libxml2-dev"}
    # The package's, but for its helpers, eCAP, and systemd. ESI, which the package had until CVE-2024-45802, is there: one of
    # the patches is for it.
    flags_of_package = [
        "--enable-inline", "--disable-arch-native", "--enable-async-io=8", "--enable-storeio=ufs,aufs,diskd,rock",
        "--enable-removal-policies=lru,heap", "--enable-delay-pools", "--enable-cache-digests", "--enable-icap-client",
        "--enable-follow-x-forwarded-for", "--enable-auth-basic=none", "--enable-auth-digest=none", "--enable-auth-negotiate=none",
        "--enable-auth-ntlm=none", "--enable-external-acl-helpers=no", "--enable-security-cert-validators=no",
        "--enable-storeid-rewrite-helpers=no", "--enable-url-rewrite-helpers=no", "--enable-log-daemon-helpers=no", "--enable-eui",
        "--enable-icmp", "--enable-zph-qos", "--disable-ecap", "--enable-esi", "--disable-translation",
        "--disable-static",  # libraries of the build: each object once
        "--with-filedescriptors=65536", "--with-large-files", "--with-default-user=proxy", "--enable-linux-netfilter",
        "--with-gnutls", "--without-openssl", "--without-systemd", "--with-build-environment=default",
        "--with-pidfile=/run/squid.pid", "--sysconfdir=/etc/squid"]

    def configure(self, tree, instar, log):
        run(["autoreconf", "--force", "--install"], cwd=tree, log=log)
        # What that has made stays when the next patch is checked out: all would be configured anew.
        made = git(tree, "diff", "--name-only").splitlines()
        git(tree, "update-index", "--skip-worktree", *made)
        run(["./configure", "BUILDCXX=g++", "BUILDCXXFLAGS=-O1", *self.flags_of_package], cwd=tree, env=self.environment(instar),
            log=log)

    def make(self, tree, instar, log):
        # The package's build does not make its makefiles anew.
        changed = [name[:-len(".am")] for name in git(tree, "ls-files", "*Makefile.am").splitlines()
                   if os.path.exists(os.path.join(tree, name[:-len(".am")])) and
                   os.path.getmtime(os.path.join(tree, name)) > os.path.getmtime(os.path.join(tree, name[:-len(".am")] + ".in"))]
        if changed:
            run(["automake", *changed], cwd=tree, log=log)
            run(["./config.status", *changed, "depfiles"], cwd=tree, log=log)
        # The program and what it is linked from.
        for folder in ["compat", "lib", "src"]:
            run(["make", "-C", folder, "all"], cwd=tree, env=self.environment(instar), log=log)

    def start(self, folder, work, port):
        if getattr(self, "origin", None):
            self.origin.end()
        self.origin = Origin()
        self.ports = {"icp": free_port(), "snmp": free_port()}
        for name in ["cache", "logs"]:
            os.makedirs(os.path.join(work, name))
            os.chmod(os.path.join(work, name), 0o777)
        os.chmod(work, 0o777)
        helper = os.path.join(work, "passwords.py")
        shutil.copy(os.path.join(os.path.dirname(os.path.realpath(__file__)), "squid_passwords.py"), helper)
        os.chmod(helper, 0o644)
        configuration = os.path.join(work, "squid.conf")
        with open(configuration, "w", encoding="utf-8") as file:
            file.write(CONFIGURATION.format(work=work, port=port, folder=folder, helper=helper, **self.ports))
        program = os.path.join(folder, self.program)
        run([program, "-N", "-d", "1", "-z", "-f", configuration])
        return [program, "-N", "-f", configuration]

    def load(self, tree, work, port):
        return ["ab", "-q", "-k", "-c", "10", "-t", "600", "-n", "5000000", "-X", f"127.0.0.1:{port}",
                f"http://127.0.0.1:{self.origin.port}/kept/1000"]

    load_signal = signal.SIGINT

    @staticmethod
    def load_errors(said):
        """Of what ab says at its end."""
        wrong = re.findall(r"^(?:Failed requests|Non-2xx responses):\s+[1-9].*", said, re.MULTILINE)
        return "\n".join(wrong if re.search(r"^Complete requests:\s+[1-9]", said, re.MULTILINE) else [said[-500:]])

    def checker(self, port):
        return SquidChecker(port, self.origin, self.ports)

    def effects(self):
        return faults(self)


CONFIGURATION = """
http_port 127.0.0.1:{port}
icp_port {icp}
snmp_port {snmp}
udp_incoming_address 127.0.0.2
snmp_incoming_address 127.0.0.1
pid_filename {work}/squid.pid
cache_log {work}/logs/cache.log
access_log stdio:{work}/logs/access.log
cache_store_log none
coredump_dir {work}
unlinkd_program {folder}/src/unlinkd
mime_table {folder}/src/mime.conf.default
error_directory {folder}/errors/templates
icon_directory {work}
pinger_enable off
visible_hostname squid.test
cache_mgr check@squid.test
netdb_filename none
cache_mem 16 MB
maximum_object_size_in_memory 64 KB
cache_dir aufs {work}/cache 64 16 16
shutdown_lifetime 1 second
cache_effective_user nobody
auth_param digest program /usr/bin/python3 {helper}
auth_param digest children 2 startup=1
auth_param digest realm squid
follow_x_forwarded_for allow all
acl hidden src 203.0.113.9
acl ours dst 127.0.0.1
acl guarded urlpath_regex ^/guarded/
acl known proxy_auth REQUIRED
acl listed proto FTP
cache deny listed
http_access deny hidden
http_access deny guarded !known
http_access allow ours
http_access allow manager
http_access deny all
icp_access allow all
acl public snmp_community public
snmp_access allow public
"""

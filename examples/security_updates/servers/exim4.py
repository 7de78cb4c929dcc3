# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""exim, a mail server: a process for each session."""

import os

from servers.description import Server
from servers.exim4_checker import EximChecker, faults
from sources import run


class Description(Server):
    name = "exim4"
    program = "build-instar/exim"
    objects = "build-instar"
    first = "75_71-Auths-fix-possible-OOB-write-in-external-authenticat.patch"
    # The package has had it before all others.
    moved = [("90_localscan_dlopen.dpatch", "70_remove_exim-users_references.dpatch")]
    # Sessions run as another user, as those of proftpd.
    is_forking = True
    fixes = {
        first: "CVE-2023-42115",
        "75_72-Auths-use-uschar-more-in-spa-authenticator.patch": "CVE-2023-42116",
        "75_73-Auths-fix-possible-OOB-write-in-SPA-authenticator.-B.patch": "CVE-2023-42116",
        "75_74-Auths-fix-possible-OOB-read-in-SPA-authenticator.-Bu.patch": "CVE-2023-42114",
        "75_74-Cancel-early-pipe-on-an-observed-advertising-change.patch": "early pipelining",
        "75_76-Expansions-disallow-UTF-16-surrogates-from-utf8clean.patch": "bug 2998",
        "75_77-GnuTLS-fix-crash-with-tls_dhparam-none.patch": "tls_dhparam",
        "75_79-Fix-recipients-expansion-when-used-within-run.-.-Bug.patch": "bug 3013",
        "75_82-GnuTLS-fix-autogen-cert-expiry-date.-Bug-3014.patch": "bug 3014",
        "75_83-Re-fix-live-variable-value-free.-The-inital-fix-resu.patch": "value of a lookup",
        "76-01-fix-string_is_ip_address-CVE-2023-42117-Bug-3031.patch": "CVE-2023-42117",
        "76-02-SPF-harden-against-crafted-DNS-responses.patch": "SPF",
        "76-03-Harden-dnsdb-against-crafted-DNS-responses.-Bug-3033.patch": "CVE-2023-42119",
        "76-10-Fix-tr.-and-empty-strings.-Bug-3023.patch": "bug 3023",
        "76-12-DNS-more-hardening-against-crafted-responses.patch": "DNS responses",
        "76-14-Lookups-Fix-dnsdb-lookup-of-multi-chunk-TXT.-Bug-305.patch": "CVE-2023-42119",
        "77_CVE-2023-51766_4.97.1-release.diff": "CVE-2023-51766",
        "78_01-Fix-MIME-parsing-of-filenames-specified-using-multip.patch": "CVE-2024-39929",
        "78_02-MIME-support-RFC-2331-for-name-.-Bug-3099.patch": "CVE-2024-39929",
        "78_03-Compiler-quietening.patch": "CVE-2024-39929",
        "80_Lookups-fix-dbmnz-crash-on-zero-length-datum.-Bug-30.patch": "dbmnz",
        "82_01-GnuTLS-fix-hostname-verify-of-server-cert-for-empty-.patch": "name of a certificate",
        "82_02-Support-musl-libc-dn_expand-oddity.patch": "CVE-2026-40684",
        "82_03-when-dewrap-only-skip-if-associated-char.patch": "CVE-2026-40685",
        "82_04-Expansions-harden-for-malformed-UTF-8.patch": "CVE-2026-40686",
        "82_05-Fix-SPA-authenticator.-Bug-3106.patch": "CVE-2026-40687",
        "82_06-SPA-authenticator-harden-buffer-usage.patch": "CVE-2026-40687",
        "83_TLS-on-rxd-close-with-CHUNKING-active-clean-the-inpu.patch": "Exim-Security-2026-05-01.1",
        "84_Security-fix-PROXYv2-uninitialised-stack-disclosure-.patch": "Exim-Security-2026-05-19.1",
    }
    headers = {"gnutls/gnutls.h": "libgnutls28-dev", "db.h": "libdb-dev", "pcre2posix.h": "libpcre2-dev", "idn2.h": "libidn2-dev",
               "idna.h": "libidn-dev", "sasl/sasl.h": "libsasl2-dev", "security/pam_appl.h": "libpam0g-dev", "spf2/spf.h": "libspf2-dev",
               "sqlite3.h": "libsqlite3-dev", "rpcsvc/ypclnt.h": "libnsl-dev"}
    tools = dict(Server.tools, curl="curl", openssl="openssl", perl="perl")

    def environment(self, instar):
        environment = super().environment(instar)
        # As the package's build: it takes nothing from CPPFLAGS, and has its date from there.
        environment.update(build="instar", SOURCE_DATE_EPOCH="1700000000", LFLAGS=environment["LDFLAGS"], CFLAGS=" ".join(
            [environment["CFLAGS"], "-D_LARGEFILE_SOURCE -fno-strict-aliasing -Wall", environment["CPPFLAGS"]]))
        return environment

    def configure(self, tree, instar, log):
        # exim4-daemon-heavy, but for what asks other databases, for Perl, and for the user, whom not all systems have.
        settings = os.path.join(tree, "Local", "Makefile")
        os.makedirs(os.path.dirname(settings), exist_ok=True)
        for source, kind, target in [("src/EDITME", "light", "Local/light"), ("Local/light", "heavy", "Local/Makefile")]:
            run(["patch", "--batch", "-o", target, source, f"debian/EDITME.exim4-{kind}.diff"], cwd=tree, log=log)
        with open(settings, encoding="utf-8") as file:
            lines = file.read().splitlines()
        dropped = ("LOOKUP_LDAP=", "LOOKUP_MYSQL=", "LOOKUP_PGSQL=", "LDAP_LIB_TYPE=", "LOOKUP_INCLUDE=", "LOOKUP_LIBS=", "EXIM_PERL=",
                   "EXIM_MONITOR=", "EXIM_USER=", "EXIM_GROUP=", "TRUSTED_CONFIG_LIST=")
        lines = [line for line in lines if not line.startswith(dropped)]
        lines += ["LOOKUP_LIBS=-lsqlite3", "EXIM_USER=ref:nobody", "EXIM_GROUP=ref:nogroup",
                  f"CC={instar}/bin/instar-cc"]
        with open(settings, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")

    def make(self, tree, instar, log):
        run(["make", "exim", "FULLECHO="], cwd=tree, env=self.environment(instar), log=log)

    def start(self, folder, work, port):
        self.spool = os.path.join(work, "spool")
        os.makedirs(self.spool)
        for path in [work, self.spool]:
            os.chmod(path, 0o777)
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
             "/CN=exim.test", "-keyout", os.path.join(work, "key"), "-out", os.path.join(work, "certificate")])
        os.chmod(os.path.join(work, "key"), 0o644)
        with open(os.path.join(work, "mail"), "w", encoding="ascii") as file:
            file.write("Subject: load\n\n" + "some words\n" * 100)
        program = os.path.join(folder, self.program)
        configuration = os.path.join(work, "exim.conf")
        with open(configuration, "w", encoding="utf-8") as file:
            file.write(CONFIGURATION.replace("WORK", work).replace("PORT", str(port)).replace("PROGRAM", program))
        return [program, "-bdf", "-C", configuration]

    def load(self, tree, work, port):
        return ["sh", "-c", f"while curl -sS --mail-from load@near.test --mail-rcpt load@near.test -T {work}/mail "
                            f"smtp://127.0.0.1:{port}/load.test; do rm -f {self.spool}/input/*load*; done"]

    def checker(self, port):
        return EximChecker(port, self.spool)

    def effects(self):
        return faults()


# Nothing is delivered: what is taken stays in the queue, and the checker looks at it there.
CONFIGURATION = r"""
primary_hostname = exim.test
local_interfaces = 127.0.0.1
daemon_smtp_ports = PORT
exim_path = PROGRAM
spool_directory = WORK/spool
log_file_path = WORK/spool/%slog
pid_file_path = WORK/spool/pid
keep_environment =
queue_only
no_message_logs
disable_ipv6
smtp_accept_max = 100
smtp_accept_max_nonmail_hosts =
smtp_accept_max_per_connection = 100000
host_lookup =
rfc1413_hosts =
hosts_proxy = 127.0.0.2
tls_advertise_hosts = *
tls_certificate = WORK/certificate
tls_privatekey = WORK/key
chunking_advertise_hosts = *
acl_smtp_helo = check_helo
acl_smtp_expn = check_expn
acl_smtp_rcpt = check_rcpt
acl_smtp_mime = check_mime
acl_smtp_data = accept
begin acl
check_helo:
  deny condition = ${if eq{$sender_helo_name}{who}}
       message = you are $sender_host_address
  accept
check_expn:
  deny message = ${extract{1}{ }{$smtp_command_argument}{${if eq{$value}{tr}\
      {${tr{${extract{2}{ }{$smtp_command_argument}}}{abcdef}{uvwxyz}}}{${if eq{$value}{clean}\
      {${utf8clean:${extract{2}{ }{$smtp_command_argument}}}}{${if eq{$value}{hash}\
      {${sha256:${extract{2}{ }{$smtp_command_argument}}}}{${if eq{$value}{json}\
      {${extract jsons{b}{${extract{2}{ }{$smtp_command_argument}}}}}{${if eq{$value}{list}\
      {${map{<, ${extract{2}{ }{$smtp_command_argument}}}{${uc:$item}}}}{${if eq{$value}{sort}\
      {${sort{<, ${extract{2}{ }{$smtp_command_argument}}}{lt}{$item}}}{${if eq{$value}{run}\
      {${sg{${run{/bin/echo ${sg{a.b}{\N\.\N}{-}}}}}{\n}{}}}{unknown}}}}}}}}}}}}}}}}
check_rcpt:
  deny local_parts = refused
       message = ${uc:$local_part} is refused
  deny condition = ${if isip{$local_part}}
       message = an address of ${if isip6{$local_part}{six}{four}}
  accept domains = near.test
  deny message = relay not permitted
check_mime:
  deny condition = ${if match{$mime_filename}{\N\.bad$\N}}
       message = a file $mime_filename
  accept
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and{{eq{$auth2}{check}}{eq{$auth3}{secret}}}}
  server_set_id = $auth2
cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${if eq{$auth1}{check}{secret}fail}
  server_set_id = $auth1
outside:
  driver = external
  public_name = EXTERNAL
  server_condition = ${if eq{$auth1}{check}}
  server_set_id = $auth1
ntlm:
  driver = spa
  public_name = NTLM
  server_password = ${if eq{$auth1}{check}{secret}fail}
  server_set_id = $auth1
"""

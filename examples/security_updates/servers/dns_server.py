# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""What is the same of servers that answer DNS: their load is dnsperf's."""

import os
import re
import signal

from servers.description import Server


class DnsServer(Server):
    load_signal = signal.SIGINT
    load_options = []

    def load(self, tree, work, port):
        return ["dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", os.path.join(work, "queries"), "-l", "600", "-q", "20",
                *self.load_options]

    @staticmethod
    def load_errors(said):
        lost = re.search(r"Queries lost:\s+(\d+)", said)
        if not lost:
            return "dnsperf says nothing: " + said[-300:]
        return "" if lost[1] == "0" else lost[0]

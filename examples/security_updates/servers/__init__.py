# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""The servers of the experiment: how each is built, started, loaded with requests, and checked."""

import importlib

NAMES = ["redis", "nginx", "mosquitto", "dnsmasq", "haproxy", "proftpd", "unbound", "exim4", "xorg", "squid"]


def server(name):
    return importlib.import_module("servers." + name).Description()

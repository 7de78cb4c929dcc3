# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Xvfb, the X server without a screen of the package xorg-server."""

import os

from servers.description import Server
from servers.xorg_checker import FIRST_PORT, XChecker, faults
from sources import git, run


class Description(Server):
    name = "xorg"
    package = "xorg-server"
    program = "hw/vfb/Xvfb"
    first = "0001-Xi-randr-fix-handling-of-PropModeAppend-Prepend.patch"
    skipped = {r"^0[23567]_": "no security update"}
    fixes = {
        first: "CVE-2023-5367",
        "0002-mi-reset-the-PointerWindows-reference-on-screen-swit.patch": "CVE-2023-5380",
        "Xi-allocate-enough-XkbActions-for-our-buttons.patch": "CVE-2023-6377",
        "randr-avoid-integer-truncation-in-length-check-of-Pr.patch": "CVE-2023-6478",
        "Xi-require-a-pointer-and-keyboard-device-for-XIAttac.patch": "XIAttachToMaster",
        "dix-allocate-enough-space-for-logical-button-maps.patch": "CVE-2023-6816",
        "dix-Allocate-sufficient-xEvents-for-our-DeviceStateN.patch": "CVE-2024-0229",
        "dix-fix-DeviceStateNotify-event-calculation.patch": "CVE-2024-0229",
        "Xi-when-creating-a-new-ButtonClass-set-the-number-of.patch": "CVE-2024-0229",
        "Xi-flush-hierarchy-events-after-adding-removing-mast.patch": "CVE-2024-21885",
        "Xi-do-not-keep-linked-list-pointer-during-recursion.patch": "CVE-2024-21886",
        "dix-when-disabling-a-master-float-disabled-slaved-de.patch": "CVE-2024-21886",
        "ephyr-xwayland-Use-the-proper-private-key-for-cursor.patch": "CVE-2024-0409",
        "glx-Call-XACE-hooks-on-the-GLX-buffer.patch": "CVE-2024-0408",
        "dix-Fix-use-after-free-in-input-device-shutdown.patch": "input device shutdown",
        "20240403/0001-Xi-ProcXIGetSelectedEvents-needs-to-use-unswapped-le.patch": "CVE-2024-31080",
        "20240403/0002-Xi-ProcXIPassiveGrabDevice-needs-to-use-unswapped-le.patch": "CVE-2024-31081",
        "20240403/0003-Xquartz-ProcAppleDRICreatePixmap-needs-to-use-unswap.patch": "CVE-2024-31082",
        "20240403/0004-render-fix-refcounting-of-glyphs-during-ProcRenderAd.patch": "CVE-2024-31083",
        "20240403/0005-render-Avoid-possible-double-free-in-ProcRenderAddGl.patch": "CVE-2024-31083",
        "09_dix-Hold-input-lock-for-AttachDevice.diff": "CVE-2022-49737",
        "xkb-Fix-buffer-overflow-in-_XkbSetCompatMap.patch": "CVE-2024-9632",
        "sync-fix-deletion-of-counters-and-fences.patch": "CVE-2026-50257 and -50260",
        "sync-restart-trigger-list-iteration-in-SyncChangeCou.patch": "CVE-2026-50261",
        "xkb-reject-key-types-with-num_levels-exceeding-XkbMa.patch": "CVE-2026-50258",
        "xkb-clamp-nMaps-to-mapWidths-buffer-size-in-CheckKey.patch": "CVE-2026-50259",
        "glx-fix-reversed-length-check-in-ChangeDrawableAttri.patch": "CVE-2026-50262",
        "saver-re-fetch-screen-private-after-CheckScreenPriva.patch": "CVE-2026-50263",
        "dix-increase-XLFDMAXFONTNAMELEN-to-match-libXfont2-s.patch": "CVE-2026-50256",
        "dri2-Use-booleans-for-fake-front-buffer-tracking-in-.patch": "CVE-2026-50264",
        "dri2-Deduplicate-attachments-in-do_get_buffer.patch": "CVE-2026-50264",
    }
    options = {
        "CVE-2025-26594/0002-dix-keep-a-ref-to-the-rootCursor.patch": [("--at-next-call=dix_main", "it is never left; a hook does it")],
        "CVE-2025-49176/0001-os-Do-not-overflow-the-integer-size-with-BigRequest.patch": [
            ("--at-next-call=Dispatch", "the old one disconnects who sends such a request, and the new one tells it")],
    }
    headers = {"X11/Xtrans/Xtrans.h": "xtrans-dev", "X11/extensions/XKBfile.h": "libxkbfile-dev", "X11/fonts/libxfont2.h": "libxfont-dev",
               "X11/Xdmcp.h": "libxdmcp-dev", "X11/Xauth.h": "libxau-dev", "GL/internal/dri_interface.h": "mesa-common-dev",
               "gcrypt.h": "libgcrypt-dev", "libunwind.h": "libunwind-dev", "selinux/selinux.h": "libselinux1-dev",
               "libaudit.h": "libaudit-dev", "X11/xshmfence.h": "libxshmfence-dev"}
    tools = dict(Server.tools, xkbcomp="x11-xkb-utils", x11perf="x11-apps", **{"pkg-config": "pkg-config"})

    def environment(self, instar):
        environment = super().environment(instar)
        environment["CPPFLAGS"] += " -DPRE_RELEASE=0"
        environment["LDFLAGS"] += " -Wl,-Bsymbolic"
        return environment

    def configure(self, tree, instar, log):
        # The package's, but for the other servers that it builds.
        self.keep_generated(tree)
        run(["./configure", "--disable-static", "--without-dtrace", "--disable-strict-compilation", "--disable-debug",
             "--with-xkb-path=/usr/share/X11/xkb", "--with-xkb-output=/tmp", "--with-shared-memory-dir=/dev/shm", "--enable-mitshm",
             "--enable-xres", "--enable-dbe", "--disable-xf86bigfont", "--enable-dpms", "--disable-xquartz", "--disable-xwayland",
             "--disable-xwin", "--with-default-font-path=built-ins", "--enable-composite", "--enable-record", "--enable-xv",
             "--enable-screensaver", "--enable-xdmcp", "--enable-xdm-auth-1", "--enable-glx", "--enable-present", "--enable-xinerama",
             "--enable-xace", "--enable-xselinux", "--enable-libunwind", "--with-sha1=libgcrypt", "--enable-xcsecurity", "--enable-xvfb",
             "--disable-xorg", "--disable-xnest", "--disable-kdrive", "--disable-xephyr", "--disable-glamor", "--disable-dri",
             "--disable-dri2", "--enable-dri3", "--disable-config-udev", "--disable-systemd-logind", "--without-systemd-daemon",
             "--disable-unit-tests", "--disable-docs", "--disable-devel-docs"],
            cwd=tree, env=self.environment(instar), log=log)

    @staticmethod
    def keep_generated(tree):
        """What autoconf and automake have made is not made anew: a patch changes what they read, for another system."""
        sources = [name for name in git(tree, "ls-files", "configure.ac", "*.am", "*.m4", "*.in").splitlines()
                   if not name.endswith(("Makefile.in", "aclocal.m4"))]
        run(["touch", "-d", "2000-01-01", *sources], cwd=tree)

    def make(self, tree, instar, log):
        self.keep_generated(tree)
        run(["make"], cwd=tree, env=self.environment(instar), log=log)

    def start(self, folder, work, port):
        return [os.path.join(folder, self.program), f":{port - FIRST_PORT}", "-listen", "tcp", "-nolisten", "inet6", "-nolisten", "unix",
                "-nolisten", "local", "-ac", "-noreset", "-screen", "0", "1024x768x24"]

    def load(self, tree, work, port):
        return ["sh", "-c", f"while x11perf -display 127.0.0.1:{port - FIRST_PORT} -repeat 1 -time 1 -prop -create -map -putimage10 "
                            "-getimage10 -copypixwin10 -ftext -circulate -rect10 -noop; do :; done"]

    def checker(self, port):
        return XChecker(port)

    def effects(self):
        return faults()

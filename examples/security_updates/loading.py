# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Loads the module of a patch into the server under load, takes it back, and applies it again."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time

from checker import Watch, latency
from servers.description import free_port
from sources import Failure

START_S = 60
UPDATE_S = 40
# Between updates that are repeated.
REPEAT_PAUSE_S = 0.3


class RunningServer:
    """The server as it was before the patch, with the agent."""

    def __init__(self, server, instar, folder, work):
        self.server = server
        self.instar = instar
        shutil.rmtree(work, ignore_errors=True)
        self.work = os.path.join(work, "run")
        os.makedirs(self.work, mode=0o755)
        os.chmod(work, 0o755)
        self.port = free_port()
        # Sockets are where each user has them: servers become others.
        self.environment = dict(os.environ, INSTAR_STATE_DIRECTORY=os.path.join(work, "state"), INSTAR_SYSLOG="off")
        command = server.start(folder, self.work, self.port)
        self.said = os.path.join(work, "said")
        with open(self.said, "wb") as said:
            self.process = subprocess.Popen(  # pylint: disable=consider-using-with
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=self.work, start_new_session=True,
                env=dict(self.environment, LD_PRELOAD=os.path.join(instar, "lib", "libinstar_agent.so")))
        try:
            self._wait(lambda: self.server.answers(self.port), "does not answer")
            self._wait(lambda: self.instarctl(self.processes()[0], "status", "--json").returncode == 0, "has no agent")
        except Failure:
            self.stop()
            raise

    def _wait(self, is_so, what):
        began = time.monotonic()
        while not is_so():
            if self.process.poll() is not None or time.monotonic() - began > START_S:
                raise Failure(f"{' '.join(self.process.args)} {what}:\n{self.output()}")
            time.sleep(0.05)

    def output(self):
        with open(self.said, encoding="utf-8", errors="replace") as file:
            return file.read()[-1500:]

    def processes(self):
        """All that run the program, the one that was started first."""
        exe, parents = {}, {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            with contextlib.suppress(OSError):
                exe[int(entry)] = os.readlink(f"/proc/{entry}/exe")
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                    parents[int(entry)] = int(file.read().rsplit(")", 1)[1].split()[1])
        found, at = [], [self.process.pid]
        while at:
            pid = at.pop(0)
            if exe.get(pid, "").endswith("/" + os.path.basename(self.server.program)):
                found.append(pid)
            at += sorted(child for child, parent in parents.items() if parent == pid)
        return (found[:1] if self.server.is_forking else found) or [self.process.pid]

    def instarctl(self, pid, *arguments):
        return subprocess.run([os.path.join(self.instar, "bin", "instarctl"), "-p", str(pid), *arguments], capture_output=True,
                              text=True, env=self.environment, check=False)

    def update(self, *arguments):
        """Of all processes; returns what is recorded of it."""
        held, stopping, took, waited, attempts, processes = [], [], [], [], 0, 0
        began = time.monotonic()
        result = {"action": arguments[0], "at": began, "ok": True}
        for pid in self.processes():
            answer = self.instarctl(pid, *arguments, "--json")
            if answer.returncode == 3 and pid not in self.processes():
                continue  # it has ended by itself
            if answer.returncode != 0:
                result.update(ok=False, code=answer.returncode, said=(answer.stderr + answer.stdout).strip()[-1500:])
                break
            report = json.loads(answer.stdout)
            processes += 1
            attempts += report["attempts"]
            held.append((report["hold_times"]["maximum_ns"], report["hold_times"]["threads"]))
            if report["hold_times"].get("stopping_ns"):
                stopping.append((held[-1][0], report["hold_times"]["stopping_ns"]))
            took.append(report["elapsed_ns"])
            waited.append(report["applying_ns"])
        result["until"] = time.monotonic()
        if held:
            result.update(processes=processes, attempts=attempts, threads=max(count for _, count in held),
                          longest_stop_ms=round(max(longest for longest, _ in held) / 1e6, 3),
                          took_ms=round(max(took) / 1e6, 3), applying_ms=round(max(waited) / 1e6, 3),
                          command_ms=round((result["until"] - began) * 1e3, 1))
        if stopping and len(stopping) == len(held):
            # What a stop of the same threads takes in which nothing is done: of that very stop, until all stood. And by how much
            # the longest stop was longer, of the process of which that is most.
            result.update(bare_stop_ms=round(max(bare for _, bare in stopping) / 1e6, 3),
                          over_bare_stop_ms=round(max(longest - bare for longest, bare in stopping) / 1e6, 3))
        return result

    def stop(self):
        """Ends it; returns how it ended, if that was not well."""
        if self.process.poll() is not None:
            return f"had ended: {how(self.process.returncode)}"
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
            ended = self.process.returncode
            return None if ended in (0, -signal.SIGTERM) else how(ended)
        except subprocess.TimeoutExpired:
            return "did not end within 20 s"
        finally:
            # What it has left: it is alone in its session.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def how(code):
    return f"by signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


class Load:
    """The package's own client, which has to run until it is ended."""

    def __init__(self, server, command, said):
        self.server = server
        self.said = said
        self.process = None
        if command:
            with open(said, "wb") as file:
                self.process = subprocess.Popen(  # pylint: disable=consider-using-with
                    ["nice", "-n", "5", *command], stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True)

    def end(self):
        """Returns what went wrong; an empty string: nothing."""
        if self.process is None:
            return ""
        ended = self.process.poll()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, self.server.load_signal)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        with open(self.said, encoding="utf-8", errors="replace") as file:
            said = file.read()
        return self.server.load_errors(said) if ended is None else f"the client had ended, {how(ended)}: {said[-500:]}"


def phase_of(began, took, updates, margin_s=0.05):
    """"before" the first update, "during" one, or "after"."""
    if began + took < updates[0]["at"] - margin_s:
        return "before"
    if any(began <= update["until"] + margin_s and began + took >= update["at"] - margin_s for update in updates):
        return "during"
    return "after"


def repeated(running, module, count):
    """Takes it back and loads it again, so often; returns what is recorded of each. As many as go well."""
    updates = []
    for _ in range(count):
        for action, phase in [(("undo",), "undone"), (("load", module, "--timeout", str(UPDATE_S)), "applied again")]:
            updates.append(dict(running.update(*action), phase=phase))
            if not updates[-1]["ok"] or running.process.poll() is not None:
                return updates
            time.sleep(REPEAT_PAUSE_S)
    return updates


def load(server, instar, tree, folder, work, patch, repeat=0):  # pylint: disable=too-many-arguments,too-many-locals
    """Returns what is to be recorded of a module, `folder`/fix.so, in the server. `repeat`: so often more, for the stops alone."""
    module = os.path.join(folder, "fix.so")
    running = RunningServer(server, instar, folder, work)
    effect = server.effects().get(patch)
    result = {"updates": []}
    if effect:
        result["effect"] = []

    def see(when):
        if effect:
            result["effect"].append({"when": when, "fault": effect(running.port)})

    client = watch = None
    try:
        see("before")
        client = Load(server, server.load(tree, running.work, running.port), os.path.join(work, "client"))
        watch = Watch(server.checker(running.port), os.path.join(work, "latencies"))
        time.sleep(server.phases["before"])
        for action, phase in [(("load", module, "--timeout", str(UPDATE_S)), "applied"), (("undo",), "undone"),
                              (("load", module, "--timeout", str(UPDATE_S)), "applied again")]:
            update = running.update(*action)
            update["phase"] = phase
            result["updates"].append(update)
            if not update["ok"] or running.process.poll() is not None:
                break
            see(phase)
            time.sleep(server.phases[phase])
        result["processes"] = len(running.processes())
        until = time.monotonic()
        if repeat and result["updates"][-1]["ok"]:
            result["repeated"] = repeated(running, module, repeat)
    finally:
        said = client.end() if client else ""
        if watch:
            seen, requests = watch.end()
        crash = running.stop()
    result.update(seen)
    if said:
        result["load"] = said
    if crash:
        result["ended"] = crash
        result["output"] = running.output()
    phases = {"before": [], "during": [], "after": []}
    for began, took in requests:
        if began + took > until:
            continue
        phases[phase_of(began, took, result["updates"])].append((began, took))
    result["latency"] = {phase: latency(some) for phase, some in phases.items()}
    for update in result["updates"] + result.get("repeated", []):
        del update["at"], update["until"]
    effects = {one["when"]: one["fault"] for one in result.get("effect", [])}
    result["ok"] = (len(result["updates"]) == 3 and all(update["ok"] for update in result["updates"] + result.get("repeated", [])) and
                    not crash and not said and seen["wrong"] == 0 and seen["lost"] == 0 and seen["requests"] > 0 and
                    (not effect or effects == {"before": True, "applied": False, "undone": True, "applied again": False}))
    return result

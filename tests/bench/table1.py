#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""table1 [--rounds N] [--slow-rounds N] [--json FILE] --capsules DIR: the paper's Table 1 (RECap, HotCloud '18) on one machine in one
run: how long it takes from asking for a management function until its result is there (f_latency), for a container of Docker's.

  1  the tool is in the container's image, and `docker exec` runs it
  2  the image is built anew with the tool, the container replaced, and `docker exec` runs it
  3  RECap, the capsule's image is there
  4  RECap, the capsule's image is built and imported first

and beside them what people use today. Each does the paper's example, tcpdump (one packet captured in the container's network
namespace, in which a few hundred a second pass), and nothing at all (`true`). All take turns, so that a slow minute of the machine is everybody's.
Started by tests/bench/run inside a stack whose Docker this script's own is: RECAP_BENCH_DOCKER is its folder, where engine.py
runs it. Medians in ms; cold: 100 ms of rest before each."""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support", "engines"))
import engine  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
CAPSULES = os.path.join(HERE, "..", "..", "sdk", "capsules")
TCPDUMP = ["--immediate-mode", "-U", "-i", "lo", "-c", "1", "-w", "/dev/null"]  # no waiting for a buffer to fill
AS_ROOT = ["-Z", "root"]  # an image of one's own has no user tcpdump; the capsule has no need of one
REST_SECONDS = 0.1


def quiet(*argv, env=None):
    """Runs a command; what it says only where it fails."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False, env=env)
    if done.returncode != 0:
        raise SystemExit(f"table1: {' '.join(argv)} ended with {done.returncode}: {(done.stderr or done.stdout).decode(errors='replace')[-2000:]}")
    return done.stdout.decode()


class Bench:
    def __init__(self, options, docker):
        self.options, self.docker = options, docker
        self.work = os.path.join(docker.folder, "bench")
        os.makedirs(self.work)
        self.number = 0
        self.phases = {}
        self.hot = False  # a round of which the phases are kept

    def cli(self, *argv):
        return quiet("docker", *argv, env=self.docker.environment)

    def prepare(self):
        """The app's image with the tool and without, the tool's own, and the running container."""
        self.docker.load("app", [])
        self.docker.load("app-tools", ["tcpdump"])
        self.docker.load("tools", ["tcpdump"])
        tools = os.path.join(self.work, "build/tools")
        engine.make_root(tools, ["tcpdump"], busybox=False)
        with open(os.path.join(self.work, "build/Dockerfile"), "w", encoding="ascii") as stream:
            stream.write("FROM app\nARG TURN\nLABEL turn=$TURN\nCOPY tools /\n")
        self.start("app", "app-tools")
        for capsule in ("tcpdump", "noop"):
            self.build_capsule(capsule)
            quiet("recapctl", "image", "import", self.image(capsule))
            quiet("recapctl", "capsule", "install", "--replace", os.path.join(CAPSULES, capsule, "capsule.toml"))
        self.traffic = {"app": self.make_traffic("app")}
        self.id = self.cli("inspect", "--format", "{{.Id}}", "app").strip()
        self.pid = self.pid_of("app")
        quiet("recapctl", "run", "noop", "docker:app")  # recapd has heard of it

    def start(self, name, image):
        self.cli("run", "-d", "--name", name, "--network", "none", image, "sleep", "86400")

    def pid_of(self, name):
        return self.cli("inspect", "--format", "{{.State.Pid}}", name).strip()

    def make_traffic(self, name):
        """A few hundred packets a second on the container's loopback, so that a capture has not to wait for one."""
        code = ("import socket,time\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n"
                "while True:\n s.sendto(b'x',('127.0.0.1',9))\n time.sleep(0.002)\n")
        return subprocess.Popen(["nsenter", "--net=/proc/" + self.pid_of(name) + "/ns/net", "python3", "-c", code], stdin=subprocess.DEVNULL)

    def image(self, capsule):
        return os.path.join(self.work, capsule)

    def build_capsule(self, capsule):
        shutil.rmtree(self.image(capsule), ignore_errors=True)
        quiet("recap-capsule", "build", "--binary-dir", self.options.capsules, "--output", self.image(capsule), os.path.join(CAPSULES, capsule))

    # the ways

    def exec_(self, command):
        self.cli("exec", "app", *command)

    def rebuild(self, command):
        self.number += 1
        tag = f"app-rebuilt:{self.number}"
        quiet("docker", "build", "--no-cache", "-q", "-t", tag, "--build-arg", f"TURN={self.number}", os.path.join(self.work, "build"),
              env=dict(self.docker.environment, DOCKER_BUILDKIT="0"))
        self.cli("rm", "-f", "replaced")
        self.start("replaced", tag)
        traffic = self.make_traffic("replaced") if command[0] == "tcpdump" else None
        self.cli("exec", "replaced", *command)
        if traffic:
            traffic.terminate()
            traffic.wait()

    def recap(self, command):
        capsule = "noop" if command[0] == "true" else "tcpdump"
        done = json.loads(quiet("recapctl", "run", "--json", capsule, "docker:app", "--", *(TCPDUMP if capsule == "tcpdump" else [])))
        if done["escape"] != "clean":
            raise SystemExit(f"table1: run {done['id']}: escape {done['escape']}")
        if self.hot:
            self.keep_phases(capsule, done["phases"])

    def keep_phases(self, capsule, phases):
        order = ["received", "planned", "attached", "executing", "finished", "escaped"]
        for before, after in zip(order, order[1:]):
            self.phases.setdefault(capsule, {}).setdefault(after, []).append((phases[after] - phases[before]) / 1000)

    def recap_build(self, command):
        capsule = "noop" if command[0] == "true" else "tcpdump"
        self.build_capsule(capsule)
        quiet("recapctl", "image", "import", self.image(capsule))
        self.recap(command)

    def forget_image(self, capsule):
        """So that the next import is one."""
        images = json.loads(quiet("recapctl", "image", "list", "--json"))["images"]
        for image in images:
            if any(f"recap/{capsule}:" in reference for reference in image["references"]):
                quiet("recapctl", "image", "remove", image["digest"])

    def docker_run(self, command):
        self.cli("run", "--rm", "--pid", "container:app", "--network", "container:app", "tools", *command)

    def runc_exec(self, command):
        quiet("runc", "--root", self.docker.runc_root(self.id), "exec", self.id, *command)

    def ctr_exec(self, command):
        self.number += 1
        quiet("ctr", "--address", self.docker.containerd, "-n", "moby", "task", "exec", "--exec-id", f"e{self.number}", self.id, *command)

    def nsenter(self, command):
        quiet("nsenter", "-t", self.pid, "-m", "-u", "-i", "-n", "-p", *command)

    def measure(self):
        """{(way, function): {"hot": [ms…], "cold": [ms…]}}"""
        quick = {"exec": self.exec_, "recap": self.recap, "docker_run": self.docker_run, "runc_exec": self.runc_exec, "ctr_exec": self.ctr_exec,
                 "nsenter": self.nsenter}
        slow = {"rebuild": self.rebuild, "recap_build": self.recap_build}
        functions = {"tcpdump": ["tcpdump"] + TCPDUMP + AS_ROOT, "noop": ["true"]}
        times = {}
        for name, command in functions.items():
            for way in quick.values():
                way(command)  # what is read for the first time
            for heat in ("hot", "cold"):
                self.hot = heat == "hot"
                for _ in range(self.options.rounds):
                    for way, once in quick.items():
                        self.one(times, way, name, heat, once, command)
        self.hot = False
        for name, command in functions.items():
            for heat in ("hot", "cold"):
                for _ in range(self.options.slow_rounds):
                    for way, once in slow.items():
                        if way == "recap_build":
                            self.forget_image("noop" if name == "noop" else "tcpdump")
                        self.one(times, way, name, heat, once, command)
        return times

    @staticmethod
    def one(times, way, name, heat, once, command):
        if heat == "cold":
            time.sleep(REST_SECONDS)
        before = time.monotonic()
        once(command)
        times.setdefault((way, name), {}).setdefault(heat, []).append((time.monotonic() - before) * 1000)

    def finish(self):
        for traffic in self.traffic.values():
            traffic.terminate()
            traffic.wait()


WORDS = {"exec": "1  tool in the image, docker exec", "rebuild": "2  image rebuilt, container replaced, docker exec",
         "recap": "3  RECap, image there", "recap_build": "4  RECap, image built and imported first",
         "docker_run": "   docker run in the container's namespaces", "ctr_exec": "   ctr task exec", "runc_exec": "   runc exec", "nsenter": "   nsenter"}


def quantile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(q * len(values)))]


def to_json(times, phases, options):
    table, noop = {}, {}
    for (way, name), heats in times.items():
        for heat, values in heats.items():
            into = table if name == "tcpdump" else noop
            suffix = "" if heat == "hot" else "_cold"
            into[f"{way}{suffix}_ms"] = round(statistics.median(values), 3)
            into[f"{way}{suffix}_p99_ms"] = round(quantile(values, 0.99), 3)
    ratio = {"recap_exec": round(table["recap_ms"] / table["exec_ms"], 3), "recap_exec_cold": round(table["recap_cold_ms"] / table["exec_cold_ms"], 3),
             "noop_recap_exec": round(noop["recap_ms"] / noop["exec_ms"], 3)}
    medians = {capsule: {phase: round(statistics.median(values), 3) for phase, values in one.items()} for capsule, one in phases.items()}
    exec_ = {f"docker_exec_{heat}_ms": noop["exec_ms" if heat == "hot" else "exec_cold_ms"] for heat in ("hot", "cold")}
    return {"noop": exec_, "table1": table | {"rounds": options.rounds, "slow_rounds": options.slow_rounds, "phases_ms": medians, "ratios": ratio,
                               "noop": noop}}


def show(result, options):
    table, noop = result["table1"], result["table1"]["noop"]
    print(f"\nTable 1, on a container of Docker's: medians in ms of {options.rounds} rounds ({options.slow_rounds} of rows 2 and 4), taking turns\n")
    print(f"{'':<50} {'tcpdump':>9} {'p99':>9} {'cold':>9} {'nothing':>9} {'cold':>9}")
    for way, words in WORDS.items():
        cells = [table.get(f"{way}_ms"), table.get(f"{way}_p99_ms"), table.get(f"{way}_cold_ms"), noop.get(f"{way}_ms"), noop.get(f"{way}_cold_ms")]
        print(f"{words:<50} " + " ".join(f"{cell:9.2f}" if cell is not None else f"{'':>9}" for cell in cells))
    for capsule, phases in table["phases_ms"].items():
        print(f"f_latency of {capsule}, ms: " + ", ".join(f"{phase} {value:.2f}" for phase, value in phases.items()))
    for words, key in (("hot", "recap_exec"), ("cold", "recap_exec_cold")):
        value = table["ratios"][key]
        print(f"row 3 / row 1, tcpdump, {words}: {value:.3f}; at most 0.1 is wanted: {'met' if value <= 0.1 else 'missed'}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--slow-rounds", type=int, default=15)
    parser.add_argument("--json")
    parser.add_argument("--capsules", required=True, help="where binaries of capsules are built")
    options = parser.parse_args()
    bench = Bench(options, engine.Docker(os.environ["RECAP_BENCH_DOCKER"]))
    bench.prepare()
    try:
        times = bench.measure()
    finally:
        bench.finish()
    result = to_json(times, bench.phases, options)
    show(result, options)
    if options.json:
        with open(options.json, "w", encoding="ascii") as stream:
            json.dump(result, stream, indent=2)


if __name__ == "__main__":
    main()

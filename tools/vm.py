#!/usr/bin/python3
"""Runs suites on Debian's cloud kernel in QEMU, with pure control groups v2, as most users' hosts have them.

    tools/vm.py [--minutes N] [--cgroups v2|v1|hybrid] [--slice] [SUITE[:TEST+TEST...]...]

Suites are the rows of SUITES (all without a name); behind a colon those tests of it that have such a name. Below build/vm lie the kernel (apt-get download,
unpacked), a root made by debootstrap with the packages that the built programs link to, and two disk
images: the root, kept until its package list changes, and the tree with its programs, made anew each time.
The machine has no network. KVM where /dev/kvm can run this kernel, else emulation, which is many times
slower: deadlines are for that. Needs root to make the root, not to run.

Ends with what was not proven and "N passed, N failed".
"""
import argparse
import os
import re
import selectors
import shutil
import subprocess
import sys
import time

HERE = "build/vm"
PROBE_SECONDS = 6
PACKAGES = ["python3", "python3-boto3", "procps", "iproute2", "kmod", "zip", "unzip", "libarchive13"]
PROGRAMS = ["build/cirrus", "build/release/unit", "build/release/crash", "build/release/crash-shim.so",
            "build/test/lambda-bootstrap"]

# Name: (minutes under emulation, what it proves). test/vm/init.sh has a function of each name.
SUITES = {
    "sandbox": (20, "containers by the launcher, as root and through user namespaces"),
    "sandbox_user": (20, "the same, started by an ordinary user in a delegated group"),
    "hostile": (30, "hostile functions against a server started as root"),
    "hostile_user": (30, "hostile functions against a server started by an ordinary user in a delegated group"),
    "hostile_bare": (30, "the same by an ordinary user to whom no control group is delegated"),
    "network": (10, "networks of functions (nat, host) with that kernel's packet filter"),
    "crash": (20, "kill -9, power cuts, failing disks"),
}
# A part of each kind, for the test command.
SLICE = ["sandbox", "hostile:kernel", "hostile_bare:sockets", "network:nat_refuses"]
# What the kernel starts: the tree is the second disk.
INIT = """#!/bin/sh
mount -t devtmpfs none /dev
mount /dev/nvme1n1 /src
exec sh /src/test/vm/init.sh
"""
# The kernel may put words of its own behind ours.
END = re.compile(r"^vm: end (\S+) (\d+)")
COUNT = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$")


def call(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    if done.returncode != 0:
        sys.exit(f"vm: {' '.join(command)}: {done.stderr.strip() or done.stdout[-2000:]}")
    return done.stdout


def release():
    with open("/etc/os-release", encoding="utf-8") as f:
        found = dict(line.strip().split("=", 1) for line in f if "=" in line)
    return found.get("VERSION_CODENAME", "bookworm").strip('"')


def mirror():
    for folder, _, files in os.walk("/etc/apt"):
        for name in files:
            if name.endswith((".list", ".sources")):
                with open(os.path.join(folder, name), encoding="utf-8") as f:
                    found = re.search(r"^(?:URIs: *|deb (?:\[[^]]*\] )?)(http\S+)", f.read(), re.M)
                if found:
                    return found.group(1)
    sys.exit("vm: no package mirror in /etc/apt")


def libraries():
    """The packages of the shared libraries that the programs link to or load."""
    paths = set()
    for program in PROGRAMS[:3]:
        paths |= set(re.findall(r"=> (/\S+)", call("ldd", program)))
    loaded = re.search(r"librocksdb\.so\.\S+", call("strings", "-a", "build/cirrus"))
    known = call("/sbin/ldconfig", "-p")
    if loaded:
        paths |= set(re.findall(rf"{re.escape(loaded.group(0))} .*=> (/\S+)", known))
    packages = set()
    for path in paths:
        for where in (path, path.removeprefix("/usr"), "/usr" + path):
            done = subprocess.run(["dpkg-query", "-S", where], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                packages.add(done.stdout.split(":")[0])
                break
        else:
            sys.exit(f"vm: no package has {path}")
    return sorted(packages)


def kernel():
    """(kernel image, its folder of modules), downloaded and unpacked once for each version."""
    package = re.search(r"Depends: (linux-image-\S+-cloud-\S+)",
                        call("apt-cache", "depends", "linux-image-cloud-amd64"))
    if not package:
        sys.exit("vm: apt knows no linux-image-cloud-amd64")
    name = package.group(1)
    folder = os.path.join(HERE, name)
    if not os.path.isdir(folder):
        print(f"vm: downloading {name}", flush=True)
        call("apt-get", "download", name, cwd=HERE)
        archive = max((f for f in os.listdir(HERE) if f.startswith(name + "_")),
                      key=lambda f: os.path.getmtime(os.path.join(HERE, f)))
        call("dpkg-deb", "-x", os.path.join(HERE, archive), folder + ".new")
        os.rename(folder + ".new", folder)
    version = name.removeprefix("linux-image-")
    return os.path.join(folder, "boot", "vmlinuz-" + version), os.path.join(folder, "lib", "modules", version)


def image(folder, path, mebibytes):
    """An ext4 image with the folder's content; no mount is needed."""
    if os.path.exists(path):
        os.unlink(path)
    with open(path, "wb") as f:
        f.truncate(mebibytes << 20)
    call("/sbin/mke2fs", "-q", "-t", "ext4", "-d", folder, path)


def root_image(modules):
    packages = sorted(set(PACKAGES) | set(libraries()))
    wanted = " ".join([release(), os.path.basename(modules), *packages, INIT])
    stamp, path, folder = (os.path.join(HERE, n) for n in ("root.stamp", "root.img", "root"))
    if os.path.exists(stamp) and os.path.exists(path):
        with open(stamp, encoding="utf-8") as f:
            if f.read() == wanted:
                return path
    if os.geteuid() != 0:
        sys.exit("vm: making the root needs root once")
    print("vm: making the root with debootstrap", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    call("debootstrap", "--variant=minbase", "--include=" + ",".join(packages), release(), folder, mirror())
    shutil.copytree(modules, os.path.join(folder, "lib", "modules", os.path.basename(modules)))
    call("chroot", folder, "/sbin/depmod", os.path.basename(modules))
    for name in ("var/cache/apt", "var/lib/apt/lists"):
        shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
    os.makedirs(os.path.join(folder, "src"))
    init = os.path.join(folder, "sbin", "cirrus-init")
    with open(init, "w", encoding="utf-8") as f:
        f.write(INIT)
    os.chmod(init, 0o755)
    image(folder, path, 3072)
    shutil.rmtree(folder)
    with open(stamp, "w", encoding="utf-8") as f:
        f.write(wanted)
    return path


def tree_image():
    """The tree as it is here, with its programs."""
    folder, path = os.path.join(HERE, "tree"), os.path.join(HERE, "tree.img")
    shutil.rmtree(folder, ignore_errors=True)
    for name in call("git", "ls-files").split("\n") + PROGRAMS:
        if os.path.isfile(name):
            to = os.path.join(folder, name)
            os.makedirs(os.path.dirname(to), exist_ok=True)
            shutil.copy2(name, to)
    image(folder, path, 1024)
    shutil.rmtree(folder)
    return path


# With less than the processor's mitigations, which a host may not let a guest set.
CPU_KVM = "host,-arch-capabilities"


def has_kvm(kernel_path):
    """Does /dev/kvm run this kernel? Some do not: those of a virtual machine without nested hardware support.

    Without a root the kernel panics and turns itself off, after a second or two.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    command = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-machine", "q35",
               "-cpu", CPU_KVM, "-accel", "kvm", "-m", "512", "-serial", "none", "-kernel", kernel_path,
               "-append", "panic=-1 quiet"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def lines_of(process, seconds):
    """Its lines as they come; at the end of the time it is killed, and None comes once."""
    deadline = time.monotonic() + seconds
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not selector.select(left):
                process.kill()
                yield None
                return
            data = os.read(process.stdout.fileno(), 65536)
            if not data:
                return
            *whole, pending = (pending + data).split(b"\n")
            for line in whole:
                yield line.decode("utf-8", "replace").rstrip("\r")


class Report:
    """What the lines of the machine say about its suites."""

    def __init__(self):
        self.passed = self.failed = 0
        self.ended, self.skipped = [], []
        self.running = None
        self.counted, self.failed_here = False, 0

    def line(self, text):
        words = text.split()
        end = END.match(text)
        if text.startswith("vm: begin "):
            self.running = words[2]
            self.counted, self.failed_here = False, 0
        elif end:
            if not self.counted or (end.group(2) != "0" and not self.failed_here):
                self.failed += 1
            self.ended.append(end.group(1))
            self.running = None
        elif COUNT.match(text):
            passed, failed, _ = (int(n or 0) for n in COUNT.match(text).groups())
            self.passed += passed
            self.failed += failed
            self.counted, self.failed_here = True, failed
        elif "skipped: " in text and self.running:
            self.skipped.append(f"{self.running}: {text.strip()}")


def boot(suites, cgroups, seconds, kvm, image_path, modules):
    root, tree = root_image(modules), tree_image()
    append = (f"root=/dev/nvme0n1 rw console=ttyS0 quiet panic=-1 mitigations=off no_timer_check init=/sbin/cirrus-init "
              f"cirrus.suites={','.join(suites)} cirrus.cgroups={cgroups} cirrus.slow={1 if kvm else 10}")
    command = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
               "-machine", "q35", "-cpu", CPU_KVM if kvm else "max", "-smp", str(min(4, os.cpu_count() or 1)),
               "-accel", "kvm" if kvm else "tcg,thread=multi", "-m", "3072", "-serial", "stdio",
               "-kernel", image_path, "-append", append]
    for name, path in (("root", root), ("tree", tree)):
        command += ["-drive", f"file={path},format=raw,if=none,id={name},snapshot=on,cache=unsafe",
                    "-device", f"nvme,drive={name},serial={name}"]
    print(f"vm: {os.path.basename(image_path)}, {'KVM' if kvm else 'emulation'}, control groups {cgroups}, "
          f"suites: {' '.join(suites)}", flush=True)
    report = Report()
    with open(os.path.join(HERE, "log"), "w", encoding="utf-8") as log, \
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT) as process:
        started = time.monotonic()
        for line in lines_of(process, seconds):
            if line is None:
                print(f"vm: stopped after {seconds / 60:.0f} minutes", flush=True)
                break
            if not COUNT.match(line):
                print(f"{time.monotonic() - started:7.1f} {line}", flush=True)
            log.write(line + "\n")
            log.flush()
            report.line(line)
    return report


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--cgroups", choices=("v2", "v1", "hybrid"), default="v2")
    parser.add_argument("--slice", action="store_true", help="what a minute is enough for")
    parser.add_argument("suites", nargs="*")
    options = parser.parse_args()
    suites = options.suites or (SLICE if options.slice else list(SUITES))
    names = [s.split(":")[0] for s in suites]
    for name in names:
        if name not in SUITES:
            sys.exit(f"vm: no suite {name}; there are {' '.join(SUITES)}")
    os.makedirs(HERE, exist_ok=True)
    image_path, modules = kernel()
    kvm = has_kvm(image_path)
    if not kvm and os.path.exists("/dev/kvm"):
        print("vm: /dev/kvm cannot be used, or does not run this kernel", flush=True)
    minutes = options.minutes or 5 + sum(SUITES[s][0] for s in names) / (10 if kvm else 1)
    report = boot(suites, options.cgroups, minutes * 60, kvm, image_path, modules)
    never = [s for s in SUITES if s not in report.ended]
    report.failed += sum(s in names for s in never)
    print("\nunproven on this machine:")
    for name in never:
        print(f"  {name}: {SUITES[name][1]}" + (" (did not end)" if name in names else " (not run)"))
    for text in report.skipped:
        print(f"  {text}")
    for kind in ("v2", "v1", "hybrid"):
        if kind != options.cgroups:
            print(f"  control groups {kind} in the machine (--cgroups {kind})")
    if not kvm:
        print("  speed: without KVM nothing here says how fast it is")
    print(f"{report.passed} passed, {report.failed} failed")
    sys.exit(1 if report.failed or not report.passed else 0)


if __name__ == "__main__":
    os.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    main()

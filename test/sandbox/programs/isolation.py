"""What a container must not do. Prints one line per probe, "name: outcome"; the test compares all."""
import ctypes
import errno
import os
import resource
import signal
import socket
import sys

libc = ctypes.CDLL(None, use_errno=True)


def outcome(fn):
    try:
        result = fn()
        return "done" if result is None else str(result)
    except OSError as e:
        return errno.errorcode.get(e.errno, str(e.errno))


def probe(name, fn):
    print(f"{name}: {outcome(fn)}", flush=True)


def syscall(number, *args):
    def call():
        ctypes.set_errno(0)
        if libc.syscall(number, *[ctypes.c_long(a) if isinstance(a, int) else a for a in args]) < 0:
            raise OSError(ctypes.get_errno(), "")
    return call


def write(path):
    """Which refusal comes first depends on who owns the file, so all are one."""
    def call():
        try:
            with open(path, "a") as f:
                f.write("x")
        except OSError as e:
            if e.errno in (errno.EROFS, errno.EACCES, errno.ENOENT, errno.EPERM):
                return "refused"
            raise
    return call


def read(path):
    """Hidden files are empty or not there at all."""
    def call():
        try:
            with open(path, "rb") as f:
                return "read" if f.read(64) else "nothing"
        except FileNotFoundError:
            return "nothing"
    return call


def connect(address, port):
    def call():
        with socket.create_connection((address, port), 5):
            return "connected"
    return call


def status(*fields):
    def call():
        found = dict(line.split(":\t", 1) for line in open("/proc/self/status") if ":\t" in line)
        return " ".join(found[f].strip() for f in fields)
    return call


def foreign_processes():
    mine = {os.getpid()}
    return [p for p in os.listdir("/proc") if p.isdigit() and int(p) not in mine]


def raise_files():
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    except ValueError:
        return "refused"


def open_many():
    files = []
    try:
        while len(files) < 5000:
            files.append(os.open("/dev/null", os.O_RDONLY))
    finally:
        for f in files:
            os.close(f)


def flags(path):
    def call():
        f = os.statvfs(path).f_flag
        return " ".join(n for n, bit in (("ro", os.ST_RDONLY), ("nosuid", os.ST_NOSUID), ("nodev", os.ST_NODEV))
                        if f & bit)
    return call


def kill_init():
    os.kill(1, signal.SIGKILL)
    os.kill(1, signal.SIGTERM)
    os.kill(1, signal.SIGSTOP)


def trace_child():
    pid = os.fork()
    if pid == 0:
        signal.pause()
    try:
        syscall(101, 16, pid, 0, 0)()
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def run_from_tmp():
    with open("/tmp/program", "w") as f:
        f.write("#!/bin/sh\nexit 3\n")
    os.chmod("/tmp/program", 0o755)
    return os.waitstatus_to_exitcode(os.spawnv(os.P_WAIT, "/tmp/program", ["program"]) << 8)


probe("top", lambda: " ".join(sorted(set(os.listdir("/")) - {"lib32", "libx32"})))
probe("etc", lambda: " ".join(sorted(set(os.listdir("/etc")) - {"localtime", "timezone", "gai.conf", "mime.types",
      "locale.alias", "services", "protocols"} - {name for name in os.listdir("/etc") if name.startswith("java-")})))
probe("var", lambda: " ".join(sorted(os.listdir("/var"))))
probe("home", lambda: " ".join(os.listdir("/home") + os.listdir("/root") + os.listdir("/sys") + os.listdir("/run")))
probe("dev", lambda: " ".join(sorted(os.listdir("/dev"))))
probe("identity", lambda: f"{os.getresuid()} {os.getresgid()} {socket.gethostname()}")
probe("capabilities", status("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"))
probe("environment", lambda: " ".join(sorted(k for k in os.environ if k != "LC_CTYPE")))
probe("descriptors", lambda: " ".join(sorted(f for f in os.listdir("/proc/self/fd") if int(f) > 3)))
probe("session", lambda: os.getsid(0) == os.getpid())
for path in ("/", "/usr", "/etc/ssl/certs", "/var/task"):
    probe(f"flags of {path}", flags(path))
for path in ("/new", "/usr/new", "/etc/passwd", "/var/task/new", "/var/task/isolation.py", "/opt/new", "/dev/new",
             "/usr/bin/python3.11"):
    probe(f"write {path}", write(path))
probe("write /proc/sys/kernel/hostname", write("/proc/sys/kernel/hostname"))
probe("write /proc/sys/vm/overcommit_memory", write("/proc/sys/vm/overcommit_memory"))
probe("write /proc/sysrq-trigger", write("/proc/sysrq-trigger"))
probe("write /tmp", write("/tmp/file"))
probe("run from /tmp", run_from_tmp)
for path in ("/proc/kcore", "/proc/kmsg", "/proc/keys", "/proc/cmdline", "/proc/kallsyms", "/proc/1/environ",
             "/proc/1/mem", "/etc/shadow"):
    probe(f"read {path}", read(path))
probe("foreign processes", lambda: " ".join(foreign_processes()))
probe("mount", lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) and (_ for _ in ()).throw(
    OSError(ctypes.get_errno(), "")))
for name, number, *args in (
        ("umount", 166, b"/tmp", 0), ("pivot_root", 155, b"/tmp", b"/tmp"), ("chroot", 161, b"/tmp"),
        ("open_tree", 428, -100, b"/", 0), ("move_mount", 429, -1, b"", -1, b"", 0), ("fsopen", 430, b"tmpfs", 0),
        ("mount_setattr", 442, -1, b"", 0, 0, 0),
        ("unshare user", 272, 0x10000000), ("unshare mount", 272, 0x20000), ("setns", 308, 0, 0),
        ("clone user", 56, 0x10000000 | 17, 0, 0, 0, 0), ("clone3", 435, 0, 0),
        ("add_key", 248, b"user", b"x", b"y", 1, -4), ("keyctl", 250, 0, -4), ("request_key", 249, b"user", b"x", 0, 0),
        ("bpf", 321, 0, 0, 0), ("perf_event_open", 298, 0, 0, 0, 0, 0), ("io_uring_setup", 425, 8, 0),
        ("userfaultfd", 323, 0), ("kexec_load", 246, 0, 0, 0, 0), ("init_module", 175, 0, 0, b""),
        ("finit_module", 313, 0, b"", 0), ("open_by_handle_at", 304, 0, 0, 0), ("process_vm_readv", 310, 1, 0, 0, 0, 0, 0),
        ("pidfd_getfd", 438, 0, 0, 0), ("swapon", 167, b"/tmp/file", 0), ("reboot", 169, 0, 0, 0, 0),
        ("settimeofday", 164, 0, 0), ("sethostname", 170, b"x", 1), ("syslog", 103, 3, 0, 0), ("acct", 163, 0),
        ("quotactl", 179, 0, 0, 0, 0), ("iopl", 172, 3), ("personality", 135, 0x0040000)):
    probe(name, syscall(number, *args))
probe("ptrace", trace_child)
probe("mknod device", lambda: os.mknod("/tmp/null", 0o20666, os.makedev(1, 3)))
probe("mkfifo", lambda: os.mkfifo("/tmp/fifo"))
probe("setuid", lambda: os.setuid(0))
probe("setgroups", lambda: os.setgroups([0]))
probe("nice", lambda: os.setpriority(os.PRIO_PROCESS, 0, -5))
probe("kill init", kill_init)
probe("kill a host's process", lambda: os.kill(4000000, signal.SIGKILL))
probe("raise the file limit", raise_files)
probe("open files", open_many)
probe("raw socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close())
probe("packet socket", lambda: socket.socket(17, socket.SOCK_RAW, 0).close())
probe("vsock", lambda: socket.socket(40, socket.SOCK_STREAM, 0).close())
probe("crypto socket", lambda: socket.socket(38, socket.SOCK_SEQPACKET, 0).close())
probe("netfilter socket", lambda: socket.socket(16, socket.SOCK_RAW, 12).close())
probe("interfaces", lambda: " ".join(n for _, n in socket.if_nameindex()))
probe("runtime port", connect("127.0.0.1", 9001))
probe("other port", connect("127.0.0.1", 22))
probe("outside", connect("192.0.2.1", 80))
sys.exit(0)

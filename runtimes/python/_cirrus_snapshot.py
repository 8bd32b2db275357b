"""SnapStart: the process of an initialised function becomes a file, and instances go on from it.

Memory and registers are libsnapshot's part (runtimes/snapshot/save.c); here is what else belongs to a
process: hooks, descriptors, signals, /tmp, and that no two instances draw the same random numbers. What a
file cannot hold (threads, pipes, memory shared with others) is told by Impossible: then the function
is initialised in each instance as any other.
"""
import os
import sys

import _signal
import _socket

FOLDER = os.path.dirname(os.path.abspath(__file__))
FILE = "/tmp/.snapshot"
TMP_BYTES_MAX = 64 << 20


class Impossible(Exception):
    pass


def run_hooks(name):
    module = sys.modules.get("snapshot_restore_py")
    for func, args, kwargs in getattr(module, name)() if module else ():
        func(*args, **kwargs)


# --- what is open ------------------------------------------------------------------------------------

def open_descriptors(kept):
    """What has to be opened again: (number, kind, ...)."""
    found = []
    for number in sorted(map(int, os.listdir("/proc/self/fd"))):
        try:
            path = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue  # of the listing itself
        if number <= 2 or number in kept:
            continue
        with open(f"/proc/self/fdinfo/{number}", encoding="ascii") as f:
            info = dict(line.split(":\t", 1) for line in f if ":\t" in line)
        if path.startswith("socket:"):
            s = _socket.socket(fileno=number)
            found.append((number, "socket", s.family, s.type))
            s.detach()
        elif path.startswith("/") and os.path.exists(path) and not os.path.isdir(path):
            found.append((number, "file", path, int(info["flags"], 8), int(info["pos"])))
        else:
            raise Impossible(f"descriptor {number} is {path}")
    return found


def open_again(descriptors):
    for number, kind, *more in descriptors:
        if kind == "socket":
            s = _socket.socket(*more)  # as after a connection that was lost
            made = s.detach()
        else:
            path, flags, position = more
            made = os.open(path, flags & ~(os.O_CREAT | os.O_EXCL | os.O_TRUNC))
            os.lseek(made, position, os.SEEK_SET)
        if made != number:
            os.dup2(made, number, inheritable=False)
            os.close(made)


# --- /tmp ----------------------------------------------------------------------------------------------

def read_tmp():
    found, total = [], 0
    for at, folders, files in os.walk("/tmp"):
        found += [(os.path.join(at, name), "folder", None) for name in folders]
        for name in files:
            path = os.path.join(at, name)
            if os.path.islink(path):
                found.append((path, "link", os.readlink(path)))
                continue
            total += os.path.getsize(path)
            if total > TMP_BYTES_MAX:
                raise Impossible(f"/tmp has more than {TMP_BYTES_MAX >> 20} MiB")
            with open(path, "rb") as f:
                found.append((path, os.stat(path).st_mode & 0o777, f.read()))
    return found


def write_tmp(entries):
    for path, kind, content in entries:
        if kind == "folder":
            os.mkdir(path)
        elif kind == "link":
            os.symlink(content, path)
        else:
            with open(path, "wb") as f:
                f.write(content)
            os.chmod(path, kind)


# --- going on --------------------------------------------------------------------------------------------

def set_signals():
    for number in range(1, _signal.NSIG):
        handler = _signal.getsignal(number)
        if handler is not None and handler != _signal.SIG_DFL:
            _signal.signal(number, handler)


def draw_anew():
    """Generators whose state every instance has from the snapshot."""
    module = sys.modules.get("random")
    if module is not None:
        module.seed()
    module = sys.modules.get("numpy.random")
    if module is not None:
        module.seed()
    module = sys.modules.get("_ssl")
    if module is not None:
        module.RAND_add(os.urandom(64), 64.0)


# --- the snapshot -----------------------------------------------------------------------------------------

def save():
    """Into FILE: NULL, or in an instance that goes on its environment."""
    import ctypes

    class Resumed(ctypes.Structure):
        _fields_ = [("environment", ctypes.c_void_p), ("bytes", ctypes.c_uint64)]

    resumed = Resumed()
    library = ctypes.PyDLL(os.path.join(FOLDER, "libsnapshot"))
    fd = os.open(FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    rc = library.snapshot_save(fd, ctypes.byref(resumed))
    if rc == 1:
        return ctypes.string_at(resumed.environment, resumed.bytes)
    os.close(fd)
    if rc < 0:
        raise Impossible(os.strerror(-rc))
    return None


def give(api):
    """Sends FILE and waits for the end."""
    api.send(api.head("POST", "restore/image", "Content-Type: application/octet-stream\r\n"
                      f"Content-Length: {os.path.getsize(FILE)}\r\n\r\n").encode())
    with open(FILE, "rb") as f:
        while os.sendfile(api.socket.fileno(), f.fileno(), None, 1 << 20):
            pass
    api.receive()
    while True:
        _signal.pause()


def take(api, kept):
    """Returns where the function goes on: with its new environment."""
    import gc
    if len(os.listdir("/proc/self/task")) > 1:
        raise Impossible("it has more than one thread")
    descriptors = open_descriptors(kept)
    tmp = read_tmp()
    folder, mask = os.getcwd(), os.umask(0o022)
    os.umask(mask)
    gc.collect()
    gc.freeze()
    environment = save()
    if environment is None:
        give(api)
    os.chdir(folder)
    os.umask(mask)
    set_signals()
    write_tmp(tmp)
    open_again(descriptors)
    draw_anew()
    return environment

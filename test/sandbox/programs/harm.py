"""Takes without end what its argument says, and prints what stopped it."""
import errno
import os
import sys
import time

what = sys.argv[1]
count = 0
try:
    if what == "processes":
        while count < 2000:
            if os.fork() == 0:
                time.sleep(1000)
            count += 1
    elif what == "tmp":
        with open("/tmp/big", "wb", buffering=0) as f:
            while count < 64:
                f.write(b"x" * (1 << 20))
                count += 1
    elif what == "inodes":
        while count < 1000000:
            open(f"/tmp/{count}", "w").close()
            count += 1
    elif what == "memory":
        held = []
        while count < 512:
            held.append(bytearray(b"x" * (1 << 20)))
            count += 1
except OSError as e:
    print(errno.errorcode[e.errno], count, flush=True)
    os._exit(5)
print("nothing stopped it", flush=True)

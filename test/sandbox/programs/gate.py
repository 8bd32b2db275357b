"""A runtime that was booted for the pool: waits for its environment, then shows what it got."""
import os

data = b""
while True:
    part = os.read(3, 65536)
    if not part:
        break
    data += part
os.close(3)
print(data.decode().replace("\0", "|"), end="")
print(sorted(os.listdir("/var/task")), flush=True)

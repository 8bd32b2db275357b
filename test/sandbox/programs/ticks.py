"""Prints a line each few milliseconds, for ever."""
import time

while True:
    print("tick", flush=True)
    time.sleep(0.005)

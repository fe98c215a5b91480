"""One peer of Python, one size, one phase: a task as JSON in, the result as JSON out, as of the other peers."""

import importlib.metadata
import json
import os
import random
import statistics
import sys
import time

FRAME = 1 << 20
RECORD = 100

# The value that the next call computes: memoized functions take the key only.
pending = None


class NotThere(Exception):
    """A stored value is not there."""


# The number of computations that took time, and how long each takes.
computed = 0
delay = 0


def compute(key):
    global computed
    if delay:
        computed += 1
        time.sleep(delay)
    if pending is None:
        raise NotThere("a stored value is not there")
    return pending


def sample(size, number):
    if size == RECORD:
        return {"station": f"station {number:019}", "at": 1_767_225_600_000_000 + number, "values": [0.1 + number] * 8}
    if size < FRAME:
        return f"{number:020}".ljust(size, "x")
    import numpy
    import pandas

    rows = size // 4 // 8
    return pandas.DataFrame({f"column {c}": numpy.arange(rows, dtype=float) + c + number for c in range(4)})


class Streamlit:
    def __init__(self, task):
        # Its folder is in the home directory and nowhere else.
        os.environ["HOME"] = task["directory"]
        import streamlit
        from streamlit.runtime.caching import cache_data_api
        from streamlit.runtime.caching.storage.local_disk_cache_storage import LocalDiskCacheStorageManager

        # Outside of its server it would silently keep nothing on disk.
        cache_data_api._data_caches.get_storage_manager = LocalDiskCacheStorageManager
        bound = task["live"] if task["phase"] == "churn" else None
        self.call = streamlit.cache_data(persist="disk", max_entries=bound, show_spinner=False)(compute)

    def bound(self, task):
        pass


class Joblib:
    mmap_mode = None

    def __init__(self, task):
        import joblib

        self.memory = joblib.Memory(task["directory"], mmap_mode=self.mmap_mode, verbose=0)
        self.call = self.memory.cache(compute)

    def bound(self, task):
        """Its bound is applied on demand, by a walk through all files."""
        self.memory.reduce_size(items_limit=task["live"])


class JoblibMapped(Joblib):
    mmap_mode = "r"


class Diskcache:
    def __init__(self, task):
        import diskcache

        limit = task["live"] * task["bytes"] if task["phase"] == "churn" else 8 << 30
        self.call = diskcache.Cache(task["directory"], size_limit=limit).memoize()(compute)

    def bound(self, task):
        pass


PEERS = {"Streamlit": Streamlit, "joblib": Joblib, "joblib, mmap": JoblibMapped, "diskcache": Diskcache}


def key(number):
    return f"reading/{number:024}"


def misses(call, task):
    global pending
    total = 0
    for number in range(task["calls"]):
        pending = sample(task["bytes"], number)
        began = time.perf_counter()
        handed = call(key(number))
        total += time.perf_counter() - began
        del handed
    pending = None
    return total / task["calls"]


def hits(call, task):
    keys = [key(number) for number in range(task["calls"])]
    random.Random(1).shuffle(keys)
    passes = []
    for _ in range(task["passes"]):
        latest = None
        began = time.perf_counter()
        for one in keys:
            latest = call(one)
        passes.append((time.perf_counter() - began) / len(keys))
        del latest
    return statistics.median(passes)


def churn(peer, task):
    global pending
    for number in range(task["calls"]):
        pending = sample(task["bytes"], number)
        peer.call(key(number))
        if (number + 1) % task["live"] == 0:
            peer.bound(task)
    peer.bound(task)


def together(task):
    global pending, delay
    directory, process = task["directory"], task["process"]
    cache = os.path.join(directory, "cache")
    os.makedirs(cache, exist_ok=True)
    peer = PEERS[task["peer"]](task | {"directory": cache})
    delay, pending = 0.020, sample(task["bytes"], 0)
    open(os.path.join(directory, f"ready-{process}"), "w").close()
    while not os.path.exists(os.path.join(directory, "start")):
        time.sleep(0.0001)
    for turn in range(task["calls"]):
        peer.call(f"key {(turn + process * task['calls'] // 4) % task['calls']}")
    return {"computed": computed}


def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM:"))


def found(task):
    if task["phase"] == "together":
        return together(task)
    peer = PEERS[task["peer"]](task)
    if task["phase"] == "churn":
        churn(peer, task)
        return {}
    if task["phase"] == "first":
        return {"miss": misses(peer.call, task), "hit": hits(peer.call, task), "peak": peak()}
    return {"hit": hits(peer.call, task | {"passes": 1}), "peak": peak()}


def main():
    if sys.argv[1] == "versions":
        packages = ["streamlit", "joblib", "diskcache", "pandas", "numpy"]
        print(json.dumps({"python": sys.version.split()[0]} | {p: importlib.metadata.version(p) for p in packages}))
        return
    try:
        answer = found(json.loads(sys.argv[1]))
    except Exception as error:
        answer = {"refused": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()

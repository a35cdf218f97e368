#!/usr/bin/env python3
"""Runs misbehaving clients of `ualm serve` beside a good one, and checks that the server still works.

For --minutes, they disconnect early, send garbage, stall their upload, read nothing, or ask for far too much. At the end no slot may be in
use and no request waiting, all sounds of the good client must be equal, and memory must not have grown by more than a fifth since the first
tenth of the time. Prints the counts; the exit code is 0 if all of that held.
"""
import argparse
import json
import pathlib
import random
import socket
import sys
import threading
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from running import Server  # noqa: E402

MODEL = "ualm-small-world"


def request(path, body, content_type="application/json", length=None):
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content_type}\r\ncontent-length: {length or len(body)}\r\n\r\n"
    return head.encode() + body


def chat(**more):
    body = {"model": MODEL, "messages": [{"role": "user", "content": "a dog, then rain"}], **more}
    return request("/v1/chat/completions", json.dumps(body).encode())


SOUND = {"modalities": ["text", "audio"], "audio": {"format": "wav"}}


def goes_away(connect, draw):
    with connect() as client:
        client.sendall(chat(stream=draw.random() < 0.5, **SOUND))
        client.settimeout(5)
        for _ in range(draw.randrange(6)):
            client.recv(4096)


def sends_garbage(connect, draw):
    garbage = draw.randbytes(draw.randrange(1, 4000))
    path = draw.choice(["/v1/chat/completions", "/v1/audio/speech", "/v1/audio/transcriptions", "/", "/v1/models"])
    kind = draw.choice(["application/json", "multipart/form-data; boundary=x", "text/plain"])
    with connect() as client:
        client.sendall(garbage if draw.random() < 0.3 else request(path, garbage, kind))
        client.settimeout(5)
        client.recv(4096)


def stalls(connect, draw):
    with connect() as client:
        client.sendall(request("/v1/audio/speech", b'{"model": "', length=draw.choice([100, 1 << 20])))
        client.settimeout(draw.choice([0.5, 3, 6]))
        client.recv(4096)


def reads_nothing(connect, draw):
    with connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.sendall(chat(stream=True, **SOUND))
        time.sleep(draw.choice([0.5, 4]))


def asks_for_too_much(connect, draw):
    excess = draw.choice([
        chat(n=1000), chat(max_tokens=1 << 40), chat(ualm={"max_segments": 1 << 30}), chat(ualm={"audio": {"max_steps": 1 << 30}}, **SOUND),
        chat(ualm={"reasoning": {"mode": "reflect", "rounds": 1 << 20}}, **SOUND),
        request("/v1/audio/speech", json.dumps({"model": MODEL, "input": "one " * 100_000}).encode()),
        request("/v1/audio/speech", b"{", length=1 << 50),
        request("/v1/chat/completions", b"[" * 100_000),
    ])
    with connect() as client:
        client.sendall(excess)
        client.settimeout(20)
        client.recv(4096)


BAD = [goes_away, sends_garbage, stalls, reads_nothing, asks_for_too_much]


def metric(server, name):
    with urllib.request.urlopen(server.address + "/metrics", timeout=30) as page:
        lines = page.read().decode().splitlines()
    return float(next(line.split()[-1] for line in lines if line.startswith(name + " ")))


def memory(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def start_bad_clients(server, clients, end):
    """Returns the threads of clients that misbehave until `end`, and the number of times of each kind, which they count."""
    host, port = server.address.removeprefix("http://").split(":")
    done = dict.fromkeys((bad.__name__ for bad in BAD), 0)
    lock = threading.Lock()

    def connect():
        return socket.create_connection((host, int(port)), timeout=30)

    def behave_badly(seed):
        draw = random.Random(seed)
        while time.monotonic() < end:
            bad = draw.choice(BAD)
            try:
                bad(connect, draw)
            except OSError:
                pass
            with lock:
                done[bad.__name__] += 1

    threads = [threading.Thread(target=behave_badly, args=(seed,), daemon=True) for seed in range(clients)]
    for thread in threads:
        thread.start()
    return threads, done


def soak(server, minutes, clients):
    """Returns the counts of the good client and of the bad ones, and the server's memory early and late."""
    end = time.monotonic() + 60 * minutes
    threads, done = start_bad_clients(server, clients, end)
    good = refused = 0
    early = None
    body = json.dumps({"model": MODEL, "input": "one two", "ualm": {"seed": 1, "take": False}}).encode()
    sounds = set()
    while time.monotonic() < end:
        asked = urllib.request.Request(server.address + "/v1/audio/speech", body, {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(asked, timeout=600) as answer:
                sounds.add(answer.read())
            good += 1
        except urllib.error.HTTPError as error:
            if error.code != 429:
                raise
            refused += 1
            time.sleep(0.5)
        if early is None and time.monotonic() > end - 60 * minutes * 0.9:
            early = memory(server)
    for thread in threads:
        thread.join(120)
    wait_until_idle(server)
    return {"good": good, "refused": refused, "sounds": len(sounds), "early_mib": early, "late_mib": memory(server), **done}


def wait_until_idle(server):
    """Waits for the end of all requests; exits if that takes two minutes."""
    start = time.monotonic()
    while (busy := metric(server, "ualm_slots_in_use") + metric(server, "ualm_queue_length")) > 0:
        if time.monotonic() - start > 120:
            raise SystemExit(f"error: {busy:.0f} requests still run or wait, two minutes after the last client; expected none")
        time.sleep(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60, help="more than 0; an hour by default")
    parser.add_argument("--clients", type=int, default=12)
    arguments = parser.parse_args()
    with Server("--client-timeout", "2", "--deadline", "30", "--slots", "4", "--queue", "8") as server:
        found = soak(server, arguments.minutes, arguments.clients)
        print(json.dumps(found))
        code = server.terminate()
    held = found["good"] > 0 and found["sounds"] == 1 and code == 0 and found["late_mib"] < 1.2 * found["early_mib"]
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()

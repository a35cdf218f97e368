#!/usr/bin/env python3
"""Loads a running `ualm serve`: 1, 2, 4 … clients that each request one sound after another, streamed, with their own seeds.

    ualm serve --queue 0 & python3 benches/load.py http://127.0.0.1:8080 --seconds 20

Prints a table: seconds of sound made a second of time, requests, the 50th and 95th percentile of the time to the first sound, refusals
(429), errors, and the server's memory (with --pid). Needs only Python.
"""
import argparse
import http.client
import json
import pathlib
import threading
import time
import urllib.parse

WORDS = ["a dog barking", "rain", "sea waves", "a siren", "glass breaking", "a telephone ringing", "a church bell", "applause"]


class Client(threading.Thread):
    """A client that requests sounds until it is stopped."""

    def __init__(self, arguments, number, end):
        super().__init__(daemon=True)
        self.arguments = arguments
        self.number = number
        self.end = end
        self.first = []
        self.bytes = 0
        self.refused = 0
        self.errors = 0
        self.done = 0

    def run(self):
        address = urllib.parse.urlsplit(self.arguments.address)
        turn = 0
        while time.monotonic() < self.end:
            turn += 1
            connection = http.client.HTTPConnection(address.hostname, address.port, timeout=600)
            try:
                self.ask(connection, turn)
            except (OSError, http.client.HTTPException):
                self.errors += 1
            finally:
                connection.close()

    def ask(self, connection, turn):
        own = {"modality": "audio", "seed": self.number * 1000 + turn, "sample_rate": self.arguments.rate}
        if self.arguments.steps:
            own["max_steps"] = self.arguments.steps
        body = {"model": self.arguments.model, "input": WORDS[(self.number + turn) % len(WORDS)], "response_format": "pcm", "ualm": own}
        began = time.monotonic()
        connection.request("POST", "/v1/audio/speech", json.dumps(body), {"content-type": "application/json"})
        answer = connection.getresponse()
        if answer.status == 429:
            self.refused += 1
            answer.read()
            time.sleep(0.2)
            return
        if answer.status != 200:
            self.errors += 1
            answer.read()
            return
        piece = answer.read1(65536)
        self.first.append(time.monotonic() - began)
        while piece:
            self.bytes += len(piece)
            piece = answer.read1(65536)
        self.done += 1


def memory(pid):
    """Returns the resident memory of a process, in MiB."""
    if pid is None:
        return float("nan")
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def percentile(times, share):
    times = sorted(times)
    return times[min(len(times) - 1, int(len(times) * share))] if times else float("nan")


def measure(arguments, clients):
    began = time.monotonic()
    running = [Client(arguments, number, began + arguments.seconds) for number in range(clients)]
    for client in running:
        client.start()
    for client in running:
        client.join()
    took = time.monotonic() - began
    first = [seconds for client in running for seconds in client.first]
    sound = sum(client.bytes for client in running) / 2 / arguments.rate
    sums = {name: sum(getattr(client, name) for client in running) for name in ("done", "refused", "errors")}
    return {
        "clients": clients, "sound_per_second": round(sound / took, 2), **sums,
        "first_sound_p50": round(percentile(first, 0.5), 3), "first_sound_p95": round(percentile(first, 0.95), 3),
        "memory_mib": round(memory(arguments.pid), 1),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address", help="such as http://127.0.0.1:8080")
    parser.add_argument("--model", default="ualm-small-world")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--seconds", type=float, default=20, help="duration for each number of clients (default: %(default)s)")
    parser.add_argument("--steps", type=int, help="steps of each sound (default: the model decides)")
    parser.add_argument("--rate", type=int, default=16000, help="the model's sample rate")
    parser.add_argument("--pid", type=int, help="process id of the server, for its memory")
    arguments = parser.parse_args()
    rows = []
    for clients in arguments.clients:
        rows.append(measure(arguments, clients))
        if len(rows) == 1:
            print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
        print("| " + " | ".join(str(value) for value in rows[-1].values()) + " |", flush=True)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""A model hub on loopback with the API of the Hugging Face Hub, as used by its clients in Python and Rust.

    with Hub() as hub:
        hub.add("someone/model", {"config.json": b"{}", "model.onnx": FOLDER / "model.onnx"})
        hub.faults.append(Fault(path="model.onnx", status=503, times=1))
        ...                               # with HF_ENDPOINT=hub.endpoint
        hub.sent("model.onnx")            # the bytes that were sent of it, request by request

It has two servers, each on a port of its own: the hub, and the store ("CDN") to which the hub redirects whoever fetches a large file.
`requests` tells what each was asked. By hand: `python3 tests/hub/hub.py someone/model=FOLDER` prints the address and serves until it is
stopped. Only the standard library is used.
"""

import argparse
import hashlib
import json
import re
import ssl
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

PIECE = 64 << 10


@dataclass
class Fault:
    """A fault for requests whose path contains `path`. The first matching fault of a request is applied."""

    path: str = ""  # a part of the path
    server: str = ""  # "hub", "store", or both
    method: str = ""  # "GET", "HEAD", or both
    times: int | None = None  # number of faults; no limit if None
    status: int | None = None  # answers with this status …
    code: str = ""  # … this X-Error-Code …
    message: str = ""  # … and this X-Error-Message
    headers: dict = field(default_factory=dict)  # further headers, such as Retry-After
    content: bytes | None = None  # … and this body
    is_endless: bool = False  # answers with a body without a length that never ends
    breaks_after: int | None = None  # closes the connection after so many bytes of the body
    flips: bool = False  # sends a body of which each byte is another one
    ignores_range: bool = False  # answers a request for a range with the whole file
    stalls: float | None = None  # waits so many seconds before the answer
    rate: float | None = None  # sends so many bytes a second

    def hits(self, server, method, path):
        """Returns whether the fault applies to this request, and counts it."""
        if self.path not in path or self.server not in ("", server) or self.method not in ("", method):
            return False
        if self.times is None:
            return True
        self.times -= 1
        return self.times >= 0


@dataclass
class Request:
    """A request to a server, and the bytes sent."""

    server: str
    method: str
    path: str
    range: str | None
    authorization: str | None
    user_agent: str | None
    status: int = 0
    sent: int = 0  # bytes of the body


class File:
    """A file of a commit, its content in memory or on disk."""

    def __init__(self, content, lfs_from):
        self.content = content
        self.size = len(content) if isinstance(content, bytes) else content.stat().st_size
        self.sha256 = hashlib.sha256(self.read()).hexdigest()
        self.blob_id = hashlib.sha1(b"blob %d\0" % self.size + self.read(), usedforsecurity=False).hexdigest()
        self.is_lfs = self.size >= lfs_from
        self.etag = self.sha256 if self.is_lfs else self.blob_id

    def read(self):
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()


class Repository:
    """Commits, branches and tags."""

    def __init__(self, private, gated):
        self.private = private
        self.gated = gated
        self.commits = {}
        self.refs = {}

    def commit(self, revision):
        """Returns the full id of a revision's commit, or None."""
        return self.refs.get(revision) or (revision if revision in self.commits else None)


class Refusal(Exception):
    """An error response."""

    def __init__(self, status, code="", message="", headers=None):
        super().__init__(message)
        self.status = status
        self.headers = {**({"X-Error-Code": code} if code else {}), **({"X-Error-Message": message} if message else {}), **(headers or {})}
        self.message = message


class Server(ThreadingHTTPServer):
    """A server that ignores clients that disconnect during a response."""

    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (ConnectionError, ssl.SSLError)):
            super().handle_error(request, client_address)


class Hub:
    """The two servers and their contents."""

    def __init__(self, token="hf_" + "t" * 34, allowed=True, lfs_from=64 << 10, certificate=None):
        self.token = token  # the one token that is known
        self.allowed = allowed  # true if its owner has access to gated repositories
        self.lfs_from = lfs_from  # files of this size or more lie in the store
        self.certificate = certificate  # a file (PEM) with a certificate and its key, for HTTPS
        self.repositories = {}
        self.renamed = {}  # old name: new name
        self.faults = []
        self.requests = []
        self.lock = threading.Lock()
        self.servers = {name: self._server(handler) for name, handler in (("hub", HubHandler), ("store", StoreHandler))}
        self.endpoint = self._address("hub")
        self.store = self._address("store")

    def add(self, name, files, revision="main", private=False, gated=False):
        """Adds a commit to `name`, and moves the branch `revision` there; returns the id. `files` is a folder, or a dictionary of
        names to bytes or paths."""
        if isinstance(files, (str, Path)):
            folder = Path(files)
            files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        commit = {path: File(content, self.lfs_from) for path, content in sorted(files.items())}
        said = json.dumps([name, [(path, file.sha256) for path, file in commit.items()]])
        sha = hashlib.sha1(said.encode(), usedforsecurity=False).hexdigest()
        repository = self.repositories.setdefault(name, Repository(private, gated))
        repository.private = private
        repository.gated = gated
        repository.commits[sha] = commit
        repository.refs[revision] = sha
        return sha

    def sent(self, path, server="store"):
        """Returns the bytes sent for each GET of a file whose path contains `path`."""
        return [request.sent for request in self.requests if request.server == server and request.method == "GET" and path in request.path]

    def forget(self):
        """Removes all recorded requests and all faults."""
        with self.lock:
            self.requests.clear()
            self.faults.clear()

    def close(self):
        for server in self.servers.values():
            server.shutdown()
            server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _server(self, handler):
        server = Server(("127.0.0.1", 0), handler)
        server.hub = self
        if self.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server

    def _address(self, name):
        scheme = "https" if self.certificate else "http"
        return f"{scheme}://127.0.0.1:{self.servers[name].server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """The common part of both servers: recorded requests, faults, ranges."""

    protocol_version = "HTTP/1.1"
    server_name = ""

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._handle()

    def do_HEAD(self):
        self._handle()

    def _handle(self):
        hub = self.server.hub
        split = urlsplit(self.path)
        path = unquote(split.path)
        headers = self.headers
        request = Request(
            self.server_name, self.command, self.path, headers["Range"], headers["Authorization"], headers["User-Agent"]
        )
        with hub.lock:
            hub.requests.append(request)
            hits = (fault for fault in hub.faults if fault.hits(self.server_name, self.command, path))
            fault = next(hits, Fault())
        self.record = request
        self.fault = fault
        try:
            time.sleep(fault.stalls or 0)
            if fault.is_endless:
                return self.say_without_end()
            if fault.content is not None:
                return self.say(fault.status or 200, fault.content, fault.headers)
            if fault.status:
                raise Refusal(fault.status, fault.code, fault.message, fault.headers)
            self.answer(hub, path, parse_qs(split.query))
        except Refusal as refusal:
            self.say(refusal.status, json.dumps({"error": refusal.message}).encode(), refusal.headers)
        except (ConnectionError, ssl.SSLError):
            self.close_connection = True

    def say(self, status, content, headers=None):
        """Sends `content`, as JSON unless `headers` have another type."""
        self.record.status = status
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": len(content), **(headers or {})}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.body(content)

    def say_file(self, file, headers):
        """Sends a file, or the requested range of it."""
        start = 0
        end = file.size
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or "")
        if asked and not self.fault.ignores_range:
            start = int(asked[1])
            end = min(int(asked[2]) + 1 if asked[2] else file.size, file.size)
            if start >= file.size:
                raise Refusal(416, message="The range is not satisfiable", headers={"Content-Range": f"bytes */{file.size}"})
            headers = {**headers, "Content-Range": f"bytes {start}-{end - 1}/{file.size}"}
        is_part = "Content-Range" in headers
        headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", "Content-Length": end - start, **headers}
        self.say(206 if is_part else 200, file.read()[start:end], headers)

    def say_without_end(self):
        """Sends zeros until the client disconnects."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while True:
            self.wfile.write(b"%x\r\n" % PIECE + bytes(PIECE) + b"\r\n")
            self.record.sent += PIECE

    def body(self, content):
        """Sends the body in pieces, with the faults of the request."""
        if self.command == "HEAD":
            return
        fault = self.fault
        if fault.flips:
            content = bytes(byte ^ 0xFF for byte in content)
        most = len(content) if fault.breaks_after is None else min(fault.breaks_after, len(content))
        piece = PIECE if fault.rate is None else max(1, min(PIECE, int(fault.rate / 20)))
        for start in range(0, most, piece):
            part = content[start : min(start + piece, most)]
            self.wfile.write(part)
            self.wfile.flush()
            self.record.sent += len(part)
            if fault.rate is not None:
                time.sleep(len(part) / fault.rate)
        if most < len(content):
            self.close_connection = True


class StoreHandler(Handler):
    """The file storage: files by checksum, without a login. A token that arrives here has leaked."""

    server_name = "store"

    def answer(self, hub, path, _query):
        if self.headers["Authorization"]:
            raise Refusal(400, message="Only one auth mechanism allowed")
        for repository in hub.repositories.values():
            for commit in repository.commits.values():
                for name, file in commit.items():
                    if path == f"/{file.sha256}/{name}":
                        return self.say_file(file, {"ETag": f'"{hashlib.md5(file.sha256.encode(), usedforsecurity=False).hexdigest()}"'})
        raise Refusal(404, message="Not Found")


class HubHandler(Handler):
    """The hub: descriptions, small files, and redirects to the storage for large ones."""

    server_name = "hub"

    def answer(self, hub, path, query):
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+?)(?:/(revision|tree)/(.+))?", path):
            name = found[1]
            kind = found[2]
            revision = found[3] or "main"
            # a branch may contain slashes, percent-encoded in the URL
            return self._tree(hub, name, revision) if kind == "tree" else self._info(hub, name, revision, "blobs" in query)
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+|refs/[^/]+/[^/]+)/(.+)", path):
            return self._resolve(hub, *found.groups())
        if path == "/api/whoami-v2":
            self._login(hub)
            return self.say(200, json.dumps({"type": "user", "name": "tester"}).encode())
        raise Refusal(404, message="Sorry, we can't find the page you are looking for.")

    def _login(self, hub):
        """Returns whether the request has a valid token."""
        given = self.headers["Authorization"]
        if given is None:
            return False
        if given != f"Bearer {hub.token}":
            raise Refusal(401, message="Invalid credentials in Authorization header")
        return True

    def _repository(self, hub, name):
        logged_in = self._login(hub)
        if name in hub.renamed:
            location = self.path.replace(name, hub.renamed[name], 1)
            raise Refusal(307, headers={"Location": location})
        repository = hub.repositories.get(name)
        if repository is None or (repository.private and not logged_in):
            # like the real hub: without a login, existence is not revealed
            raise Refusal(404, "RepoNotFound", "Repository not found") if logged_in else Refusal(
                401, "RepoNotFound", "Invalid username or password."
            )
        return repository, logged_in

    @staticmethod
    def _commit(repository, revision):
        sha = repository.commit(revision)
        if sha is None:
            raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return sha

    def _info(self, hub, name, revision, with_blobs):
        repository, _ = self._repository(hub, name)
        sha = self._commit(repository, revision)
        siblings = []
        for path, file in repository.commits[sha].items():
            sibling = {"rfilename": path}
            if with_blobs:
                sibling |= {"size": file.size, "blobId": file.blob_id}
                if file.is_lfs:
                    sibling["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": 134}
            siblings.append(sibling)
        info = {
            "_id": sha[:24],
            "id": name,
            "modelId": name,
            "author": name.split("/")[0],
            "sha": sha,
            "private": repository.private,
            "gated": repository.gated,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "siblings": siblings,
        }
        self.say(200, json.dumps(info).encode())

    def _tree(self, hub, name, revision):
        repository, _ = self._repository(hub, name)
        commit = repository.commits[self._commit(repository, revision)]
        entries = []
        for path, file in commit.items():
            entry = {"type": "file", "oid": file.blob_id, "size": file.size, "path": path}
            if file.is_lfs:
                entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": 134}
            entries.append(entry)
        self.say(200, json.dumps(entries).encode())

    def _resolve(self, hub, name, revision, path):
        repository, logged_in = self._repository(hub, name)
        sha = self._commit(repository, revision)
        if repository.gated and not (logged_in and hub.allowed):
            words = f"Access to model {name} is restricted. You must have access to it and be authenticated to access it. Please log in."
            raise Refusal(403 if logged_in else 401, "GatedRepo", words)
        file = repository.commits[sha].get(path)
        if file is None:
            raise Refusal(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": sha})
        headers = {"X-Repo-Commit": sha, "ETag": f'"{file.etag}"'}
        if not file.is_lfs:
            return self.say_file(file, headers)
        # headers about the file itself, not about the redirect
        headers |= {"X-Linked-Size": file.size, "X-Linked-ETag": f'"{file.sha256}"', "ETag": f'"{file.blob_id}"'}
        location = f"{hub.store}/{file.sha256}/{quote(path)}"
        self.say(302, f"Found. Redirecting to {location}".encode(), {"Location": location, "Content-Type": "text/plain", **headers})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("repositories", nargs="+", metavar="OWNER/NAME=FOLDER")
    parser.add_argument("--gated", action="store_true", help="require a request for access")
    parser.add_argument("--token", default="hf_test", help="the valid token")
    args = parser.parse_args()
    with Hub(token=args.token) as hub:
        for repository in args.repositories:
            name, folder = repository.split("=", 1)
            print(f"{name} at {hub.add(name, folder, gated=args.gated and 'manual')}")
        print(f"export HF_ENDPOINT={hub.endpoint} HF_TOKEN={hub.token}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""An empty machine, like a container: a folder with a C library and a shell, used as the root of separate processes.

    empty_root.py make FOLDER [--python] [--debian SUITE [--include PACKAGE]…]
    empty_root.py run FOLDER [--offline] [--read-only] [--user ID] [--set NAME=VALUE]… [--bind FOLDER]… -- COMMAND…

`make` copies the C and C++ libraries, a shell and, with --python, this Python with its standard library and pip from this machine. With
--debian the root is Debian's smallest system, fetched by mmdebstrap. A command in the root sees its files, /proc, /dev, an empty /tmp and
the environment of --set, and nothing else of this machine: no Rust, no home, no cache. With --offline it has only a loopback network.
Needs Linux, and root's rights or user namespaces.
"""
import argparse
import fcntl
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import sysconfig

LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
FOLDERS = ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "etc", "proc", "dev", "sys", "tmp", "run", "root", "var/lib", "var/tmp")
PEOPLE = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
# Further libraries of the C library, some of them empty since glibc 2.34, that older programs need.
LIBRARIES = ("libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libresolv.so.2", "libstdc++.so.6", "libgcc_s.so.1")
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Failure(Exception):
    """An error with a sentence for the user."""


def make(folder, python=False, programs=()):
    """Makes the root `folder` from this machine's files, with `programs` beside the shell; returns the folder."""
    folder = pathlib.Path(folder)
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
    for name, target in LINKS.items():
        (folder / name).symlink_to(target)
    (folder / "etc/passwd").write_text(PEOPLE)
    (folder / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    for program in ("sh", *programs):
        copy_program(folder, pathlib.Path(shutil.which(program, path=PATH) or program))
    for name in LIBRARIES:
        copy_with_libraries(folder, library(name))
    if python:
        copy_python(folder)
    return folder


def make_debian(folder, suite, include=()):
    """Makes the root `folder` as Debian's smallest system, with the packages of `include`; returns the folder."""
    if not shutil.which("mmdebstrap"):
        raise Failure("mmdebstrap is missing: apt install mmdebstrap")
    included = [f"--include={','.join(include)}"] if include else []
    command = ["mmdebstrap", "--quiet", "--variant=essential", *included, suite, str(folder)]
    if subprocess.run(command, check=False).returncode != 0:
        raise Failure(f"mmdebstrap could not make {folder}; its output is above")
    return pathlib.Path(folder)


def library(name):
    """Returns the path of a library of this machine, as the loader finds it."""
    output = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=True, env={"PATH": PATH}).stdout
    found = re.search(rf"^\s+{re.escape(name)} \(.*\) => (\S+)$", output, re.MULTILINE)
    if not found:
        raise Failure(f"this machine has no {name}")
    return pathlib.Path(found[1])


def needed(path):
    """Returns the libraries that a program or library loads, and the loader."""
    output = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=False).stdout
    return [pathlib.Path(found) for found in re.findall(r"(?:=> |^\s+)(/\S+) \(0x", output, re.MULTILINE)]


def within(folder, path):
    """Returns the location of a path of this machine in the root, whose /lib and similar folders are links."""
    first, *others = path.parts[1:]
    return folder.joinpath(LINKS.get(first, first), *others)


def copy_file(folder, path):
    """Copies a file to its location in the root, and resolves links."""
    target = within(folder, path)
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


def copy_with_libraries(folder, path):
    """Copies a program or library with the libraries that it loads."""
    for one in (path, *needed(path)):
        copy_file(folder, one)


def copy_program(folder, path):
    """Copies a program of this machine with the libraries that it loads."""
    if not path.exists():
        raise Failure(f"this machine has no {path}")
    copy_with_libraries(folder, path)


def copy_python(folder):
    """Copies this interpreter, its standard library, and pip if it has it."""
    program = pathlib.Path(sys.executable).resolve()
    copy_program(folder, program)
    for name in ("python3", "python"):
        link = folder / "usr/bin" / name
        if not link.exists():
            link.symlink_to(program)
    standard = pathlib.Path(sysconfig.get_path("stdlib", vars={"base": sys.base_prefix, "installed_base": sys.base_prefix}))
    unwanted = shutil.ignore_patterns("__pycache__", "site-packages", "dist-packages", "test", "idlelib", "config-*", "ensurepip")
    shutil.copytree(standard, within(folder, standard), ignore=unwanted, dirs_exist_ok=True)
    for module in standard.rglob("lib-dynload/*.so"):
        copy_with_libraries(folder, module)
    import pip

    installed = pathlib.Path(pip.__file__).parent
    shutil.copytree(installed, within(folder, standard) / "site-packages/pip", ignore=shutil.ignore_patterns("__pycache__"))


def command_in(folder, command, offline=False, read_only=False, user=None, environment=None, binds=()):
    """Returns the command line that runs `command` with `folder` as its root, within this process's rights.

    `user` needs root's rights. `environment` is the command's whole environment besides PATH. `binds` are folders of this machine that it may
    read.
    """
    own = [] if os.geteuid() == 0 else ["--map-root-user"]
    network = ["--net"] if offline else []
    options = [*(["--read-only"] if read_only else []), *(["--offline"] if offline else []), *(["--user", str(user)] if user is not None else [])]
    options += [part for name, value in (environment or {}).items() for part in ("--set", f"{name}={value}")]
    options += [part for bind in binds for part in ("--bind", str(bind))]
    inside = [sys.executable, os.path.abspath(__file__), "enter", str(folder), *options, "--", *map(str, command)]
    return ["unshare", *own, *network, "--mount", "--pid", "--ipc", "--fork", "--kill-child=SIGKILL", "--propagation=private", *inside]


def can_run():
    """Returns whether this process may create namespaces."""
    if sys.platform != "linux" or not shutil.which("unshare"):
        return False
    own = [] if os.geteuid() == 0 else ["--map-root-user"]
    asked = ["unshare", *own, "--net", "--mount", "--pid", "--ipc", "--fork", "--kill-child=SIGKILL", "true"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def enter(arguments):
    """Replaces this process by the command, in its new namespaces: the other half of `command_in`."""
    root = arguments.folder.resolve()
    mount("--bind", root, root)
    mount("-t", "proc", "proc", root / "proc")
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", root / "dev")
    for name in DEVICES:
        if os.path.exists(f"/dev/{name}"):
            (root / "dev" / name).touch()
            mount("--bind", f"/dev/{name}", root / "dev" / name)
    (root / "dev/shm").mkdir()
    for name in ("dev/shm", "tmp"):
        mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", root / name)
    for bind in arguments.bind:
        place = root / str(bind.resolve()).lstrip("/")
        place.mkdir(parents=True, exist_ok=True)
        mount("--bind", bind, place)
        mount("-o", "remount,bind,ro", place)
    if arguments.offline:
        raise_loopback()
    if arguments.read_only:
        mount("-o", "remount,bind,ro", root)
    os.chroot(root)
    os.chdir("/")
    if arguments.user is not None:
        os.setgroups([])
        os.setresgid(arguments.user, arguments.user, arguments.user)
        os.setresuid(arguments.user, arguments.user, arguments.user)
    environment = {"PATH": PATH} | dict(value.split("=", 1) for value in arguments.set)
    become(arguments.command, environment)


def become(command, environment):
    """Runs the command as a child and forwards SIGTERM: the first process of a namespace has no default signal handlers."""
    process = subprocess.Popen(command, env=environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    status = process.wait()
    sys.exit(status if status >= 0 else 128 - status)


def mount(*arguments):
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"mount {' '.join(map(str, arguments))}: {done.stderr.strip()}")


def raise_loopback():
    """Enables the loopback interface of a new network namespace."""
    flags = struct.Struct("16sH14x")
    up = 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, flags.pack(b"lo", up))  # SIOCSIFFLAGS


def parse_arguments():
    parser = argparse.ArgumentParser(description="Make an empty root, or run a command in one.")
    commands = parser.add_subparsers(dest="action", required=True)
    made = commands.add_parser("make")
    made.add_argument("folder", type=pathlib.Path)
    made.add_argument("--python", action="store_true")
    made.add_argument("--debian", metavar="SUITE")
    made.add_argument("--include", action="append", default=[], metavar="PACKAGE")
    for name in ("run", "enter"):
        run = commands.add_parser(name)
        run.add_argument("folder", type=pathlib.Path)
        run.add_argument("--offline", action="store_true")
        run.add_argument("--read-only", action="store_true")
        run.add_argument("--user", type=int, metavar="ID")
        run.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
        run.add_argument("--bind", action="append", default=[], type=pathlib.Path, metavar="FOLDER")
        run.add_argument("command", nargs="+")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    try:
        if arguments.action == "make":
            made = make_debian(arguments.folder, arguments.debian, arguments.include) if arguments.debian else make(arguments.folder, arguments.python)
            print(made)
        elif arguments.action == "enter":
            enter(arguments)
        else:
            environment = dict(value.split("=", 1) for value in arguments.set)
            command = command_in(arguments.folder, arguments.command, arguments.offline, arguments.read_only, arguments.user, environment, arguments.bind)
            os.execvp(command[0], command)
    except (Failure, OSError) as error:
        sys.exit(f"empty_root.py: {error}")


if __name__ == "__main__":
    main()

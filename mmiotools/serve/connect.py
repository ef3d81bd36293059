"""Starts a program that has a connected socket: `python -m mmiotools.serve.connect PATH PROGRAM ARGUMENT...`

In the arguments, {fd} stands for the number of the descriptor. It is how a QEMU that is started by hand comes to a card
that `mmiotools replay --serve mpqemu:PATH` serves, because x-pci-proxy-dev takes a descriptor and no path:

    python -m mmiotools.serve.connect card.sock qemu-system-x86_64 -device 'x-pci-proxy-dev,fd={fd},addr=3' \
        -qtest unix:card.sock.qtest -qtest-log /dev/null ...
"""

from __future__ import annotations

import os
import socket
import sys

from mmiotools.typed import NoReturn


def main(words: list[str]) -> NoReturn:
    """Connect, and become the program."""
    if len(words) < 2 or words[0].startswith("-"):
        raise SystemExit("usage: python -m mmiotools.serve.connect PATH PROGRAM ARGUMENT...")
    path, *command = words
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        stream.connect(path)
        stream.set_inheritable(True)
        command = [word.replace("{fd}", str(stream.fileno())) for word in command]
        os.execvp(command[0], command)
    except OSError as error:
        what = path if error.filename is None else error.filename
        raise SystemExit(f"{what}: {(error.strerror or str(error)).lower()}") from error


if __name__ == "__main__":
    main(sys.argv[1:])

"""Stands in for a QEMU with vfio-user-pci in tests: it connects to the card, and does what nv-test@1 does. FAKE_DIES
has it killed when it has connected. Needs the packages of the tests.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path

arguments = sys.argv[1:]
if "-version" in arguments:
    print("QEMU emulator version 10.1.0 (none)")
    sys.exit(0)
if any(word.endswith(",help") for word in arguments):
    print("vfio-user-pci options:" if "vfio-user-pci,help" in arguments else "")
    sys.exit(0)

sys.path.insert(0, str(Path(__file__).parent))
from serve_clients import VfioClient  # noqa: E402

device = json.loads(arguments[arguments.index("-device") + 1])
with socket.socket(socket.AF_UNIX) as stream:
    stream.connect(device["socket"]["path"])
    client = VfioClient(stream)
    client.greet()
    assert not os.path.exists(device["socket"]["path"]), "nobody else shall connect"
    if os.environ.get("FAKE_DIES"):
        os.kill(os.getpid(), signal.SIGKILL)
    assert client.read(0, 0x101000, 4) == 0x400000
    client.write(0, 0x600140, 4, 0)

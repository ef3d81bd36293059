"""What speaks with the world outside: QEMU as a process, and the protocols by which it and the mock card meet."""

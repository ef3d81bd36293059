"""The emulated machine, the kmmio fault engine on it, and the mmio-trace layer that turns faults into events."""

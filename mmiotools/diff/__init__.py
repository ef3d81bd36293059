"""diff: what differs between the accesses of two recordings, and how it is shown."""

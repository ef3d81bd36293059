"""replay: a recording as a mock card, a driver run against it, and where the two part."""

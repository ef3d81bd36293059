"""mmiotools: one trace format and the commands that record, convert, filter, diff and replay MMIO traces.

This module holds the version and nothing else, so that `mmiotools --version` costs next to nothing.
"""

__version__ = "0.1.0"

"""The command line: one file a command; the only home of click and of print."""

import os

# One thread of numpy's linear algebra library: nothing here multiplies matrices, and starting its pool costs time.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

"""Speed: against PyTorch and the CPU libraries, against this machine's limits, and as data grow.

See ``__main__.py`` for the command.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy starts its threads
os.environ.setdefault("OMP_NUM_THREADS", "1")  # those of PyTorch

"""The array types of the engine."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
Sides = NDArray[np.int8]  # exposures of -1, 0 and 1 in an eighth of the memory

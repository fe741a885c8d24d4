"""`digits`: the 1,797 handwritten digits in scikit-learn, 8 × 8 pixels with 17 grey levels.

Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998. The data set has
no split, so images are split by content hash. Strokes are bright on black.
"""

import numpy as np

from edgecnn.bundle.decoding import Mode
from edgecnn.errors import MissingExtra
from edgecnn.hints import install_command
from edgecnn.pipeline.data.images import ArrayImages
from edgecnn.pipeline.data.source import Split, check_split


class Digits:
    """The handwritten digits of scikit-learn."""

    name = "digits"
    labels = tuple("0123456789")
    mode: Mode = "L"

    def split(self, name: str) -> Split:
        """See `DataSource.split`."""
        check_split(self.name, name)
        try:
            from sklearn.datasets import load_digits
        except ImportError:
            raise MissingExtra(f"the digits data set needs scikit-learn: {install_command('pipeline')}") from None
        levels, targets = load_digits(return_X_y=True)
        pixels = np.rint(levels.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
        return Split(self.name, name, ArrayImages(pixels), targets.astype(np.int64)).by_content(name)

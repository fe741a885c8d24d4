"""A child process that writes its niceness to stdout once it is above 0, or after ten seconds."""

import os
import time

end = time.monotonic() + 10
while os.nice(0) == 0 and time.monotonic() < end:
    time.sleep(0.01)
print(os.nice(0))

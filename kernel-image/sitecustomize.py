"""Gives matplotlib the list of fonts that was made with the image.

It looks for one where it may write (MPLCONFIGDIR), which in a new pod is empty, and else
opens every font file of the system when pyplot is first imported.
"""

import os
import sys


def lend_fonts(ours, theirs):
    if not theirs or os.path.exists(theirs):
        return
    try:
        os.makedirs(theirs)
        for name in os.listdir(ours):
            if name.startswith("fontlist"):
                os.symlink(os.path.join(ours, name), os.path.join(theirs, name))
    except OSError:
        pass  # then it looks itself


lend_fonts(os.path.join(sys.prefix, "share", "matplotlib"), os.environ.get("MPLCONFIGDIR"))

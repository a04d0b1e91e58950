# Rows: streams of both names in turn
# %%
import warnings
warnings.warn("watch out")
# %%
warnings.warn("old", DeprecationWarning)
# %%
import numpy as np
np.array([1.0]) / 0
# %%
import logging
logging.warning("to the root")
logging.info("not shown")
# %%
handler = logging.StreamHandler()
handler.setFormatter(logging.Formatter("%(levelname)s:%(name)s:%(message)s"))
log = logging.getLogger("ours")
log.addHandler(handler)
log.propagate = False
log.setLevel("DEBUG")
log.debug("debug")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("caught")
# %%
"\d"
# %%
import sys, traceback
try:
    {}["k"]
except KeyError:
    traceback.print_exc()
# %%
sys.displayhook(5)

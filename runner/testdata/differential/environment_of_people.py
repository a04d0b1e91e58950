# Rows: a kernel as any other
# Differs: our launcher does not start what only people at a prompt need
# %%
import IPython
IPython.embed.__module__
# %%
get_ipython().Completer.use_jedi
# %%
import os
"PYDEVD_USE_FRAME_EVAL" in os.environ
# %%
import sys
sorted(name for name in sys.modules if name in ("debugpy", "jedi", "parso", "prompt_toolkit"))

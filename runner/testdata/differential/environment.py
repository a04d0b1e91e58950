# Rows: a kernel as any other
# %%
import os, sys
[os.path.basename(p) for p in sys.path]
# %%
__name__, "__file__" in globals(), __builtins__.__name__
# %%
type(get_ipython()).__module__, type(get_ipython().kernel).__module__, type(sys.stdout).__module__
# %%
sorted(os.listdir("."))
# %%
import signal, threading, gc
signal.getsignal(signal.SIGINT).__name__, sys.getrecursionlimit(), gc.isenabled(), threading.current_thread() is threading.main_thread()
# %%
sys.stdin.isatty(), sys.stdout.isatty(), sys.stdout.encoding, sys.stdin.encoding
# %%
sys.flags.dont_write_bytecode, sys.flags.isolated, sys.flags.utf8_mode
# %%
import debugpy
debugpy.__name__
# %%
from IPython.terminal import embed
embed.InteractiveShellEmbed.__name__
# %%
sorted(name for name in globals() if not name.startswith("_"))
# %%
[e for e in os.environ if e.startswith(("MPL", "PAGER", "GIT_PAGER", "CLICOLOR", "FORCE"))]
# %%
help(abs)
# %%
import matplotlib
matplotlib.get_backend()

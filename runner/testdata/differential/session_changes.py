# Rows: a session that its cells change
# Errors: allowed
# %%
%xmode Minimal
1 / 0
# %%
%xmode Verbose
def f(x):
    return x / 0
f(3)
# %%
%xmode Context
import io, sys
sys.stdout.flush()
kept, sys.stdout = sys.stdout, io.StringIO()
print("into the void")
# %%
sys.stdout = kept
# %%
print("back")
# %%
import builtins
def loud(*args):
    raise RuntimeError("no print")
whisper, builtins.print = builtins.print, loud
print("x")
# %%
builtins.print = whisper
print("x")
# %%
def hook(shell, etype, value, tb, tb_offset=None):
    print("handled", etype.__name__)
get_ipython().set_custom_exc((ZeroDivisionError,), hook)
1 / 0
# %%
x = 5
%reset -f
"x" in globals()
# %%
import sys
sys.displayhook = lambda value: None
7
# %%
get_ipython().display_formatter.formatters["text/html"].for_type(int, lambda n: f"<b>{n}</b>")
8
# %%
import contextlib, io
with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.redirect_stderr(text):
    print("caught")
len(text.getvalue())
# %%
get_ipython().ast_node_interactivity = "none"
9
# %%
import time
get_ipython().ast_node_interactivity = "last_expr_or_assign"
y = 10
# %%
%matplotlib agg
import matplotlib.pyplot as plt
plt.plot([1]);
# %%
sys.stderr.close()
# %%
"the end"

# Rows: streams of both names in turn
# %%
import sys
print("out 1", flush=True)
print("err 1", file=sys.stderr, flush=True)
print("err 2", file=sys.stderr, flush=True)
print("out 2", flush=True)
# %%
from IPython.display import display
print("before", flush=True)
display("shown")
print("after", flush=True)
print("at the end", file=sys.stderr)
# %%
sys.stderr.write("only stderr")

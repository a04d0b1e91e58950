# Rows: the reply says error
# Errors: allowed
# %%
def inner(x):
    return 1 / x

def outer(x):
    try:
        inner(x)
    except ZeroDivisionError as e:
        raise ValueError("chained") from e
# %%
outer(0)
# %%
try:
    {}["missing"]
except KeyError:
    raise RuntimeError("while handling")
# %%
print("before")
raise Exception
# %%
class Own(Exception):
    def __str__(self):
        return "two\nlines <b>&amp;</b> ünïcode"
raise Own()
# %%
class Broken(Exception):
    def __str__(self):
        raise TypeError("no text")
raise Broken()
# %%
def deep(n):
    return deep(n + 1)
import sys
sys.setrecursionlimit(150)
deep(0)
# %%
sys.setrecursionlimit(3000)
raise ExceptionGroup("several", [ValueError(1), KeyError("k")])
# %%
raise KeyboardInterrupt
# %%
raise GeneratorExit("odd")
# %%
assert 1 == 2, "an assertion"
# %%
import json
json.loads("{")
# %%
"still here"

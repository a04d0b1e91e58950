# Rows: reply before idle; messages of another parent
# %%
print("one")
print("two", "three", sep=", ", end=".\n")
print("no line end", end="")
# %%
import sys
sys.stdout.write("written\n")
# %%
for i in range(100):
    print(i, flush=True)
# %%
print("before")
"result"
# %%
print("")
print(end="")
# %%
x = 1

# Rows: text as it was printed, also what terminals would overwrite
# %%
import sys, time
for done in range(0, 101, 5):
    print(f"\r{done:3d} % |{'#' * (done // 5):20}|", end="", flush=True)
    time.sleep(0.005)
print()
# %%
for done in range(10):
    sys.stderr.write(f"\r{done}/10 [\x1b[32m{'=' * done}\x1b[0m]")
    sys.stderr.flush()
# %%
print("a\rb\r\nc\bd\x0ce\vf")

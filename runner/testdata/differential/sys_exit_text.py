# Rows: SystemExit other
# Errors: allowed
# %%
import sys, warnings
warnings.simplefilter("ignore")
sys.exit("a text")
# %%
raise SystemExit(3)
# %%
print("goes on")

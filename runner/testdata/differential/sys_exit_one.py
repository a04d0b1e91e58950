# Rows: SystemExit other
# %%
import sys, warnings
warnings.simplefilter("ignore")
sys.exit(1)
# %%
print("never")

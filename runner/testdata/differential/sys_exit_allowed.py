# Rows: SystemExit ""
# Errors: allowed
# Differs: sys.exit() ends the notebook well also where errors are allowed
# %%
import sys, warnings
warnings.simplefilter("ignore")
sys.exit()
# %%
print("never")

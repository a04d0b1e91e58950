# Rows: child processes
# %%
!echo hello; echo error >&2
# %%
lines = !printf 'a\nb\n'
lines
# %%
%%bash
for i in 1 2 3; do echo "line $i"; done
# %%
%%sh
pwd | wc -l
# %%
!exit 3
_exit_code
# %% tags=["raises-exception"]
%%bash
echo partly
exit 4
# %%
%%script cat
as it is
# %%
value = "from Python"
!echo {value} $value
# %%
!cat < /dev/null
# %%
%%bash --out got --err bad
echo one; echo two >&2
# %%
got, bad
# %%
%system echo listed

# Rows: data mime bundles kept whole
# %%
%%html
<b>bold</b>
# %%
%%html --isolated
<style>b {color: red}</style>
# %%
%%javascript
alert(1)
# %%
%%latex
$x$
# %%
%%markdown
# Title
# %%
%%svg
<svg xmlns="http://www.w3.org/2000/svg"></svg>

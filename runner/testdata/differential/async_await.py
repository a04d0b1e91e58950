# Rows: reply before idle
# %%
import asyncio
async def slow(n):
    await asyncio.sleep(0.01)
    print("slow", n)
    return n
await slow(1)
# %%
await asyncio.gather(*(slow(n) for n in range(3)))
# %%
async def numbers():
    for n in range(3):
        yield n
async for n in numbers():
    print(n)
# %%
async with asyncio.timeout(5):
    print("inside")
# %%
task = asyncio.create_task(asyncio.sleep(0.01, result="slept"))
# %%
await task
# %%
asyncio.get_running_loop().is_running()
# %% tags=["raises-exception"]
asyncio.run(slow(1))

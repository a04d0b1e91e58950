"""What a program in a sandbox may not see or do, whatever the way of isolation."""

import ctypes
import errno
import os
import resource

status = open("/proc/self/status").read()
assert os.getpid() < 20 and os.listdir("/nbpress/work") == []
for line in ("CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"):
    assert line in status, status
assert resource.getrlimit(resource.RLIMIT_NPROC) == (500, 500)
assert not os.path.exists("/etc/shadow")
assert not os.path.exists("/empty")
open("written", "w").close()

# /proc: what containers mask or make read-only by default, and more.
null = os.stat("/dev/null").st_rdev
masked = """
    acpi asound bus cmdline config.gz fs interrupts iomem irq kallsyms kcore key-users keys kmsg latency_stats modules
    partitions sched_debug scsi slabinfo sysrq-trigger timer_list timer_stats vmallocinfo
"""
hidden = 0
for path in ("/proc/" + name for name in masked.split()):
    if os.path.isdir(path):
        assert os.listdir(path) == [] and os.statvfs(path).f_flag & os.ST_RDONLY, path
    elif os.path.exists(path):
        assert os.stat(path).st_rdev == null, path
    hidden += os.path.exists(path)
assert hidden > 5, hidden
assert os.statvfs("/proc/sys").f_flag & os.ST_RDONLY
assert open("/proc/meminfo").read() and open("/proc/cpuinfo").read() and open("/proc/net/dev").read()
for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/vm/drop_caches"):
    try:
        open(path, "w")
    except OSError:
        continue
    raise AssertionError(path + " can be opened for writing")

# Mounts: none can be made, changed or taken away, and no user namespace helps.
libc = ctypes.CDLL(None, use_errno=True)
MS_RDONLY, MS_REMOUNT, MS_BIND, MNT_DETACH = 1, 32, 4096, 2
CLONE_NEWUSER = 0x10000000


def refused(result):
    assert result == -1 and ctypes.get_errno() == errno.EPERM, (result, os.strerror(ctypes.get_errno()))


refused(libc.unshare(CLONE_NEWUSER))
refused(libc.mount(b"proc", b"/nbpress/work", b"proc", 0, None))
refused(libc.mount(None, b"/proc/sys", None, MS_REMOUNT | MS_BIND, None))
refused(libc.umount2(b"/proc/sys", MNT_DETACH))
refused(libc.umount2(b"/usr", MNT_DETACH))

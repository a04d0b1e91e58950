// Package local makes sandboxes on this machine: a folder, and child processes that
// see little else.
//
// On Linux, as root or with user namespaces, each kernel and each rendering has PID,
// mount, IPC and, where they are allowed, user namespaces of its own: a root file
// system of the interpreter, the system's libraries and the work folder, its own /proc,
// masked, and /tmp, no capability, no user namespaces to get one in, an empty session
// keyring and, for root, always another user. PID 1 in it is this binary (Init); it ends
// when the agent ends, however that was, and the kernel then ends every process of the
// namespace, also one that called setsid. Where namespaces are refused, and on other
// systems, a process group is all there is: for trusted authors only, and New says so.
// On Linux the group's leader still dies with the agent.
//
// New refuses to show what Options.Hidden names. System calls are not filtered.
//
// Kernels listen on Unix sockets in the sandbox's own folder, so that no other
// notebook on the machine can connect. A kernel's network is the machine's, for it
// fetches data; a renderer has none, and none of the notebook's environment.
//
// What is not bounded: memory, but by the machine, whose OOM killer is told to take a
// notebook before the agent; and disk space, but by file (4 GiB). As root without user
// namespaces all sandboxes share one limit on processes.
//
// A sandbox's folder is locked while its agent lives. New removes those of agents that
// are no more, and leaves the others alone.
package local

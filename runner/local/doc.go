// Package local makes sandboxes on this machine: a folder, and child processes that
// see little else.
//
// On Linux, as root or with user namespaces, each kernel and each rendering has PID,
// mount and IPC namespaces of its own: a root file system of the interpreter, the
// system's libraries and the work folder, its own /proc and /tmp, no capability and,
// for root, another user. PID 1 in it is this binary (Init); it ends when the agent
// ends, however that was, and the kernel then ends every process of the namespace,
// also one that called setsid. Where namespaces are refused, and on other systems, a
// process group is all there is: for trusted authors only, and New says so.
//
// Kernels listen on Unix sockets in the sandbox's own folder, so that no other
// notebook on the machine can connect. There is no limit on memory yet but the
// machine's: the kernel's OOM killer is told to take a notebook before the agent.
package local

// Package kernelspec finds the kernels that are installed on a machine as Jupyter finds
// them: what `jupyter kernelspec list` shows, with the same name for the same folder.
//
// An Environment is the Python that Jupyter would be run with; Dirs says in which
// folders it would look, the first one first; List and Find read the kernel.json files
// there; a Spec says what to run. Nothing is run here, and nothing is remembered.
//
// What differs from jupyter_client on purpose: kernel.json is held to what starting the
// kernel takes (argv and env of strings, no key twice); a kernel that Jupyter would start
// elsewhere than on this machine (metadata.kernel_provisioner) is refused; Jupyter's
// configuration files, which can hide kernels, are not read.
package kernelspec

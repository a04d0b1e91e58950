package runner

import "slices"

// Code says in one word what became of an attempt that did not complete. The set
// is closed: manifests, metrics and the manual use these words.
type Code string

// The codes, in the order of docs/errors.md's. What each means, whose fault it is,
// whether it is tried again and what to do about it stand in the table below.
const (
	CellError      Code = "cell_error"
	CellTimeout    Code = "cell_timeout"
	RunTimeout     Code = "run_timeout"
	StartTimeout   Code = "start_timeout"
	KernelDied     Code = "kernel_died"
	OOMKilled      Code = "oom_killed"
	Evicted        Code = "evicted"
	PodDeleted     Code = "pod_deleted"
	NodeLost       Code = "node_lost"
	Unschedulable  Code = "unschedulable"
	QuotaExceeded  Code = "quota_exceeded"
	ImagePull      Code = "image_pull"
	SecretMissing  Code = "secret_missing"
	TokenFailed    Code = "token_failed"
	OutputMissing  Code = "output_missing"
	OutputInvalid  Code = "output_invalid"
	OutputTooLarge Code = "output_too_large"
	MessagesLost   Code = "messages_lost"
	TemplateError  Code = "template_error"
	RenderTimeout  Code = "render_timeout"
	SecretLeaked   Code = "secret_leaked"
	StoreFailed    Code = "store_failed"
	InvalidReport  Code = "invalid_report"
	InvalidRequest Code = "invalid_request"
	Internal       Code = "internal"
)

// Fault says who can mend an error: the report's author or the platform's operator.
type Fault string

// The two faults.
const (
	FaultReport   Fault = "report"
	FaultPlatform Fault = "platform"
)

// meaning is one row of the table of codes.
type meaning struct {
	code    Code
	fault   Fault
	retried bool
	advice  string
}

// meanings is the one place that knows what a code means.
var meanings = [...]meaning{
	{CellError, FaultReport, false, "Read the traceback, mend the cell in the notebook and merge."},
	{CellTimeout, FaultReport, false, "Make the cell faster, or raise timeout.cell in config.json."},
	{RunTimeout, FaultReport, false, "Make the notebook faster, or raise timeout.run in config.json."},
	{StartTimeout, FaultPlatform, true, "The kernel did not answer in time: look at the machine's load and at the kernel's log."},
	{KernelDied, FaultReport, false, "The kernel's process ended: look for os._exit, a crash in a C library or a signal in the kernel's log."},
	{OOMKilled, FaultReport, false, "Use less memory, or raise resources.memory in config.json."},
	{Evicted, FaultPlatform, true, "The node was short of something: look at the node's conditions and at the report's requests."},
	{PodDeleted, FaultPlatform, true, "Somebody or something deleted the pod: look at the cluster's events."},
	{NodeLost, FaultPlatform, true, "The node went away: look at the cluster's nodes."},
	{Unschedulable, FaultPlatform, true, "No node has room for the pod: lower the report's resources or add a node."},
	{QuotaExceeded, FaultPlatform, true, "The namespace's quota is used up: raise it or lower the number of slots."},
	{ImagePull, FaultPlatform, true, "The image cannot be pulled: check its name and the pull secret."},
	{SecretMissing, FaultPlatform, false, "Ask the operator to grant this report the secret that its config.json names."},
	{TokenFailed, FaultPlatform, true, "The run's token could not be minted: look at the agent's token settings, and at the endpoint if they name one."},
	{OutputMissing, FaultReport, false, "The last executed cell must write output.json into the working directory."},
	{OutputInvalid, FaultReport, false, "Write output.json with json.dump of a dict, and give published files plain names, each once."},
	{OutputTooLarge, FaultReport, false, "Write less into output.json: aggregate in the notebook, and publish big tables as files."},
	{MessagesLost, FaultPlatform, true, "The kernel's end-of-cell message was lost: look at the machine's load, and for code in the notebook that meddles with the kernel's messages."},
	{TemplateError, FaultReport, false, "Mend the template at the line named; try it with `nbpress render`."},
	{RenderTimeout, FaultReport, false, "The template took too long: look for an endless or a huge loop."},
	{SecretLeaked, FaultReport, false, "A secret's value stands in what the notebook wrote: remove it from the output."},
	{StoreFailed, FaultPlatform, true, "The store did not take the result: look at its disk or bucket, and at the agent's rights there."},
	{InvalidReport, FaultReport, false, "Run `nbpress check` on the bundle and mend what it lists."},
	{InvalidRequest, FaultReport, false, "Mend the request file as the message says and merge it again."},
	{Internal, FaultPlatform, true, "The agent died or failed while it worked on this run: look at its log."},
}

// Codes returns every code, in the order of the manual's table.
func Codes() []Code {
	codes := make([]Code, len(meanings))
	for i, m := range meanings {
		codes[i] = m.code
	}
	return codes
}

// Fault returns who can mend an error of this code.
func (c Code) Fault() Fault { return c.meaning().fault }

// Retried reports whether an attempt that ended so is tried again: infrastructure
// is, what the notebook did is not.
func (c Code) Retried() bool { return c.meaning().retried }

// Advice returns the sentence that tells the reader what to do next.
func (c Code) Advice() string { return c.meaning().advice }

// meaning falls back to that of Internal, so that a code from a newer manifest
// still reads as something.
func (c Code) meaning() meaning {
	i := slices.IndexFunc(meanings[:], func(m meaning) bool { return m.code == c })
	if i < 0 {
		i = len(meanings) - 1
	}
	return meanings[i]
}

// Package webhook hears from a Git host that something was pushed: GitHub, GitLab,
// Gitea and Forgejo, each as it signs its deliveries.
//
// A Handler takes one delivery at a time: it finds out who says to have sent it, checks
// the secret over the whole body, looks at which event it is, and calls the function it
// was made with. Nothing else of a delivery is used: who is told asks the repository
// itself, so that a delivery that was caught and is sent again does no more than that.
//
// What holds, whatever comes in:
//
//   - the function is called only for a push whose secret was right, which is compared in
//     constant time and before anything of the body is parsed;
//   - a delivery takes 64 KiB at most: the body goes through the signature as it comes
//     in, and only its beginning, where the ref stands, is kept;
//   - every delivery is counted once, with what became of it, and none is logged: who
//     does not know the secret can fill nothing.
//
// How the hosts sign is theirs to say:
//
//   - GitHub: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
//   - GitLab: https://docs.gitlab.com/user/project/integrations/webhooks/
//   - Gitea: https://docs.gitea.com/usage/webhooks
//   - Forgejo: https://forgejo.org/docs/latest/user/webhooks/
package webhook

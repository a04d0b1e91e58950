// Package gitsync reads bundles from a Git repository and writes the ledger to
// one. It knows nothing of schedules or runs: it moves commits and files.
//
// A Repository mirrors one branch. Fetch asks the remote for the branch's tip and
// takes what is new; Head is the last commit that was taken, also after a restart
// and while the remote is away; Tree gives a commit's files as an fs.FS.
//
// A Ledger reads and extends many branches. Commit puts files on the tip of a
// branch and pushes by compare-and-swap, so that of several writers each lands
// its own commit on top of the others'.
//
// What is promised:
//
//   - Nothing is ever checked out. Files are blobs of a commit, symbolic links and
//     submodules are not followed, and names that mean harm elsewhere are refused
//     one by one, so that one hostile folder spoils nothing but itself.
//   - A tree stays readable while later commits are fetched.
//   - The ledger is never forced, merged or rewritten, and a push whose answer was
//     lost is found out by reading the branch again: it lands once.
//   - The local folders are disposable. Removing them costs a fetch.
//   - A fetch takes what a commit adds, not what it shares with the one before, and no
//     file of more than DefaultMaxFile bytes: memory is bounded whatever is in it.
//   - Every exchange with a remote ends at its context's end or at the timeout,
//     whichever is first, and no error message holds a credential.
//
// All types are safe for concurrent use.
package gitsync

locals {
  merged = provider::lockstep::git_wait_for_pr("merged", {
    repo    = "https://git.example.com/acme/gitops"
    forge   = "gitea" # Forgejo, too
    number  = "{{ steps.pr.number }}"
    timeout = "3d"
  })
}

locals {
  close = provider::lockstep::git_close_pr("close", {
    repo   = "https://gitlab.com/acme/gitops"
    number = "{{ steps.pr.number }}"
  })
}

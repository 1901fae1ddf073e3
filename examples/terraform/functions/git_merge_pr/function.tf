locals {
  # Nothing but the commit that this promotion pushed is merged, once its checks and reviews are there.
  merge = provider::lockstep::git_merge_pr("merge", {
    repo   = "https://github.com/acme/gitops"
    number = "{{ steps.pr.number }}"
    method = "squash"
    wait   = "2h"
  })
}

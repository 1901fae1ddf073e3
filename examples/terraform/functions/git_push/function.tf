locals {
  push = provider::lockstep::git_push("push", { dir = "gitops" })
}

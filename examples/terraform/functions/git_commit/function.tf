locals {
  commit = provider::lockstep::git_commit("commit", {
    dir     = "gitops"
    message = "shop {{ freight.api.tag }} to {{ stage.name }}"
  })
}

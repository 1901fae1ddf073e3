locals {
  said = provider::lockstep::git_comment_pr("said", {
    repo   = "https://gitlab.com/acme/gitops"
    number = "{{ steps.pr.number }}"
    text   = "api {{ freight.api.tag }} is in {{ stage.name }}."
  })
}

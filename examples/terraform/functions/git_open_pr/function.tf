locals {
  branch = "lockstep/{{ promotion.id }}"

  # A branch of the promotion's own, made by the push.
  push = provider::lockstep::git_push("push", { dir = "gitops", branch = local.branch })

  pr = provider::lockstep::git_open_pr("pr", {
    repo        = "https://github.com/acme/gitops"
    source      = local.branch
    target      = "main"
    title       = "api {{ freight.api.tag }} to {{ stage.name }}"
    description = "Requested by {{ promotion.requester }}."
    labels      = ["lockstep"]
  })
}

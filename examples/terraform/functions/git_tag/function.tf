locals {
  tag = provider::lockstep::git_tag("tag", {
    repo    = "https://git.example.com/gitops"
    tag     = "{{ stage.name }}-{{ freight.api.tag }}"
    commit  = "{{ steps.push.commit }}"
    message = "api {{ freight.api.tag }} is in {{ stage.name }}"
  })
}

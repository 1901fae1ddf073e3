locals {
  note = provider::lockstep::write("note", {
    path      = "gitops/apps/shop/RELEASE"
    text      = "{{ freight.api.tag }} by {{ promotion.requester }}"
    overwrite = true
  })
}

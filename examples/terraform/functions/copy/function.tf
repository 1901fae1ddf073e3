locals {
  manifests = provider::lockstep::copy("manifests", {
    from = "src/deploy/{{ stage.name }}"
    to   = "gitops/apps/shop"
  })
}

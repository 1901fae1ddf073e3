locals {
  package = provider::lockstep::json_update("package", {
    path    = "gitops/apps/shop/app.json"
    updates = { "image.tag" = "{{ freight.api.tag }}", "replicas" = 3 }
  })
}

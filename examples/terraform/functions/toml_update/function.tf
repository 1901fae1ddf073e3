locals {
  settings = provider::lockstep::toml_update("settings", {
    path    = "gitops/apps/shop/settings.toml"
    updates = { "image.tag" = "{{ freight.api.tag }}" }
  })
}

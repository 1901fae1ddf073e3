locals {
  module_version = provider::lockstep::hcl_update("module_version", {
    path = "infra/live/{{ stage.name }}/main.tf"
    updates = {
      "module.shop.source"         = "git::https://git.example.com/shop.git?ref={{ freight.infra.commit }}"
      "variable.image_tag.default" = "{{ freight.api.tag }}"
    }
  })
}

locals {
  live = provider::lockstep::hcl_parse("live", {
    path    = "infra/live/{{ stage.name }}/terraform.tfvars"
    outputs = { replicas = "document.replicas" }
  })
}

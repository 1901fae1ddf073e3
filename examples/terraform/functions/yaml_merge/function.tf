locals {
  values = provider::lockstep::yaml_merge("values", {
    from           = ["src/values.yaml", "src/values-{{ stage.name }}.yaml"]
    to             = "gitops/apps/shop/values.yaml"
    ignore_missing = true
  })
}

locals {
  dependencies = provider::lockstep::helm_update_chart("dependencies", {
    path     = "gitops/charts/shop"
    versions = { redis-ha = "4.18.0" }
    vendor   = true
  })
}

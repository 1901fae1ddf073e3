# The newest freight goes to staging with every release of this configuration.
resource "lockstep_promotion" "staging" {
  stage  = "staging"
  newest = true
  reason = "released with the platform"

  triggers = {
    release = "2026-11"
  }
}

# What this configuration was made for goes to prod; whoever brings other freight there is put right.
data "lockstep_freight" "release" {
  warehouse = "shop"
}

resource "lockstep_promotion" "prod" {
  stage   = "prod"
  freight = data.lockstep_freight.release.full_id
  enforce = true

  timeouts {
    create = "2h"
    update = "2h"
  }
}

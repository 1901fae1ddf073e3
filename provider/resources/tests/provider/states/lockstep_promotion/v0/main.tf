resource "lockstep_promotion" "it" {
  stage   = "dev"
  freight = "11988a6563"
  reason  = "released with the platform"

  triggers = {
    release = "2026-11"
  }

  timeouts {
    create = "1h"
  }
}

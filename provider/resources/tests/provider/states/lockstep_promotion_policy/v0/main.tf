resource "lockstep_promotion_policy" "it" {
  name   = "prod"
  mode   = "gated"
  soak   = "24h"
  settle = "1m"

  stages { names = ["prod*"] }

  approval {
    group   = "sre"
    count   = 2
    exclude = ["requester", "commit_author"]
  }

  infra {
    forbid      = ["delete", "replace"]
    protect     = ["aws_db_instance.*"]
    max_changes = 20
  }

  rollback { on = ["promotion_failed", "verification_failed"] }

  bypass {
    name   = "incident"
    groups = ["oncall"]
    gates  = ["soak"]
  }
}

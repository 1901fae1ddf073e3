resource "lockstep_promotion_policy" "prod" {
  name = "prod"
  mode = "gated"
  soak = "24h"

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

# What the last change of the policy does to live freight: in the plan, before anything is applied.
output "impact" {
  value = lockstep_promotion_policy.prod.impact
}

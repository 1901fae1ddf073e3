# Would a day of soak, and a second pair of eyes, have stopped what was promoted to prod?
data "lockstep_policy_preview" "stricter" {
  name = "prod"

  policy = {
    mode   = "gated"
    soak   = "24h"
    stages = { names = ["prod"] }

    approval = [{ group = "sre", count = 2 }]
  }
}

output "stopped" {
  value = "of ${data.lockstep_policy_preview.stricter.replay.judged}: ${data.lockstep_policy_preview.stricter.replay.blocked}"
}

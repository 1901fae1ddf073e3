# A policy with a test of its own: `terraform test` asks what the policy says of freight, at instants
# that matter, without a daemon.

terraform {
  required_providers {
    lockstep = { source = "lockstep/lockstep" }
  }
}

resource "lockstep_promotion_policy" "prod" {
  project = "shop"
  name    = "prod"
  mode    = "gated"
  soak    = "24h"
  max_age = "14d"

  stages { names = ["prod*"] }

  condition {
    name = "stable"
    when = "freight.api.version.prerelease == ''"
  }

  window {
    name     = "office"
    allow    = "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH;BYHOUR=9"
    duration = "7h"
    timezone = "Europe/Berlin"
  }

  approval {
    group   = "sre"
    exclude = ["requester"]
  }

  infra { forbid = ["delete"] }

  bypass {
    name   = "incident"
    groups = ["oncall"]
    gates  = ["soak", "window"]
  }
}

variable "tag" {
  description = "The version that the policy is asked about."
  type        = string
  default     = "1.4.2"
}

variable "facts" {
  description = "What differs from a good promotion."
  type        = any
  default     = {}
}

# What the policy says of a version that staging verified on Wednesday morning.
output "judged" {
  value = provider::lockstep::evaluate_policy(
    lockstep_promotion_policy.prod,
    {
      created_at = "2026-07-08T06:00:00Z"
      artifacts  = { api = { tag = var.tag } }
      stages     = { staging = { verified_at = "2026-07-08T06:30:00Z" } }
    },
    merge({
      at        = "2026-07-09T09:00:00+02:00"
      stage     = "prod"
      from      = ["staging"]
      requester = "ada"
      approvals = [{ by = "bob", groups = ["sre"] }]
    }, var.facts),
  )
}

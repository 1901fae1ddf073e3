resource "lockstep_promotion_policy" "prod" {
  name = "prod"
  mode = "gated"
  soak = "24h"

  # Where a short time tells enough.
  soak_in = { staging-us = "4h" }

  stages { names = ["prod*"] }

  max_age = "30d"

  # What is not approved by then is over, and the next freight can go. An undo that waits so long for a
  # window needs a person.
  max_wait      = "7d"
  max_undo_wait = "12h"

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

  window {
    name     = "end-of-year"
    deny     = "FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=18"
    duration = "20d"
    timezone = "Europe/Berlin"
    exempt   = ["oncall"]
  }

  rate {
    name     = "calm"
    max      = 3
    per      = "1d"
    cooldown = "30m"
  }

  # Asked while a promotion waits, and once more right before it commits: for this version, and approved.
  ticket {
    name    = "change"
    url     = "https://changes.example.com/api/v2/changes/{{ promotion.id }}"
    success = "response.json.state == 'approved' && response.json.version == freight.api.tag"
    failure = "response.json.state == 'rejected'"
    every   = "2m"
  }

  # What the scanner has attached to the image and signed: nothing critical.
  attestation {
    name     = "scan"
    artifact = "api"
    type     = "https://cosign.sigstore.dev/attestation/vuln/v1"
    key      = <<-EOT
      -----BEGIN PUBLIC KEY-----
      MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE6JZU8TO1m7iYiYvRez4pcLWfXCaM
      uXh904ndR2EWEubKjWktYCAt/y5Vn06dDHC8EML/CGDBtJoWREvWarcsHQ==
      -----END PUBLIC KEY-----
    EOT
    success  = "payload.predicate.scanner.result.criticals == 0"
    every    = "10m"
  }

  approval {
    group   = "sre"
    count   = 2
    exclude = ["requester", "commit_author"]
  }

  infra {
    forbid      = ["delete", "replace"]
    protect     = ["aws_db_instance.*"]
    max_changes = 20
    max_deletes = 2

    # Over the plan as a whole; the changes that break it are named.
    rule {
      name    = "no_roles"
      when    = "changes.all(c, c.type != 'aws_iam_role' || c.action == 'update')"
      message = "roles are made and removed by the security team"
    }
  }

  rollback { on = ["promotion_failed", "verification_failed"] }

  bypass {
    name   = "incident"
    groups = ["oncall"]
    gates  = ["soak", "window", "ticket"]
  }
}

# What the last change of the policy does to live freight: in the plan, before anything is applied.
output "impact" {
  value = lockstep_promotion_policy.prod.impact
}

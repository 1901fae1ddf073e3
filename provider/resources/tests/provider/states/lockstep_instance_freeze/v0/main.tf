resource "lockstep_instance_freeze" "it" {
  name    = "year-end"
  reason  = "the books close"
  from    = "2030-12-20T00:00:00Z"
  until   = "2031-01-02T00:00:00Z"
  actions = ["bypass", "promote"]

  window {
    rule     = "FREQ=DAILY;BYHOUR=8"
    duration = "10h"
    timezone = "Europe/Berlin"
  }

  except {
    projects = ["lab-*"]
    stages   = ["dev", "qa-*"]
    groups   = ["oncall"]
  }
}

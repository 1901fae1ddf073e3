# Nothing goes live while the books close, but what the people on call ask for. What fails is undone.
resource "lockstep_freeze" "year_end" {
  name   = "year-end"
  reason = "the books close"
  from   = "2030-12-20T00:00:00Z"
  until  = "2031-01-02T00:00:00Z"

  except {
    stages = ["dev", "staging-*"]
    groups = ["oncall"]
  }
}

# No releases from Friday afternoon until Monday morning, and nobody skips a gate either.
resource "lockstep_freeze" "weekend" {
  name    = "weekend"
  reason  = "nobody is there to look after it"
  actions = ["promote", "bypass"]

  window {
    rule     = "FREQ=WEEKLY;BYDAY=FR;BYHOUR=16"
    duration = "64h"
    timezone = "Europe/Berlin"
  }
}

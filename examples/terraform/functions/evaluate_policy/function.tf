output "on_a_friday" {
  value = provider::lockstep::evaluate_policy(
    {
      mode   = "gated"
      soak   = "24h"
      stages = { names = ["prod"] }
      window = [{
        name     = "office"
        allow    = "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH;BYHOUR=9"
        duration = "7h"
        timezone = "Europe/Berlin"
      }]
    },
    {
      artifacts = { api = { tag = "1.4.2" } }
      stages    = { staging = { verified_at = "2026-07-08T12:00:00Z" } }
    },
    { at = "2026-07-10T10:00:00Z", stage = "prod", from = ["staging"] },
  ).verdict
}

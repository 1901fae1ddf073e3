output "on_monday_morning" {
  value = provider::lockstep::window_open({
    name     = "office"
    allow    = "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH;BYHOUR=9"
    duration = "7h"
    timezone = "Europe/Berlin"
  }, "2026-07-06T09:00:00+02:00")
}

locals {
  # Whoever asked for the promotion does not approve it:
  # lockstep approve prod.12 --step quiet
  quiet = provider::lockstep::wait_for_approval("quiet", {
    message = "Is {{ stage.name }} quiet with {{ freight.api.tag }}?"
    groups  = { sre = 2 }
    exclude = ["requester"]
    timeout = "4h"
  })
}

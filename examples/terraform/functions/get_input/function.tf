locals {
  # lockstep input prod.12 --step scale replicas=4
  # Later steps read {{ steps.scale.replicas }}.
  scale = provider::lockstep::get_input("scale", {
    message = "How many replicas for the sale?"
    groups  = ["sre"]
    schema = {
      type = "object"
      properties = {
        replicas = { type = "integer", minimum = 1, maximum = 20, default = 3 }
        ticket   = { type = "string", pattern = "^OPS-[0-9]+$" }
      }
      required = ["replicas"]
    }
    timeout    = "1h"
    at_timeout = "continue"
  })
}

locals {
  outputs = provider::lockstep::tf_output("outputs", { dir = "infra/live/{{ stage.name }}" })
}

# Of two plans of one module, the outputs of the one that is meant.
locals {
  blue = provider::lockstep::tf_output("blue", { dir = "infra/live", plan = "plan_blue" })
}

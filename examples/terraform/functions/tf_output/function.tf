locals {
  outputs = provider::lockstep::tf_output("outputs", { dir = "infra/live/{{ stage.name }}" })
}

locals {
  apply = provider::lockstep::tf_apply("apply", { plan = "plan" })
}

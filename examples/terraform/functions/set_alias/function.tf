locals {
  # lockstep promote prod --freight stable
  stable = provider::lockstep::set_alias("stable", { alias = "stable" })
}

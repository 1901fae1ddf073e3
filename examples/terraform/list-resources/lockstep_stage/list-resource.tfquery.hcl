# The stages of a project, with all that they hold.
list "lockstep_stage" "shop" {
  provider         = lockstep
  include_resource = true

  config {
    project = "shop"
  }
}

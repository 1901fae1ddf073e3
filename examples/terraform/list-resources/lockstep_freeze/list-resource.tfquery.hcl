# The freezes of a project, with all that they hold.
list "lockstep_freeze" "shop" {
  provider         = lockstep
  include_resource = true

  config {
    project = "shop"
  }
}

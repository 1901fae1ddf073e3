# The tasks of a project, with all that they hold.
list "lockstep_promotion_task" "shop" {
  provider         = lockstep
  include_resource = true

  config {
    project = "shop"
  }
}

# The warehouses of a project, with all that they hold.
list "lockstep_warehouse" "shop" {
  provider         = lockstep
  include_resource = true

  config {
    project = "shop"
  }
}

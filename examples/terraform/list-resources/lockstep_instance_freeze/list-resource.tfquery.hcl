# The freezes of every project, with all that they hold.
list "lockstep_instance_freeze" "all" {
  provider         = lockstep
  include_resource = true
}

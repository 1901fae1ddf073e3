# Every project of the daemon.
list "lockstep_project" "all" {
  provider = lockstep
}

# After a check was changed, what is in production has to pass it, too.
action "lockstep_reverify" "prod" {
  config {
    stage  = "prod"
    reason = "the error rate is measured now"
  }
}

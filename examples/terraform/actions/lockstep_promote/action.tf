# A change of the module brings the newest freight to staging at once, not at its next turn.
action "lockstep_promote" "staging" {
  config {
    stage   = "staging"
    reason  = "the network has changed"
    timeout = "15m"
  }
}

resource "terraform_data" "network" {
  input = "10.0.0.0/16"

  lifecycle {
    action_trigger {
      events  = [after_create, after_update]
      actions = [action.lockstep_promote.staging]
    }
  }
}

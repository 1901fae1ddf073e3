# No daemon answers here, and none is needed.
provider "lockstep" {
  endpoint = "http://127.0.0.1:1"
  token    = "unused"
}

run "a_good_release_goes_to_prod_on_thursday" {
  command = plan

  assert {
    condition     = output.judged.verdict == "pass"
    error_message = jsonencode(output.judged)
  }
}

run "nothing_goes_to_prod_on_friday" {
  command = plan

  variables {
    facts = { at = "2026-07-10T09:00:00+02:00" }
  }

  assert {
    condition     = output.judged.verdict == "fail"
    error_message = jsonencode(output.judged)
  }

  assert {
    condition     = output.judged.earliest == "2026-07-13T07:00:00Z"
    error_message = "It opens on Monday, not at ${output.judged.earliest}."
  }
}

run "whoever_asks_does_not_approve" {
  command = plan

  variables {
    facts = { approvals = [{ by = "ada", groups = ["sre"] }] }
  }

  assert {
    condition     = [for it in output.judged.gates : it.gate if it.verdict != "pass"] == ["approvals"]
    error_message = jsonencode(output.judged)
  }
}

run "a_release_candidate_stays_out" {
  command = plan

  variables {
    tag = "1.5.0-rc.1"
  }

  assert {
    condition     = [for it in output.judged.gates : it.gate if it.verdict != "pass"] == ["condition"]
    error_message = jsonencode(output.judged)
  }
}

run "on_call_may_skip_the_window" {
  command = plan

  variables {
    facts = {
      at        = "2026-07-10T09:00:00+02:00"
      requester = "eve"
      groups    = ["oncall"]
      bypass    = ["window"]
    }
  }

  assert {
    condition     = output.judged.verdict == "pass"
    error_message = jsonencode(output.judged)
  }
}

run "nobody_deletes_the_database" {
  command = plan

  variables {
    facts = {
      plans = {
        infra = {
          format_version = "1.2"
          resource_changes = [{
            address = "terraform_data.database"
            mode    = "managed"
            type    = "terraform_data"
            name    = "database"
            change  = { actions = ["delete"], before = {}, after = null }
          }]
        }
      }
    }
  }

  assert {
    condition     = [for it in output.judged.gates : it.gate if it.verdict != "pass"] == ["infra"]
    error_message = jsonencode(output.judged)
  }
}

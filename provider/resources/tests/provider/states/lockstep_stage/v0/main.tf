resource "lockstep_stage" "it" {
  name   = "prod"
  vars   = { region = "eu-central-1" }
  labels = {}
  choose = "queue"

  request {
    warehouse = "shop"
    from      = ["dev", "qa"]
    match     = "all"
  }

  steps = [
    provider::lockstep::tf_plan("plan", { dir = "infra", vars = { size = 2 } }),
    provider::lockstep::tf_apply("apply", { plan = "plan" }),
    { name = "out", uses = "tf_output", config = "{ \"dir\":   \"infra\" }" },
  ]

  verification {
    name     = "errors"
    template = "errors"
    args     = { service = "api" }
  }
}

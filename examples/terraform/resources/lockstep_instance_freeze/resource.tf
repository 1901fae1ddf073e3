# Nothing goes live anywhere while the books close, but in the laboratory, and what the people on call ask
# for. What fails is undone.
resource "lockstep_instance_freeze" "year_end" {
  name   = "year-end"
  reason = "the books close"
  from   = "2030-12-20T00:00:00Z"
  until  = "2031-01-02T00:00:00Z"

  except {
    projects = ["lab-*"]
    stages   = ["dev"]
    groups   = ["oncall"]
  }
}

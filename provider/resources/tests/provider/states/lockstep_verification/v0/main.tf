resource "lockstep_verification" "it" {
  name          = "smoke"
  initial_delay = "5s"
  measurements  = 3

  http {
    name    = "health"
    url     = "http://{{ args.service }}.example.com/health"
    headers = { Accept = "application/json" }
    success = "response.status == 200"
  }

  prometheus {
    name    = "errors"
    address = "http://prometheus.example.com:9090"
    query   = "sum(rate(errors[5m]))"
    success = "result.value < 0.01"
  }
}

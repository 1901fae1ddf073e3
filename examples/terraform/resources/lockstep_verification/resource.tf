resource "lockstep_verification" "healthy" {
  name          = "healthy"
  initial_delay = "10s"
  interval      = "15s"
  measurements  = 4
  failure_limit = 1
  deadline      = "5m"

  http {
    name    = "health"
    url     = "https://{{ args.host }}/health"
    headers = { Accept = "application/json" }
    success = "response.status == 200 && response.json.ready"
  }

  prometheus {
    name    = "error-ratio"
    address = "https://prometheus.example.com"
    query   = "sum(rate(http_errors_total{host=\"{{ args.host }}\"}[5m]))"
    success = "result.value < 0.01"
  }
}

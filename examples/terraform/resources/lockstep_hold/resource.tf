# Quarantine: no promotion takes these versions anywhere, until somebody lifts it.
resource "lockstep_hold" "cve" {
  name    = "cve-2026-1234"
  reason  = "libfoo leaks tokens; fixed in 1.4.3"
  expires = "2030-01-01T00:00:00Z"

  artifacts {
    subscription = "api"
    version      = ">=1.4.0 <1.4.3"
  }
}

# Nothing goes to prod during the audit.
resource "lockstep_hold" "audit" {
  name   = "audit"
  reason = "the auditors are here"
  stage  = "prod"
}

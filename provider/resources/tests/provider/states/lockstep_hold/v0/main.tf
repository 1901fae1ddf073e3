resource "lockstep_hold" "it" {
  name    = "cve-2026-1234"
  reason  = "libfoo leaks tokens; fixed in 1.4.3"
  expires = "2030-01-01T00:00:00Z"

  artifacts {
    subscription = "api"
    version      = ">=1.4.0 <1.4.3"
  }
}

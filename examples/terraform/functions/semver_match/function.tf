output "is_stable" {
  value = provider::lockstep::semver_match("^1.4", "v1.5.2")
}

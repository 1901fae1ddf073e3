output "seconds" {
  value = provider::lockstep::parse_duration("1h30m")
}

output "tag" {
  value = provider::lockstep::parse_image("registry.example.com/shop/api:1.4.2").tag
}

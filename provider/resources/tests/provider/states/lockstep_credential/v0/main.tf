resource "lockstep_credential" "it" {
  name     = "registry"
  kind     = "image"
  address  = "oci://registry.example.com/shop"
  username = "lockstep"

  from {
    key  = "password"
    file = "/etc/lockstep/secrets/registry-password"
  }
}

variable "git_token" {
  type      = string
  ephemeral = true
}

# The token is sent to the daemon when data_wo_version changes, and kept nowhere else.
resource "lockstep_credential" "git" {
  name            = "git"
  kind            = "git"
  address         = "https://git.example.com/shop"
  username        = "lockstep"
  data_wo         = { password = var.git_token }
  data_wo_version = 1
}

# With any version of the client: the daemon reads the password at each use.
resource "lockstep_credential" "registry" {
  name     = "registry"
  kind     = "image"
  address  = "oci://registry.example.com/shop"
  username = "lockstep"

  from {
    key  = "password"
    file = "/etc/lockstep/secrets/registry-password"
  }
}

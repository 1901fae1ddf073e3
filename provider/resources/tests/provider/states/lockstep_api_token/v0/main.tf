resource "lockstep_api_token" "it" {
  name              = "terraform-ci"
  groups            = ["sre"]
  expires_at        = "2040-01-01T00:00:00Z"
  secret_wo         = "lockstep_0123456789abcdef0123456789abcdef"
  secret_wo_version = 1
}

resource "lockstep_api_token" "hashed" {
  name          = "ada@example.com"
  admin         = true
  secret_sha256 = "9b3f1c0a4be0d4e6a6d2f5b7c8192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b"
}

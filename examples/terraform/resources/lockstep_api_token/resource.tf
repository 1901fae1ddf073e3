# 32 random characters or more, from where you keep secrets.
variable "ci_random" {
  type      = string
  ephemeral = true
}

# The secret is sent to the daemon when secret_wo_version changes, and kept nowhere. Whoever uses the
# token makes the same text of the same random characters; hashing gives them the form of a secret.
resource "lockstep_api_token" "ci" {
  name              = "terraform-ci"
  groups            = ["release-managers"]
  expires_at        = "2040-01-01T00:00:00Z"
  secret_wo         = "lockstep_${sha256(var.ci_random)}"
  secret_wo_version = 1
}

# With any version of the client: who has the secret sends its hash, as
# `printf %s "$SECRET" | sha256sum` prints it.
resource "lockstep_api_token" "ada" {
  name          = "ada@example.com"
  groups        = ["sre", "release-managers"]
  secret_sha256 = "9b3f1c0a4be0d4e6a6d2f5b7c8192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b"
}

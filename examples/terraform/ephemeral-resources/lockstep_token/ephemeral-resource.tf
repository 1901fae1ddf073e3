# For as long as the run lasts, with none of the groups that the provider's own token has.
ephemeral "lockstep_token" "run" {
  lifetime = "15m"
  groups   = []
}

provider "lockstep" {
  alias = "run"
  token = ephemeral.lockstep_token.run.token
}

resource "lockstep_project" "sandbox" {
  provider = lockstep.run
  name     = "sandbox"
}

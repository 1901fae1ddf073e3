locals {
  # A branch that holds what is rendered, and nothing else.
  clear = provider::lockstep::git_clear("clear", { dir = "rendered" })
}

# Every token of the daemon; never their secrets. Needs the right to manage tokens.
list "lockstep_api_token" "all" {
  provider = lockstep
}

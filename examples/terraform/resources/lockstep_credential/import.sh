terraform import lockstep_credential.git shop/git

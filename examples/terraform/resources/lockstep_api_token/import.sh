terraform import lockstep_api_token.ci terraform-ci

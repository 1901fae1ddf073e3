terraform import lockstep_stage.prod shop/prod

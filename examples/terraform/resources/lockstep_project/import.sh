terraform import lockstep_project.shop shop

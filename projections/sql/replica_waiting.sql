SELECT subject, position FROM pending

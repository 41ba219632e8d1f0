UPDATE customers SET due_at = :until WHERE customer = :customer AND changed = :mark AND due_at = :at
